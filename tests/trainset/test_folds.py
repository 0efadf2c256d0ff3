"""Validation by time: what trains lies a horizon before what validates."""

from datetime import date, timedelta

import pytest

from propensity_spark.errors import InsufficientData
from propensity_spark.trainset.folds import Fold, folds

DAYS = [date(2024, 1, 1) + timedelta(days=14 * n) for n in range(6)]  # a fortnight apart; a horizon of 28 days is two steps


def test_the_newest_dates_validate_after_all_that_had_matured() -> None:
    assert folds(DAYS, 28, 2, None) == (Fold(tuple(DAYS[:4]), DAYS[5]), Fold(tuple(DAYS[:3]), DAYS[4]))


def test_a_date_exactly_a_horizon_before_has_matured_and_one_a_day_later_has_not() -> None:
    assert folds([DAYS[0], DAYS[2]], 28, 1, None) == (Fold((DAYS[0],), DAYS[2]),)
    with pytest.raises(InsufficientData, match="two training dates 28 days apart; the rehearsal has 2024-01-02, 2024-01-29"):
        folds([DAYS[0] + timedelta(days=1), DAYS[2]], 28, 1, None)


def test_a_sliding_history_keeps_the_last_dates() -> None:
    assert [fold.train for fold in folds(DAYS, 28, 9, 2)] == [
        (DAYS[2], DAYS[3]),
        (DAYS[1], DAYS[2]),
        (DAYS[0], DAYS[1]),
        (DAYS[0],),
    ]
