"""What goes together: the sparse arithmetic agrees with dense matrices, and its bounds hold."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset.together import closest, together

Make = Callable[..., DataFrame]
DAY = date(2024, 4, 1)
PAIRS = "as_of DATE, user_id STRING, product_id STRING, pair_purchases_last FLOAT"


def _bought(rows: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame([(DAY, *row) for row in rows], columns=["as_of", "user_id", "product_id"])


def oracle(liked: pd.DataFrame, sample: pd.DataFrame, neighbours: int, most: int) -> dict[str, list[tuple[str, float]]]:
    """The same with dense matrices and plain sorting."""
    products = sorted(set(sample["product_id"]))
    baskets = {user: set(rows) for user, rows in sample.groupby("user_id")["product_id"]}
    holders = np.array([[float(p in basket) for p in products] for basket in baskets.values()])
    common, counts = holders.T @ holders, holders.sum(axis=0)
    cosine = np.where(common >= 2, common / np.sqrt(np.outer(counts, counts)), 0.0)
    np.fill_diagonal(cosine, 0.0)
    for row in cosine:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0.0
    found = {}
    for user, own in liked.groupby("user_id")["product_id"]:
        scores = sum((cosine[products.index(p)] for p in own if p in products), np.zeros(len(products)))
        order = [i for i in np.argsort(-scores, kind="stable")[:most] if scores[i] > 0]
        if order:
            found[str(user)] = [(products[i], float(scores[i])) for i in order]
    return found


@pytest.mark.parametrize(("neighbours", "most"), [(100, 100), (2, 100), (100, 3), (3, 2)])
def test_dense_matrices_agree(neighbours: int, most: int) -> None:
    draw = np.random.default_rng(8)
    held = draw.random((14, 9)) < np.linspace(0.2, 0.7, 9)
    sample = _bought([(f"u{i:02}", f"p{j}") for i, j in zip(*np.nonzero(held), strict=True)])
    liked = pd.concat([sample[sample["user_id"] < "u05"], _bought([("zoe", "p3"), ("zoe", "unknown"), ("yan", "unknown")])])
    found = closest(liked, sample, neighbours, most)
    expected = oracle(liked, sample, neighbours, most)
    assert set(found["user_id"]) == set(expected)
    assert "yan" not in expected
    for user, mine in found.groupby("user_id", sort=False):
        assert [p for p, _ in expected[str(user)]] == list(mine["product_id"])
        np.testing.assert_allclose(mine["together_score"], [s for _, s in expected[str(user)]], rtol=1e-12)
    assert set(found["as_of"]) == {DAY}


def test_one_user_in_common_says_nothing_and_ties_go_to_the_smaller_product() -> None:
    pairs = [(user, product) for user in ("u1", "u2") for product in ("d", "c", "b")]
    sample = _bought([*pairs, ("u3", "a"), ("u3", "d")])  # a and d have one user in common
    found = closest(_bought([("ann", "d")]), sample, 10, 1)
    assert list(found["product_id"]) == ["b"]
    assert list(found["together_score"]) == [pytest.approx(2 / np.sqrt(2 * 3))]


def test_only_the_population_is_scored_by_what_it_bought_lately_on_that_date(table: Make) -> None:
    both = [("2024-04-01", user, product, 5.0) for user in ("u1", "u2") for product in ("a", "b", "c")]
    pairs = table(
        PAIRS,
        *both,
        ("2024-04-01", "ann", "a", 180.0),  # exactly together_days ago
        ("2024-04-01", "bob", "a", 180.5),  # too long ago
        ("2024-04-01", "cat", "a", None),  # never
        ("2024-04-01", "dan", "x", 1.0),  # the later one of two, and all that his history holds
        ("2024-04-01", "dan", "a", 2.0),
        ("2024-05-01", "ann", "a", 1.0),  # alone at this date
    )
    people = table("as_of DATE, user_id STRING", *((day, u) for day in ("2024-04-01", "2024-05-01") for u in ("ann", "bob", "cat")))
    found = together(people, pairs, CandidateConfig(together=1, together_days=180)).collect()
    assert [(r.as_of, r.user_id, r.product_id) for r in found] == [(DAY, "ann", "b")]
    short = CandidateConfig(together_history=1)
    dan = together(table("as_of DATE, user_id STRING", ("2024-04-01", "dan")), pairs, short).collect()
    assert dan == []
