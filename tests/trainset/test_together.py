"""What goes together: the sparse arithmetic agrees with dense matrices, and its bounds hold."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset.together import closest, recent, together

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


def faded(liked: pd.DataFrame, sample: pd.DataFrame, neighbours: int, half_life: float) -> dict[tuple[str, str], float]:
    """Every score with dense matrices: a purchase weighs half per half-life, two together by their mean age."""
    products = sorted(set(sample["product_id"]))
    n = len(products)
    common, both, length = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n)
    for _, rows in sample.groupby("user_id"):
        ages = dict(zip(rows["product_id"], rows["_age"], strict=True))
        for a, i in ((p, products.index(p)) for p in ages):
            length[i] += 0.5 ** (ages[a] / half_life)
            for b, j in ((p, products.index(p)) for p in ages if p != a):
                common[i, j] += 1
                both[i, j] += 0.5 ** ((ages[a] + ages[b]) / 2 / half_life)
    cosine = np.where(common >= 2, both / np.sqrt(np.outer(length, length)), 0.0)
    for row in cosine:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0.0
    made = {}
    for user, rows in liked.groupby("user_id"):
        for j, product in enumerate(products):
            own = ((products.index(p), age) for p, age in zip(rows["product_id"], rows["_age"], strict=True) if p in products)
            made[str(user), product] = sum(0.5 ** (age / half_life) * cosine[i, j] for i, age in own)
    return made


@pytest.mark.parametrize("neighbours", [100, 2])
def test_recent_purchases_count_more_on_both_sides(neighbours: int) -> None:
    draw = np.random.default_rng(6)
    held = draw.random((14, 9)) < np.linspace(0.2, 0.7, 9)
    sample = _bought([(f"u{i:02}", f"p{j}") for i, j in zip(*np.nonzero(held), strict=True)])
    sample["_age"] = draw.uniform(0, 90, len(sample))
    liked = pd.concat([sample[sample["user_id"] < "u05"], _bought([("zoe", "p3"), ("zoe", "unknown")]).assign(_age=0.0)])
    found = closest(liked, sample, neighbours, 6)
    expected = faded(liked, sample, neighbours, 30.0)
    scores = recent(found, liked, sample, neighbours, 30.0)
    np.testing.assert_allclose(scores, [expected[user, p] for user, p in zip(found["user_id"], found["product_id"], strict=True)])
    assert len(found) > 20
    assert not np.allclose(scores, found["together_score"])


def test_without_ageing_recent_is_the_plain_score() -> None:
    sample = _bought([(user, product) for user in ("u1", "u2", "u3") for product in ("a", "b")] + [("u3", "c")]).assign(_age=7.0)
    liked = _bought([("ann", "a")]).assign(_age=0.0)
    found = closest(liked, sample, 10, 10)
    np.testing.assert_allclose(recent(found, liked, sample, 10, 30.0), found["together_score"])


def test_where_nothing_goes_together_nothing_is_scored() -> None:
    alone = _bought([("u1", "a")]).assign(_age=1.0)
    found = closest(alone, alone, 10, 10)
    assert recent(found, alone, alone, 10, 30.0).shape == (0,) == found["together_score"].shape


def test_candidates_carry_the_recent_score_where_it_is_asked_for(table: Make) -> None:
    pairs = table(
        PAIRS,
        *(("2024-04-01", user, product, 0.0) for user in ("u1", "u2") for product in ("a", "b")),
        ("2024-04-01", "ann", "a", 60.0),
    )
    people = table("as_of DATE, user_id STRING", ("2024-04-01", "ann"))
    found = together(people, pairs, CandidateConfig(), half_life_days=30.0).collect()
    assert [(r.product_id, r.together_recent) for r in found] == [
        ("b", pytest.approx(0.25 * 2 / np.sqrt((2 + 0.25) * 2)))  # ann's a is among all the a's
    ]
    assert "together_recent" not in together(people, pairs, CandidateConfig()).columns
