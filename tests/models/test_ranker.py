"""The ranker learns which pair of a list is bought, and from a sample of the users where there are too many rows."""

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark.config import LightGBMConfig, ModelsConfig, RankerConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models import fast, native
from propensity_spark.models.ranker import fit_ranker

FEATURES = tuple(Feature(name=name, expression=name, description=name) for name in ("x0", "x1"))
SMALL = ModelsConfig(lightgbm=LightGBMConfig(leaves=7, min_data_in_leaf=5), ranker=RankerConfig(rounds=20))


@pytest.fixture(scope="module")
def lists(spark: SparkSession) -> DataFrame:
    """Each user buys the pair with the largest x0 of the list; x1 moves whole lists, and so says nothing within one."""
    draw = np.random.default_rng(5)
    rows = []
    for user in range(150):
        x0, x1 = draw.uniform(0, 1, 12), float(draw.uniform(0, 9))
        for product in range(12):
            bought = int(user % 5 > 0 and x0[product] == x0.max())  # a fifth buys nothing
            rows.append(("2024-04-01", f"u{user:03}", f"p{product:02}", bought, float(x0[product]), x1))
    frame = spark.createDataFrame(rows, "as_of STRING, user_id STRING, product_id STRING, label INT, x0 FLOAT, x1 FLOAT")
    return frame.repartition(3, "user_id").sortWithinPartitions("as_of", "user_id", "product_id").persist()


@pytest.mark.fit
def test_the_pair_that_is_bought_comes_first(lists: DataFrame) -> None:
    scorer = fit_ranker(lists, FEATURES, SMALL, 1)
    assert scorer.column == "raw_ranker"
    scored = fast.score(lists, [scorer], ["user_id", "label"]).toPandas()
    best = scored.loc[scored.groupby("user_id")["raw_ranker"].idxmax()]
    assert best["label"].sum() > 0.8 * 120
    assert fit_ranker(lists, FEATURES, SMALL, 1) == scorer, "one seed, one model"


@pytest.mark.fit
def test_beyond_what_one_machine_carries_a_sample_of_users_teaches(lists: DataFrame) -> None:
    half = ModelsConfig(lightgbm=LightGBMConfig(leaves=7, min_data_in_leaf=5, rows_on_one_task=900), ranker=RankerConfig(rounds=20))
    sampled = fit_ranker(lists, FEATURES, half, 1)
    assert sampled != fit_ranker(lists, FEATURES, SMALL, 1)
    scored = fast.score(lists, [sampled], ["user_id", "label"]).toPandas()
    assert scored.loc[scored.groupby("user_id")["raw_ranker"].idxmax()]["label"].sum() > 0.7 * 120


@pytest.mark.fit
def test_where_nothing_else_is_fitted_in_one_task_the_ranker_still_is(lists: DataFrame) -> None:
    spread = ModelsConfig(lightgbm=LightGBMConfig(leaves=7, min_data_in_leaf=5, rows_on_one_task=0), ranker=RankerConfig(rounds=20))
    assert fit_ranker(lists, FEATURES, spread, 1) == fit_ranker(lists, FEATURES, SMALL, 1)


@pytest.mark.fit
@pytest.mark.parametrize("most", [10**6, 900])
def test_lists_of_few_rows_are_told_apart_with_the_leaves_of_a_large_shop(lists: DataFrame, most: int) -> None:
    usual = ModelsConfig(lightgbm=LightGBMConfig(leaves=7, rows_on_one_task=most), ranker=RankerConfig(rounds=2))
    scorer = fit_ranker(lists, FEATURES, usual, 1)
    assert "[min_data_in_leaf: 20]" in scorer.payload


def test_a_list_longer_than_lightgbm_takes_keeps_what_was_bought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_LONGEST_LIST", 3)
    lists = [(1, "abcde", "00011"), (2, "fg", "00"), (3, "hijk", "1000"), (4, "lmno", "0000")]
    told = [(group, int(label), name) for group, names, labels in lists for name, label in zip(names, labels, strict=True)]
    groups, labels, names = zip(*told, strict=True)
    table = pa.table({"_group": groups, "_target": pa.array(labels, pa.float32()), "name": names})
    kept = native.Rows(table, ()).in_short_lists().table["name"].to_pylist()
    assert "".join(kept) == "adefghijlmn"
