"""What silver.events spans: the last day that is whole, the one to which purchases reach, and how late they were known."""

import sys
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import InsufficientData
from propensity_spark.ingest.lateness import AT_ONCE, Lateness
from propensity_spark.pipeline import extent, run
from propensity_spark.progress import Progress

Make = Callable[..., DataFrame]
SPANNED = "event_date DATE, event STRING, event_ts TIMESTAMP, known_ts TIMESTAMP, source STRING"


def _days(table: Make, *ends: str) -> DataFrame:
    """One event a day at midnight and one at its end; ends are UTC."""
    rows = [(day, end) for end in ends for day in [end[:10]]]
    ddl = "event_date DATE, event_ts TIMESTAMP, known_ts TIMESTAMP, event STRING, source STRING"
    return table(ddl, *((day, at, at, "purchase", "shop") for day, end in rows for at in (end, f"{day} 00:00:00")))


USUAL = [f"2024-02-0{day} 22:00:00" for day in range(1, 9)]


@pytest.mark.parametrize(
    ("zone", "ends", "expected"),
    [
        ("UTC", [*USUAL, "2024-02-09 20:00:00"], "2024-02-09"),  # two hours early is still a day
        ("UTC", [*USUAL, "2024-02-09 19:59:59"], "2024-02-08"),  # a second more is not
        ("UTC", ["2024-02-09 09:00:00"], "2024-02-09"),  # nothing to compare with
        # the shop's clock: 22:00 and 21:00 in Tokyo, with the day of the shop
        ("Asia/Tokyo", ["2024-02-08 13:00:00", "2024-02-09 12:00:00"], "2024-02-09"),
        # an early quarter of days: 12:00 is usual, so that 10:00 is in order
        ("UTC", ["2024-02-01 12:00:00", "2024-02-02 12:00:00", *USUAL[2:6], "2024-02-09 10:00:00"], "2024-02-09"),
        ("UTC", ["2024-02-01 12:00:00", *USUAL[1:4], "2024-02-09 19:59:59"], "2024-02-04"),
        ("UTC", ["2024-01-11 08:00:00", *(f"2024-01-{d} 22:00:00" for d in range(12, 31)), *USUAL, "2024-02-09 09:00:00"],
         "2024-02-08"),
    ],
)  # fmt: skip
def test_a_last_day_that_ends_two_hours_early_is_cut_off(
    spark: SparkSession, table: Make, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, zone: str,
    ends: list[str], expected: str,
) -> None:  # fmt: skip
    frame = _days(table, *ends)
    monkeypatch.setattr(tables, "read", lambda spark, name: frame)
    assert str(extent.look(spark, config(shop={"time_zone": zone})).full) == expected


def _heard(day: int, source: str, event: str) -> tuple[object, ...]:
    date_ = f"{FIRST + timedelta(days=day)}"
    return date_, event, f"{date_} 23:00:00", f"{date_} 23:00:00", source


FIRST = date(2024, 1, 1)
LOOKS = [_heard(day, "clicks", "view") for day in range(100)]


@pytest.mark.parametrize(
    ("orders", "sold"),
    [
        (range(93), 92),  # every day, and then no more: the log ends
        (range(98), 97),
        (range(99), 98),  # not even a day was without orders before
        (range(100), 99),
        ((*range(60), *range(66, 94)), 99),  # six days of silence are nothing new
        ((*range(60), *range(66, 93)), 92),  # seven are
        ((1, 2, *range(9, 96)), 95),  # nor is it known whether a silence of so long ago means anything
        ((1, *range(9, 96), 98), 99),
        ((96,), 99),  # nothing to compare with
        ((), 99),
    ],
)
def test_where_purchases_end_before_other_events_so_does_what_is_learnt_from(
    spark: SparkSession,
    table: Make,
    config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    orders: Sequence[int],
    sold: int,
) -> None:
    rows = [*LOOKS, *(_heard(day, "orders", "return" if day % 2 else "purchase") for day in orders)]
    monkeypatch.setattr(tables, "read", lambda *_: table(SPANNED, *rows))
    found = extent.look(spark, config())
    assert (found.last, found.sold, found.full) == (FIRST + timedelta(days=99), *[FIRST + timedelta(days=sold)] * 2)


def test_it_is_said_where_purchases_end_before_other_events(
    spark: SparkSession,
    table: Make,
    config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = table(SPANNED, *LOOKS, *(_heard(day, "orders", "purchase") for day in range(93)))
    monkeypatch.setattr(tables, "exists", lambda *_: True)
    monkeypatch.setattr(tables, "read", lambda *_: frame)
    assert run._as_of(spark, config(), Progress()) == FIRST + timedelta(days=93), "the day after the last that is known in full"
    assert "end on 2024-04-02, 7 days before other events" in capsys.readouterr().err
    assert run._as_of(spark, config(score={"as_of": date(2024, 4, 9)}), Progress()) == date(2024, 4, 9)
    assert "end on" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sales", "is_told"),
    [
        (range(50), True),
        (range(99), True),  # a whole day without, for the first time
        (range(100), False),
        ((*range(60), *range(65, 95)), False),  # of four days there is nothing new in five
        ((*range(60), *range(65, 94)), True),
        ((*range(95), 98), False),
        ((50,), False),  # nothing to compare with
        ((), False),
    ],
)
def test_one_log_of_all_events_ends_where_it_ends_and_a_pause_of_purchases_is_told(
    spark: SparkSession,
    table: Make,
    config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    sales: Sequence[int],
    is_told: bool,
) -> None:
    rows = [*LOOKS, *(_heard(day, "clicks", "purchase") for day in sales)]
    monkeypatch.setattr(tables, "read", lambda *_: table(SPANNED, *rows))
    found = extent.look(spark, config())
    assert found.sold == FIRST + timedelta(days=99)
    newest = FIRST + timedelta(days=100)
    assert bool(found.doubts(newest)) == is_told
    if is_told:
        (doubt,) = found.doubts(newest)
        assert doubt.startswith(
            f"the last purchase is of {FIRST + timedelta(days=sales[-1])}, and their log goes on until 2024-04-09"
        )
    assert not found.doubts(FIRST + timedelta(days=40)), "a look back is none of it"


@pytest.mark.parametrize(("orders", "sold", "full"), [(range(100), 100, 99), (range(0, 99, 7), 100, 99), (range(93), 92, 92)])
def test_a_day_that_has_only_begun_is_no_silence_of_orders(
    spark: SparkSession,
    table: Make,
    config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    orders: Sequence[int],
    sold: int,
    full: int,
) -> None:
    """A run before dawn: looks of this night, and orders until last night, or of last Friday where there are some each week."""
    night = ("2024-04-10", "view", "2024-04-10 03:00:00", "2024-04-10 03:00:00", "clicks")
    rows = [*LOOKS, *(_heard(day, "orders", "purchase") for day in orders), night]
    monkeypatch.setattr(tables, "read", lambda *_: table(SPANNED, *rows))
    found = extent.look(spark, config())
    assert (found.sold, found.full) == (FIRST + timedelta(days=sold), FIRST + timedelta(days=full))


def test_a_last_day_that_is_cut_off_need_not_have_purchases(
    spark: SparkSession, table: Make, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    morning = ("2024-04-10", "view", "2024-04-10 03:00:00", "2024-04-10 03:00:00", "clicks")
    rows = [*LOOKS, *(_heard(day, "clicks", "purchase") for day in range(100)), morning]
    monkeypatch.setattr(tables, "read", lambda *_: table(SPANNED, *rows))
    found = extent.look(spark, config())
    assert (str(found.last), str(found.full)) == ("2024-04-10", "2024-04-09")
    assert found.doubts(date(2024, 4, 10)) == ()


def test_what_the_events_span_and_how_late_their_newest_purchases_were_known(
    spark: SparkSession, table: Make, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, ddl = "12:00:00", SPANNED
    imported = [(f"2024-01-{d:02}", "purchase", f"2024-01-{d:02} {at}", f"2024-02-01 {at}") for d in range(1, 21)]  # long after
    live = [(f"2024-02-{d:02}", "purchase", f"2024-02-{d:02} {at}", f"2024-02-{d:02} {late}:00:00") for d in range(1, 29)
            for late in (12, 12, 12, 16)]  # fmt: skip
    looks = [("2024-03-01", "view", f"2024-03-01 {at}", f"2024-03-09 {at}")]
    monkeypatch.setattr(tables, "read", lambda spark, name: table(ddl, *((*row, "shop") for row in (*imported, *live, *looks))))
    found = extent.look(spark, config())
    assert (str(found.first), str(found.last), found.types, found.rows) == ("2024-01-01", "2024-03-01", {"purchase", "view"}, 133)
    assert found.late == Lateness(timedelta(hours=1), timedelta(hours=4))
    monkeypatch.setattr(tables, "read", lambda spark, name: table(ddl, *((*row, "shop") for row in looks)))
    assert extent.look(spark, config()).late == AT_ONCE, "of purchases alone"
    monkeypatch.setattr(tables, "read", lambda spark, name: table(ddl))
    with pytest.raises(InsufficientData, match="nothing was accepted"):
        extent.look(spark, config())


@pytest.mark.parametrize(
    ("stores", "until"),
    [
        (range(100), None),
        (range(90), 89),  # daily, and no more
        ((*range(60), *range(67, 94)), None),  # of six days there is nothing new in five
        ((*range(60), *range(67, 92)), 91),
        (range(9), None),  # it gave way to another long ago
    ],
)
def test_a_log_of_purchases_that_ends_before_others_is_told(
    spark: SparkSession,
    table: Make,
    config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    stores: Sequence[int],
    until: int | None,
) -> None:
    both = [_heard(day, "online", "purchase") for day in range(100)] + [_heard(day, "stores", "purchase") for day in stores]
    monkeypatch.setattr(tables, "read", lambda *_: table(SPANNED, *LOOKS, *both))
    found = extent.look(spark, config())
    newest = FIRST + timedelta(days=100)
    assert found.sold == newest - timedelta(days=1)
    if until is None:
        assert found.doubts(newest) == ()
        return
    last = FIRST + timedelta(days=until)
    assert found.doubts(last + timedelta(days=1)) == ()
    (doubt,) = found.doubts(newest)
    assert doubt.startswith(f"stores brings purchases and ends on {last}, others go on until {found.full}: ")


@pytest.mark.parametrize(("begins", "is_told"), [(60, False), (31, False), (87, False), (30, True), (88, True), (0, True)])
def test_a_log_that_gave_way_to_another_is_not_missed(
    spark: SparkSession,
    table: Make,
    config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    begins: int,
    is_told: bool,
) -> None:
    """It ends on day 59; within four weeks of that the other one may have taken its place."""
    both = [_heard(day, "old", "purchase") for day in range(60)] + [_heard(day, "new", "purchase") for day in range(begins, 100)]
    monkeypatch.setattr(tables, "read", lambda *_: table(SPANNED, *LOOKS, *both))
    found = extent.look(spark, config())
    assert [source for source, _ in found.ended] == (["old"] if is_told else [])


@pytest.mark.parametrize(
    ("stray", "apart", "rows", "is_told"), [(1, 91, 999, True), (1, 90, 999, False), (1, 91, 998, False), (2, 91, 1998, True)]
)
def test_a_few_rows_long_before_all_others_are_told(
    spark: SparkSession, table: Make, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, stray: int, apart: int,
    rows: int, is_told: bool,
) -> None:  # fmt: skip
    old = FIRST - timedelta(days=apart)
    made = [(f"{old}", "purchase", f"{old} 10:00:00", f"{old} 10:00:00", "log")] * stray + [_heard(0, "log", "purchase")] * rows
    frame = table(SPANNED, *made)
    monkeypatch.setattr(tables, "read", lambda spark, name: frame)
    found = extent.look(spark, config())
    assert found.strays == ((stray, old, FIRST) if is_told else None)
    told = f"{stray} of {rows + stray:,} events are of {old} to {old}, and the next of {FIRST}"
    assert any(doubt.startswith(told) for doubt in found.doubts(FIRST)) == is_told


def test_who_runs_without_a_check_is_told_what_it_would_ask(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run.doubts, "doubts", lambda config: ["is it so?"])
    monkeypatch.setattr(run.ingest, "run", lambda *_: print("ingested", file=sys.stderr))
    run._ingest(None, config(), Progress())  # type: ignore[arg-type]
    assert capsys.readouterr().err == "  perhaps not meant: is it so?\ningested\n"
