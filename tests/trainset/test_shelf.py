"""What a date knows of products: the sparse arithmetic agrees with dense matrices and plain loops, and its bounds hold."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset.affinity import touched
from propensity_spark.trainset.shelf import Layout, Shelf
from propensity_spark.trainset.together import similarity

PRODUCTS = np.array([f"p{number}" for number in range(9)], dtype=object)


def layout(**settings: Any) -> Layout:
    config = CandidateConfig(**{"together_neighbours": 100, **settings})
    return Layout(products=PRODUCTS, horizon_days=28, half_life_days=120.0, config=config)


def rows(*made: tuple[int, int, int, bool, float]) -> pd.DataFrame:
    """One per user, product and day: user, product, age, bought, interest."""
    return pd.DataFrame(made, columns=["user", "product", "age", "bought", "interest"])


def drawn(users: int = 14, seed: int = 8) -> pd.DataFrame:
    """Users who hold products; every third row is a look without a purchase."""
    draw = np.random.default_rng(seed)
    held = draw.random((users, len(PRODUCTS))) < np.linspace(0.2, 0.7, len(PRODUCTS))
    pairs = zip(*np.nonzero(held), strict=True)
    return rows(*((int(u), int(p), int(draw.integers(1, 170)), n % 3 > 0, 1.0) for n, (u, p) in enumerate(pairs)))


def faded(sample: pd.DataFrame, neighbours: int, half_life: float) -> np.ndarray:
    """The similarity with dense loops: a purchase weighs half per half-life, two together by their mean age."""
    n = len(PRODUCTS)
    common, both, length = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n)
    for _, mine in sample[sample["bought"]].groupby("user"):
        ages = dict(zip(mine["product"], mine["age"], strict=True))
        for i, first in ages.items():
            length[i] += 0.5 ** (first / half_life)
            for j, second in ages.items():
                if i != j:
                    common[i, j] += 1
                    both[i, j] += 0.5 ** ((first + second) / 2 / half_life)
    cosine = np.where(common >= 2, both / np.sqrt(np.outer(np.maximum(length, 1e-99), np.maximum(length, 1e-99))), 0.0)
    for row in cosine:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0.0
    return cosine


@pytest.mark.parametrize("neighbours", [100, 3, 2])
def test_dense_loops_agree_on_what_goes_together(neighbours: int) -> None:
    half_life = 30.0
    sample, asked = drawn(), drawn(5, seed=3)
    shelf = Shelf(sample, replace(layout(together_neighbours=neighbours), recent_half_life=half_life))
    cosine = faded(sample, neighbours, half_life)
    expected = np.zeros((5, len(PRODUCTS)))
    for row in asked[asked["bought"]].itertuples():
        expected[row.user] += 0.5 ** (row.age / half_life) * cosine[row.product]
    found = shelf.together_recent(asked)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (found > 0).sum() > 10


def test_without_ageing_recent_is_the_plain_score() -> None:
    shelf, asked = Shelf(drawn(), replace(layout(), recent_half_life=1e12)), drawn(5, seed=3)
    cosine = faded(drawn(), 100, 1e12)
    bought = np.zeros((5, len(PRODUCTS)))
    for row in asked[asked["bought"]].itertuples():
        bought[row.user, row.product] = 1
    np.testing.assert_allclose(shelf.together(asked), bought @ cosine, rtol=1e-5)
    np.testing.assert_allclose(shelf.together_recent(asked), bought @ cosine, rtol=1e-5)


def test_one_user_in_common_says_nothing_and_ties_go_to_the_first_product() -> None:
    bought = [(user, product, 1, True, 1.0) for user in (0, 1) for product in (1, 2, 3)]
    shelf = Shelf(rows(*bought, (2, 0, 1, True, 1.0), (2, 3, 1, True, 1.0)), layout(together_neighbours=1))
    alike = shelf.similarity.toarray()
    assert alike[3, 0] == 0  # one user bought both
    assert np.flatnonzero(alike[3]).tolist() == [1]
    assert alike[3, 1] == pytest.approx(2 / np.sqrt(3 * 2))
    assert similarity(shelf.similarity * 0, 5).nnz == 0


def test_a_purchase_counts_to_the_last_day_of_a_window_and_once_per_user() -> None:
    shelf = Shelf(
        rows(
            (0, 0, 28, True, 1.0),
            (0, 0, 3, True, 1.0),  # the same user again
            (1, 0, 29, True, 1.0),  # a day too early
            (2, 0, 1, False, 0.2),  # a look
            (2, 1, 28, True, 1.0),
        ),
        layout(),
    )
    assert shelf.buyers(28).tolist()[:3] == [1, 1, 0]
    assert shelf.buyers(29).tolist()[:3] == [2, 1, 0]
    assert shelf.known.tolist() == [True, True] + [False] * 7
    assert layout().windows == (7, 14, 28, 56, 168)


def test_together_reads_purchases_of_its_days_only() -> None:
    bought = [(user, product, 5, True, 1.0) for user in (0, 1) for product in (0, 1)]
    shelf = Shelf(rows(*bought), layout(together_days=180))
    asked = rows((0, 0, 180, True, 1.0), (1, 0, 181, True, 1.0), (2, 0, 1, False, 1.0))
    scores = shelf.together(asked)
    assert scores[0, 1] == pytest.approx(1.0)
    assert not scores[1:].any()


def test_what_follows_is_told_to_users_whom_the_sample_does_not_hold() -> None:
    led = [row for user in range(30) for row in ((user, 0, 40, True, 1.0), (user, 1, 10, True, 1.0))]
    shelf, asked = Shelf(rows(*led), layout()), rows((0, 0, 1, True, 1.0), (1, 1, 1, True, 1.0))
    found = shelf.following(asked)
    assert found[0, 1] == pytest.approx(30 / 40)
    assert np.abs(np.delete(found, 1, axis=1)).max() < 1e-6, "nothing else was bought next"
    assert found[1, 1] == 0, "and after the second product nothing was"
    assert np.isnan(Shelf(rows((0, 0, 5, True, 1.0)), layout()).following(asked)).all(), "unknown, not none"


def test_a_row_of_no_interest_is_a_user_and_no_past() -> None:
    shelf, nothing = Shelf(drawn(), layout()), rows((0, 3, 30, False, 0.0))
    assert touched(nothing, len(PRODUCTS)).tolist() == [[False] * len(PRODUCTS)]
    for scores in (shelf.als(nothing), shelf.together(nothing), shelf.following(nothing), shelf.peers(nothing)):
        assert scores.tolist() == [[0.0] * len(PRODUCTS)]


def test_nobody_is_her_own_peer() -> None:
    sample = rows((0, 0, 1, True, 1.0), (0, 1, 1, True, 1.0), (3, 0, 21, True, 1.0), (3, 2, 21, True, 1.0))
    shelf = Shelf(sample, layout())
    asked = sample[sample["user"] == 0].assign(known_as=0, user=0)
    found = shelf.peers(asked)[0]
    np.testing.assert_allclose(found[:3], [0.25, 0, 0.25], rtol=1e-3)  # half of the past in common, 21 days: half is left
    stranger = shelf.peers(asked.assign(known_as=7))[0]
    assert stranger[1] > 0, "a user whom the sample does not hold has a peer in each that it holds"


def test_signals_of_a_pair_are_those_that_are_weighed() -> None:
    sample, asked = drawn(), drawn(4, seed=5)
    shelf = Shelf(sample, layout())
    signals = shelf.signals(touched(asked, len(PRODUCTS)), shelf.als(asked), shelf.together(asked))
    users, products = np.divmod(np.arange(4 * len(PRODUCTS)), len(PRODUCTS))
    each = signals.at(users, products)
    weights = np.random.default_rng(2).standard_normal(each.shape[1])
    np.testing.assert_allclose(signals.weighed(weights).ravel(), each @ weights, rtol=1e-4, atol=1e-5)
    oldest = sample.groupby("product")["age"].max().reindex(range(len(PRODUCTS))).fillna(0)
    np.testing.assert_allclose(each[: len(PRODUCTS), len(shelf.layout.windows)], np.log1p(oldest))
    np.testing.assert_allclose(each[:, 1], np.log1p(shelf.buyers(14))[products])
