"""No label of an earlier part reaches into a later one, whatever the horizon."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propensity_spark.errors import InsufficientData
from propensity_spark.loading import from_mapping
from propensity_spark.trainset.split import Procedure, plan

FIRST, AS_OF = date(2020, 1, 1), date(2023, 1, 1)


@given(horizon=st.integers(1, 90), dates=st.integers(1, 8), step=st.integers(0, 60))
def test_labels_mature_before_the_next_part_begins(horizon: int, dates: int, step: int) -> None:
    config = from_mapping({"labels": {"horizon_days": horizon}, "train": {"dates": dates, "step_days": step}})
    timeline = plan(config, AS_OF, FIRST, AS_OF - timedelta(days=1))
    window = timedelta(days=horizon)

    def check(one: Procedure) -> None:
        assert max(one.train) + window <= one.calibrate
        assert one.calibrate + window <= one.score

    check(timeline.final)
    check(timeline.rehearsal)
    assert timeline.rehearsal.score + window <= AS_OF
    assert timeline.as_of == AS_OF
    assert AS_OF not in timeline.labelled


def test_the_backtest_needs_the_whole_horizon_in_the_data() -> None:
    config = from_mapping({"labels": {"horizon_days": 7}})
    assert plan(config, AS_OF, FIRST, AS_OF + timedelta(days=6)).backtest
    assert not plan(config, AS_OF, FIRST, AS_OF + timedelta(days=5)).backtest


@pytest.mark.parametrize(
    ("as_of", "horizon", "said"),
    [(FIRST, 7, "nothing is known before"), (AS_OF + timedelta(days=2), 7, "the data end on"), (AS_OF, 400, "need")],
)
def test_what_the_data_cannot_carry_is_said(as_of: date, horizon: int, said: str) -> None:
    with pytest.raises(InsufficientData, match=said):
        plan(from_mapping({"labels": {"horizon_days": horizon}}), as_of, FIRST, AS_OF)
