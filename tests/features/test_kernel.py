"""The kernel against a plain reading of its rules, row by row; and at the edges of windows, days and knowledge."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from unittest import mock
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity_spark.features import kernel, runs
from propensity_spark.features.kernel import NEVER, NONE, Asked, Calendar, Kernel, Rows, Spine
from propensity_spark.features.runs import Ints, Pairs, Runs

ZONE = "Europe/London"  # clocks went forward on 31 March 2024
CALENDAR = Calendar(ZONE, date(2024, 3, 20), date(2024, 4, 20))
MIDNIGHT = {day: int(CALENDAR.midnights[day]) for day in range(31)}
HOUR = 3_600_000_000
DAY = 24 * HOUR
WINDOWS: tuple[int | None, ...] = (1, 3, 7, None)
Row = tuple[int, int, int, int, int, int]  # key, ts, known, until, value, other


def micros(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)) - datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
    return (moment.days * 86_400 + moment.seconds) * 1_000_000


def asked(rows: list[Row], spine: list[tuple[int, int]], keys: int = 4) -> Asked:
    columns = np.array(rows, np.int64).reshape(-1, 6).T.copy()
    made = Rows(columns[0], columns[1], columns[2], columns[3], {"value": columns[4], "other": columns[5]})
    wanted = np.array(spine, np.int64).reshape(-1, 2).T.copy()
    return Asked(Kernel(made, keys, CALENDAR), Spine(wanted[0], wanted[1]))


def begins(moment: int, days: int | None) -> int:
    """By the clock on the wall, not by the calendar's own search."""
    if days is None:
        return int(NONE)
    local = datetime.fromtimestamp(moment // 1_000_000, ZoneInfo(ZONE))
    start = (local.replace(tzinfo=None) - timedelta(days=days)).date()
    return micros(start.isoformat())


def holds(row: Row, at: tuple[int, int], days: int | None) -> bool:
    return row[0] == at[0] and begins(at[1], days) <= row[1] and row[2] < at[1] <= row[3]


def placed(row: Row, at: tuple[int, int], days: int | None) -> bool:
    return row[0] == at[0] and begins(at[1], days) <= row[1] and row[2] < at[1] and row[4] != 0


ROW = st.builds(
    lambda key, ts, lag, stays, value, other: (key, ts, ts + lag, int(NEVER) if stays is None else ts + lag + stays, value, other),
    st.integers(0, 3),
    st.one_of(st.sampled_from(sorted(MIDNIGHT.values())), st.integers(MIDNIGHT[5], MIDNIGHT[25])).flatmap(
        lambda moment: st.sampled_from([moment - 1, moment, moment + 1, moment + HOUR])
    ),
    st.sampled_from([0, 0, 0, 1, HOUR, 22 * HOUR, 23 * HOUR, 24 * HOUR, 2 * DAY, 9 * DAY]),
    st.sampled_from([None, None, None, 0, 1, HOUR, 5 * DAY]),
    st.integers(-2, 3),
    st.integers(0, 2),
)
MOMENT = st.tuples(
    st.integers(0, 3),
    st.one_of(
        st.sampled_from(sorted(MIDNIGHT.values())[8:]),
        st.integers(MIDNIGHT[8], MIDNIGHT[30]),
    ),
)


@settings(max_examples=150)
@given(st.lists(ROW, max_size=30), st.lists(MOMENT, min_size=1, max_size=8), st.sampled_from([(3, 31), (1, 5), (2, 9)]))
def test_every_operation_agrees_with_reading_the_rows_one_by_one(
    rows: list[Row], spine: list[tuple[int, int]], late: tuple[int, int]
) -> None:
    with mock.patch.object(kernel, "_LATE", tuple(days * DAY for days in late)):
        found = asked(rows, spine)
    for days in WINDOWS:
        inside = [[r for r in rows if holds(r, at, days)] for at in spine]
        counted = [[r for r in held if r[4] != 0] for held in inside]
        heard = [[r[1] for r in rows if placed(r, at, days)] for at in spine]
        assert found.total("value", days).tolist() == [sum(r[4] for r in held) for held in inside]
        assert found.last("value", days).tolist() == [max(times, default=int(NONE)) for times in heard]
        assert found.first("value", days).tolist() == [min(times, default=int(NONE)) for times in heard]
        assert found.distinct("other", "value", days).tolist() == [len({r[5] for r in held}) for held in counted]
        sizes, smallest = found.smallest("other", "value", days, 2)
        assert sizes.tolist() == [min(len({r[5] for r in held}), 2) for held in counted]
        assert smallest.tolist() == [value for held in counted for value in sorted({r[5] for r in held})[:2]]
        for pick, plainly in ((np.minimum, min), (np.maximum, max)):
            expected = [plainly((r[5] for r in held), default=int(NONE)) for held in counted]
            assert found.extreme("other", "value", days, pick).tolist() == expected
    every = [[r for r in rows if holds(r, at, None)] for at in spine]
    assert found.seen().tolist() == [len(held) for held in every]
    faded = [sum(r[4] * 0.5 ** ((at[1] - r[1]) / DAY / 3) for r in held) for at, held in zip(spine, every, strict=True)]
    assert found.decayed("value", 3.0) == pytest.approx(np.array(faded), rel=1e-9, abs=1e-9)


def _at(ts: int, known: int | None = None, until: int = int(NEVER), value: int = 1) -> Row:
    return (0, ts, ts if known is None else known, until, value, 0)


NOON = micros("2024-04-10T12:00:00")
DAWN = micros("2024-04-10T00:00:00")
BEGIN = micros("2024-04-09T00:00:00")


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        (_at(BEGIN), 1),
        (_at(BEGIN - 1), 0),
        (_at(NOON - 1), 1),
        (_at(NOON), 0),
        (_at(DAWN), 1),
        (_at(NOON - 1, known=NOON), 0),
        (_at(BEGIN, known=NOON - 1), 1),
        (_at(BEGIN, until=NOON), 1),
        (_at(BEGIN, until=NOON - 1), 0),
    ],
)
def test_a_window_is_whole_days_and_the_day_so_far_of_what_is_known(row: Row, counts: int) -> None:
    assert asked([row], [(0, NOON)]).total("value", 1).tolist() == [counts]


def test_the_first_row_is_the_first_that_is_known() -> None:
    early, later = _at(NOON - 3 * HOUR, known=NOON), _at(NOON - 2 * HOUR, known=NOON - HOUR)
    found = asked([early, later], [(0, NOON - HOUR), (0, NOON - 1), (0, NOON + 1)])
    assert found.first("value", 1).tolist() == [int(NONE), NOON - 2 * HOUR, NOON - 3 * HOUR]
    assert found.last("value", 1).tolist() == [int(NONE), NOON - 2 * HOUR, NOON - 2 * HOUR]


@pytest.mark.parametrize("hours", [22, 23, 24, 25, 26, 29, 47, 60])
def test_a_row_from_before_the_window_counts_in_none_however_late_it_is_known(hours: int) -> None:
    rows = [_at(BEGIN - 1, known=BEGIN - 1 + hours * HOUR), _at(DAWN)]
    assert asked(rows, [(0, DAWN + 1)]).total("value", 1).tolist() == [1]


@pytest.mark.parametrize("late", [24 * HOUR, 26 * HOUR])
def test_a_nightly_load_is_not_held_against_each_moment_one_by_one(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where a single row of it came a month late."""
    times = np.array([MIDNIGHT[2] + n * HOUR for n in range(500)])
    known = times + late
    known[7] = times[7] + 20 * DAY
    looked_at: list[int] = []

    def ranges(begin: Ints, end: Ints) -> Pairs:
        looked_at.append(int(np.maximum(end - begin, 0).sum()))
        return runs.ranges(begin, end)

    monkeypatch.setattr(kernel, "ranges", ranges)
    rows = [_at(ts, known=heard) for ts, heard in zip(times, known, strict=True)]
    found = asked(rows, [(0, ts + HOUR) for ts in times])
    expected = [int(((begins(ts + HOUR, 1) <= times) & (known < ts + HOUR)).sum()) for ts in times]
    assert found.total("value", 1).tolist() == expected
    assert 0 < sum(looked_at) < 5 * len(times)


def test_a_window_over_a_change_of_clocks_begins_at_midnight() -> None:
    april = micros("2024-04-01T00:00:00")
    assert april - micros("2024-03-31T00:00:00") == 23 * HOUR
    rows = [_at(april - 23 * HOUR), _at(april - 23 * HOUR - 1)]
    assert asked(rows, [(0, april)]).total("value", 1).tolist() == [1]
    assert asked(rows, [(0, april)]).total("value", 3).tolist() == [2]


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Asia/Kathmandu"])
def test_days_follow_one_another_in_any_zone(zone: str) -> None:
    midnights = Calendar(zone, date(2011, 1, 1), date(2018, 12, 31)).midnights
    assert midnights.size == (date(2019, 1, 1) - date(2011, 1, 1)).days + 1
    assert np.all(np.diff(midnights) >= 0)


@settings(max_examples=60)
@given(st.lists(ROW, max_size=40), st.integers(1, 5), st.lists(MOMENT, min_size=1, max_size=5))
def test_totals_of_parts_merge_into_totals_of_the_whole(rows: list[Row], parts: int, spine: list[tuple[int, int]]) -> None:
    whole, split = asked(rows, spine), [asked(rows[n::parts], spine) for n in range(parts)]

    for days in WINDOWS:
        sums = np.sum([part.total("value", days) for part in split], axis=0)
        assert sums.tolist() == whole.total("value", days).tolist()
        newest = np.max([part.last("value", days) for part in split], axis=0)
        assert newest.tolist() == whole.last("value", days).tolist()
    fading = np.sum([part.decayed("value", 2.0) for part in split], axis=0)
    assert fading == pytest.approx(whole.decayed("value", 2.0), rel=1e-9, abs=1e-9)
    shuffled = asked(rows[::-1], spine)
    assert shuffled.decayed("value", 2.0) == pytest.approx(whole.decayed("value", 2.0), rel=1e-9, abs=1e-12)
    assert shuffled.total("value", 3).tolist() == whole.total("value", 3).tolist()


def test_a_search_in_runs_finds_what_a_search_in_each_run_finds() -> None:
    rng = np.random.default_rng(5)
    key, time = rng.integers(0, 50, 2000), rng.integers(0, 300, 2000)
    runs = Runs(key, time, 60)
    wanted, moment = rng.integers(0, 60, 500), rng.integers(-5, 310, 500)
    found = runs.before(wanted, moment) - runs.starts[wanted]
    assert found.tolist() == [int(np.sum((key == k) & (time < t))) for k, t in zip(wanted, moment, strict=True)]


def test_a_single_busy_key_takes_few_passes() -> None:
    """2**17 rows of one key, asked at as many moments: a pass per row, or a product of both, would not end in time."""
    n = 2**17
    ts = MIDNIGHT[2] + np.arange(n, dtype=np.int64) * (20 * DAY // n)
    one = np.ones(n, np.int64)
    kernel = Kernel(Rows(one * 0, ts, ts, np.full(n, NEVER), {"value": one}), 1, CALENDAR)
    found = Asked(kernel, Spine(one * 0, ts))
    assert found.total("value", None).tolist() == list(range(n))
    assert found.first("value", None)[1:].tolist() == [int(ts[0])] * (n - 1)
    assert found.last("value", None)[1:].tolist() == ts[:-1].tolist()
    assert found.decayed("value", 1.0)[-1] < n
