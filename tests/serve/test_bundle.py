"""A bundle survives text with its encoders; runs from before there were any are still read."""

import json
from dataclasses import replace
from datetime import date

import pytest

from propensity_spark.errors import PropensityError
from propensity_spark.features.encoders import Fitted
from propensity_spark.features.encoding.hashing import Hashed
from propensity_spark.features.encoding.levels import Levels
from propensity_spark.features.encoding.scaling import Scaled
from propensity_spark.models.fast import Scorer
from propensity_spark.serve.bundle import Bundle
from propensity_spark.trainset.split import Procedure

ENCODERS = Fitted(
    (
        Levels("category", "target", "category_target", {"lamp": 0.25, "": 0.5}, 0.1, 0.2),
        Hashed("product_id", "hash", "product_id_hash", 8, True),
        Scaled("user_tenure", "robust", "user_tenure_robust", 3.0, 3.0, 1.5, -1e38, 1e38),
    )
)


def _bundle(encoders: Fitted) -> Bundle:
    return Bundle(
        shop="shop",
        as_of=date(2024, 4, 1),
        horizon_days=28,
        champion="logistic",
        feature_version="v",
        scorers={"logistic": Scorer("logistic", ("a",), ("days",), "{}")},
        calibrators={},
        versions={"logistic": "3"},
        encoders=encoders,
        most_popular=7.0,
    )


def test_a_bundle_survives_text_with_its_encoders() -> None:
    again = Bundle.from_json(_bundle(ENCODERS).to_json())
    assert again == _bundle(ENCODERS)
    values = {"category": ["lamp", "", "new", None], "product_id": ["a"] * 4, "user_tenure": [3.0, 6.0, 0.0, None]}
    made = again.encoders.transform_values(values)
    assert made["category_target"].tolist() == [0.25, 0.5, 0.1, 0.2]
    assert made["user_tenure_robust"].tolist() == [0.0, 1.0, -1.0, 0.0]


def test_a_bundle_survives_text_with_its_ranker() -> None:
    ranker = Scorer("lightgbm", ("a",), ("days",), "tree", "ranker")
    made = replace(_bundle(Fitted()), ranker=ranker)
    again = Bundle.from_json(made.to_json())
    assert again == made
    assert [scorer.column for scorer in again.all_scorers] == ["raw_logistic", "raw_ranker"]


def test_a_bundle_survives_text_with_its_dates() -> None:
    procedures = [Procedure((date(2024, month, 4), date(2024, month + 1, 4)), date(2024, month + 2, 1)) for month in (2, 1)]
    made = replace(_bundle(Fitted()), final=procedures[0], rehearsal=procedures[1])
    assert Bundle.from_json(made.to_json()) == made


def test_a_run_from_before_encoders_and_rankers_has_none() -> None:
    old = json.loads(_bundle(Fitted()).to_json())
    del old["encoders"], old["most_popular"]
    again = Bundle.from_json(json.dumps(old))
    assert (again.encoders, again.most_popular) == (Fitted(), 0.0)
    assert again.ranker is None
    assert (again.final, again.rehearsal) == (None, None)
    assert [scorer.column for scorer in again.all_scorers] == ["raw_logistic"]


def test_a_text_that_is_no_bundle_says_what_to_do() -> None:
    with pytest.raises(PropensityError, match="train again"):
        Bundle.from_json('{"shop": "s"}')
    broken = json.loads(_bundle(ENCODERS).to_json())
    broken["encoders"]["encoders"][0]["kind"] = "tarot"
    with pytest.raises(PropensityError, match=r"bundle\.json cannot be read .*train again"):
        Bundle.from_json(json.dumps(broken))
