"""Intervals by users: pairs of one user stand or fall together, equal seeds give equal intervals, ties are one step."""

import numpy as np
import pytest

from propensity_spark.judge.bootstrap import average_precision, mean_of, paired


def _slow_precision(user: list[int], label: list[int], score: list[float], times: list[float]) -> float:
    """Mean precision at each hit, equal scores together, by repeating rows."""
    rows = [(s, y) for u, y, s in zip(user, label, score, strict=True) for _ in range(int(times[u]))]
    levels = sorted({s for s, _ in rows}, reverse=True)
    hits = sum(y for _, y in rows)
    total = 0.0
    for level in levels:
        above = [y for s, y in rows if s >= level]
        total += sum(above) / len(above) * sum(y for s, y in rows if s == level)
    return total / hits


@pytest.mark.parametrize("times", [[1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 1.0, 1.0], [0.0, 3.0, 0.0, 1.0]])
def test_average_precision_is_that_of_rows_repeated(times: list[float]) -> None:
    draw = np.random.default_rng(3)
    user, label = draw.integers(0, 4, 60), (draw.random(60) < 0.3).astype(np.int64)
    score = np.round(draw.random(60), 1)  # many ties
    found = average_precision(user, label, score)(np.array(times))
    assert found == pytest.approx(_slow_precision(user.tolist(), label.tolist(), score.tolist(), times))


def test_without_a_hit_nothing_is_known() -> None:
    assert np.isnan(average_precision(np.array([0]), np.array([0]), np.array([0.5]))(np.ones(1)))
    assert np.isnan(mean_of(np.array([0]), np.array([0.5]))(np.zeros(1)))


def test_a_constant_gain_is_sure_and_the_same_users_are_drawn_for_both() -> None:
    user, value = np.arange(50), np.random.default_rng(1).random(50)
    found = paired({"first": mean_of(user, value), "more": mean_of(user, value + 0.1)}, "first", 50, 100, seed=1)
    assert set(found) == {"more"}
    assert (found["more"].low, found["more"].high) == pytest.approx((0.1, 0.1))


def test_the_interval_is_as_wide_as_users_differ() -> None:
    """One gain per user, on each of 30 rows: 30 times the rows of a user say no more than one."""
    gain = np.random.default_rng(2).normal(0.0, 1.0, 400)
    user, value = np.repeat(np.arange(400), 30), np.repeat(gain, 30)
    made = {"first": mean_of(user, np.zeros(12_000)), "more": mean_of(user, value)}
    found, again = (paired(made, "first", 400, 500, seed=9)["more"] for _ in range(2))
    assert found == again
    expected = 2 * 1.96 * gain.std() / np.sqrt(400)
    assert found.high - found.low == pytest.approx(expected, rel=0.15)
    assert paired(made, "first", 400, 500, seed=8)["more"] != found
