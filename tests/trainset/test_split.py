"""No label of an earlier part reaches into a later one, whatever the horizon."""

import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.errors import InsufficientData
from propensity_spark.ingest.lateness import AT_ONCE, Lateness
from propensity_spark.loading import from_mapping
from propensity_spark.trainset.split import Procedure, Timeline, calibration_share, doubts, held_out, kept_apart, plan

FIRST, AS_OF = date(2020, 1, 1), date(2023, 1, 1)
DAY = timedelta(days=1)


def _plan(horizon: int, first: date, last: date, late: Lateness = AT_ONCE, **train: int) -> Timeline:
    return plan(from_mapping({"labels": {"horizon_days": horizon}, "train": train}), AS_OF, first, last, late)


@given(
    horizon=st.one_of(st.sampled_from([1, 7, 28]), st.integers(1, 90)),
    dates=st.integers(1, 8),
    step=st.integers(0, 60),
    history=st.integers(2 * 90 + 28 + 8, 1200),
    known=st.integers(-1, 120),
    late=st.integers(0, 4),
)
def test_labels_mature_before_the_next_part_begins(
    horizon: int, dates: int, step: int, history: int, known: int, late: int
) -> None:
    first, last = AS_OF - history * DAY, AS_OF + known * DAY
    slow = Lateness(horizon * DAY, late * DAY)
    timeline = _plan(horizon, first, last, slow, dates=dates, step_days=step, min_history_days=28)
    window = (horizon + late) * DAY  # after which all is known

    def check(one: Procedure) -> None:
        assert 1 <= len(one.train) <= dates
        assert list(one.train) == sorted(set(one.train))
        assert one.train[0] >= first + 28 * DAY
        assert one.train[-1] == one.calibrate == one.score - window

    check(timeline.final)
    check(timeline.rehearsal)
    assert timeline.final.score == timeline.as_of == AS_OF
    assert timeline.rehearsal.score + window <= AS_OF
    assert all(day + window <= last + DAY for day in timeline.labelled), "labels are read once they are in the data"
    assert (AS_OF in timeline.labelled) == timeline.backtest == (AS_OF + window <= last + DAY)
    used = {*timeline.final.train, *timeline.rehearsal.train}
    for one in (timeline.final, timeline.rehearsal):
        used |= {one.calibrate, one.score}
    assert list(timeline.dates) == sorted(used)
    assert set(timeline.in_full) == {timeline.rehearsal.score, AS_OF}


def test_the_dates_of_a_week_are_those_of_the_docstring() -> None:
    timeline = _plan(7, FIRST, AS_OF - DAY, dates=2)
    weeks = {n: AS_OF - 7 * n * DAY for n in range(4)}
    assert timeline.final == Procedure((weeks[2], weeks[1]), AS_OF)
    assert timeline.rehearsal == Procedure((weeks[3], weeks[2]), weeks[1])
    assert timeline.labelled == timeline.learnt == (weeks[3], weeks[2], weeks[1])


def test_a_step_of_its_own_moves_the_training_dates_only() -> None:
    final = _plan(7, FIRST, AS_OF - DAY, dates=3, step_days=2).final
    assert [(AS_OF - day).days for day in final.train] == [11, 9, 7]
    assert (AS_OF - final.calibrate).days == 7


def test_the_backtest_needs_the_whole_horizon_in_the_data() -> None:
    assert _plan(7, FIRST, AS_OF + 6 * DAY).backtest
    assert not _plan(7, FIRST, AS_OF + 5 * DAY).backtest


def test_labels_that_judge_end_with_the_last_day_that_is_whole() -> None:
    last = AS_OF + 6 * DAY
    assert not plan(from_mapping({"labels": {"horizon_days": 7}}), AS_OF, FIRST, last, full_day=last - DAY).backtest
    assert plan(from_mapping({"labels": {"horizon_days": 6}}), AS_OF, FIRST, last, full_day=last - DAY).backtest


@pytest.mark.parametrize(
    ("as_of", "horizon", "said"),
    [
        (FIRST, 7, "nothing is known before"),
        (FIRST - DAY, 7, "nothing is known before"),
        (AS_OF + 2 * DAY, 7, f"the data end on {AS_OF}"),
        (AS_OF, 600, "with a horizon of 600 days need"),
        (FIRST + DAY, 1, "need"),
    ],
)
def test_what_the_data_cannot_carry_is_said(as_of: date, horizon: int, said: str) -> None:
    with pytest.raises(InsufficientData, match=said):
        plan(from_mapping({"labels": {"horizon_days": horizon}}), as_of, FIRST, AS_OF)


def test_the_day_after_the_data_is_the_last_that_can_be_scored() -> None:
    assert plan(from_mapping({}), AS_OF + DAY, FIRST, AS_OF).as_of == AS_OF + DAY


@pytest.mark.parametrize("horizon", [1, 7, 28])
def test_the_history_that_is_asked_for_is_what_is_needed(horizon: int) -> None:
    with pytest.raises(InsufficientData) as refused:
        _plan(horizon, AS_OF - DAY, AS_OF)
    said = re.search(r"need (\d+) days of history", str(refused.value))
    assert said
    needed = int(said[1])
    assert _plan(horizon, AS_OF - needed * DAY, AS_OF).rehearsal.train
    with pytest.raises(InsufficientData):
        _plan(horizon, AS_OF - (needed - 1) * DAY, AS_OF)


@pytest.mark.parametrize(
    ("history", "horizon", "before"),
    [
        (41, 7, 27),  # a day less than is wanted: the rehearsal's newest date trains alone
        (24, 7, 10),  # a month of logs of which the last week is to be predicted
        (64, 28, 8),  # three months and four weeks
        (63, 28, 7),
        (16, 7, 2),
        (3, 1, 1),
    ],
)
def test_a_young_shop_trains_on_the_newest_date_alone_and_it_is_said(history: int, horizon: int, before: int) -> None:
    first = AS_OF - history * DAY
    timeline = _plan(horizon, first, AS_OF - DAY)
    assert timeline.rehearsal.train == (AS_OF - 2 * horizon * DAY,) == (first + before * DAY,)
    assert timeline.final.train[0] >= first + before * DAY
    (told,) = doubts(from_mapping({}), timeline, first)
    assert f"{first + before * DAY}, has {before} days of history, 28 are wanted" in told


def test_with_as_much_history_as_is_wanted_nothing_is_said() -> None:
    first = AS_OF - 42 * DAY
    timeline = _plan(7, first, AS_OF - DAY)
    assert timeline.rehearsal.train == (first + 28 * DAY,)
    assert not doubts(from_mapping({}), timeline, first)


@pytest.mark.parametrize(("history", "horizon"), [(15, 7), (62, 28), (2, 1)])
def test_less_than_a_quarter_of_a_horizon_is_no_history(history: int, horizon: int) -> None:
    with pytest.raises(InsufficientData, match=f"need {history + 1} days of history"):
        _plan(horizon, AS_OF - history * DAY, AS_OF - DAY)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """A row per user and week."""
    weeks = [AS_OF - 7 * n * DAY for n in range(1, 4)]
    return spark.createDataFrame([(day, f"u{user}") for day in weeks for user in range(3000)], "as_of DATE, user_id STRING")


def test_some_users_calibrate_at_the_newest_date_and_train_at_older_ones(rows: DataFrame) -> None:
    final = _plan(7, FIRST, AS_OF - DAY, dates=3).final
    counts = rows.groupBy("as_of").agg(F.count_if(held_out(final, 1 / 3, 42)).alias("held")).collect()
    held = {row["as_of"]: row["held"] for row in counts}
    assert {day for day, number in held.items() if number} == {final.calibrate}
    assert held[final.calibrate] == pytest.approx(1000, abs=100)
    others = rows.where(held_out(final, 1 / 3, 43)).join(rows.where(held_out(final, 1 / 3, 42)), ["as_of", "user_id"], "left_semi")
    assert others.count() == pytest.approx(333, abs=80), "another seed, other users"


@pytest.mark.parametrize(("step", "apart"), [(7, (7,)), (0, (7,)), (6, (7, 13)), (2, (7, 9, 11, 13)), (1, tuple(range(7, 14)))])
def test_no_label_that_calibrates_was_learnt_at_an_older_date(spark: SparkSession, step: int, apart: tuple[int, ...]) -> None:
    """Whoever calibrates teaches from dates alone whose labels end before the calibration's begin."""
    final = _plan(7, FIRST, AS_OF - DAY, dates=12, step_days=step).final
    made = [(day, f"u{user}") for day in final.train for user in range(60)]
    rows = spark.createDataFrame(made, "as_of DATE, user_id STRING")
    calibrate = {row["user_id"] for row in rows.where(held_out(final, 1 / 3, 42)).collect()}
    assert 5 < len(calibrate) < 40
    left_out = {(row["as_of"], row["user_id"]) for row in rows.where(kept_apart(final, 1 / 3, 42, 7)).collect()}
    assert left_out == {(AS_OF - days * DAY, user) for days in apart for user in calibrate}
    assert all(day + 7 * DAY <= final.calibrate for day, user in {*made} - left_out if user in calibrate)


def test_half_of_few_purchases_calibrate_and_a_third_of_many() -> None:
    by_size = from_mapping({})
    assert [calibration_share(by_size, positives) for positives in (0, 2999, 3000)] == [1 / 2, 1 / 2, 1 / 3]
    assert calibration_share(from_mapping({"train": {"calibration_share": 0.2}}), 10) == 0.2


@pytest.mark.parametrize(
    ("horizon", "mean", "most", "days"),
    [
        (1, timedelta(hours=12), timedelta(hours=12), 1),
        (7, timedelta(days=1), timedelta(days=1), 1),
        (28, timedelta(days=1), timedelta(days=3), 3),
        (28, timedelta(days=1), timedelta(days=3, seconds=1), 4),
        (28, timedelta(hours=6), timedelta(days=3), 0),  # less than a hundredth of the labels
        (28, timedelta(), timedelta(), 0),
    ],
)
def test_purchases_that_are_known_late_move_the_dates_by_whole_days(
    horizon: int, mean: timedelta, most: timedelta, days: int
) -> None:
    assert Lateness(mean, most).days(horizon * DAY) == days
