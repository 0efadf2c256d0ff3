"""What is bought next: the regression agrees with scikit-learn, reads matured horizons only, and knows an order in time."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from propensity_spark.trainset import following
from propensity_spark.trainset.pasts import past

HORIZON, HALF_LIFE = 28, 120.0


def rows(*made: tuple[int, int, int, bool, float]) -> pd.DataFrame:
    """One per user, product and day: user, product, age, bought, interest."""
    return pd.DataFrame(made, columns=["user", "product", "age", "bought", "interest"])


def drawn(users: int, products: int, days: int, seed: int = 4) -> pd.DataFrame:
    """Purchases and looks of all ages."""
    draw = np.random.default_rng(seed)
    made = {
        (u, p, a): (u, p, a, draw.random() < 0.7, 1.0) for u, p, a in draw.integers((0, 0, 1), (users, products, days), (900, 3))
    }
    return rows(*made.values()).sort_values(["user", "product", "age"], ignore_index=True)


def dense(sample: pd.DataFrame, users: int, products: int, ago: int) -> np.ndarray:
    """The pasts as of `ago` days before the date, with loops."""
    found = np.zeros((users, products))
    for row in sample.itertuples():
        if row.age > ago:
            found[row.user, row.product] += row.interest * 0.5 ** ((row.age - ago) / HALF_LIFE)
    found = np.log1p(found)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def test_it_is_the_ridge_regression_of_scikit_learn() -> None:
    users, products = 40, 6
    sample = drawn(users, products, 150)
    pasts, next_ = [], []
    for ago in (28, 56, 84):
        after = np.zeros((users, products))
        for row in sample.itertuples():
            if row.bought and ago - HORIZON < row.age <= ago:
                after[row.user, row.product] = 1
        before = dense(sample, users, products, ago)
        both = (after.sum(axis=1) > 0) & (before.sum(axis=1) > 0)
        pasts.append(before[both])
        next_.append(after[both])
    expected = Ridge(alpha=10.0, fit_intercept=False).fit(np.vstack(pasts), np.vstack(next_)).coef_.T
    found = following.learn(sample, products, HORIZON, HALF_LIFE)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(past(sample, users, products, HALF_LIFE).toarray(), dense(sample, users, products, 0), rtol=1e-5)


def test_a_purchase_on_the_moment_s_day_follows_and_one_before_it_leads() -> None:
    """As of 28 days ago: a row 28 days old lies after the moment, one of 29 days before it."""
    found = following.learn(rows((0, 0, 29, True, 1.0), (0, 1, 28, True, 1.0)), 2, HORIZON, HALF_LIFE)
    assert found is not None
    assert found[0, 1] == pytest.approx(1 / 11)
    assert found[1, 0] == found[1, 1] == found[0, 0] == 0


def test_what_comes_first_leads_to_what_comes_next_and_not_back() -> None:
    made = [row for user in range(30) for row in ((user, 0, 40, True, 1.0), (user, 1, 10, True, 1.0))]
    found = following.learn(rows(*made), 3, HORIZON, HALF_LIFE)
    assert found is not None
    assert found[0, 1] > 0.5
    assert found[1, 0] == 0


@pytest.mark.parametrize("made", [[(0, 0, 5, True, 1.0)], [(0, 0, 100, True, 1.0)], [(0, 0, 40, True, 1.0), (0, 1, 3, False, 0.2)]])
def test_without_a_past_and_a_purchase_after_it_nothing_is_learnt(made: list[tuple[int, int, int, bool, float]]) -> None:
    assert following.learn(rows(*made), 2, HORIZON, HALF_LIFE) is None
