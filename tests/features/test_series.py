"""A series sees what was known at the moment: days that had ended, regions of then, campaigns that were on; clocks may change."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import SeriesConfig
from propensity_spark.errors import MissingColumns
from propensity_spark.features.compute import moments
from propensity_spark.features.series import columns, series_at
from propensity_spark.loading import from_mapping
from propensity_spark.schemas import SERIES, SERIES_MEMBERS, USER_VERSIONS

Make = Callable[..., DataFrame]
EVER = "1900-01-01 00:00:00"
SPINE = "user_id STRING, as_of_ts TIMESTAMP"


def _declared(name: str, **more: Any) -> SeriesConfig:
    plain = {"name": name, "path": "x.csv", "day": "day", "values": ["heat"]}
    users = {"path": "users.csv", "id": "id", "attributes": ["region"]}
    return from_mapping({"series": [{**plain, **more}], "users": users}).series[0]


WEATHER = _declared("weather")
LOCAL = _declared("local", region="place", region_of="region")
PLANNED = _declared("planned", known_in_advance=True, ahead=[1, 7])
MAILING = _declared("mailing", campaign="c", members={"path": "m", "campaign": "c", "user": "u"}, known_in_advance=True)


def _row(name: str, day: str, heat: float, known: str, **more: Any) -> tuple[Any, ...]:
    until = more.get("until") or str(date.fromisoformat(day) + timedelta(days=1))
    return (name, day, until, more.get("region"), more.get("campaign"), {"heat": float(heat)}, known)


def _rows(spark: SparkSession, *rows: tuple[Any, ...]) -> DataFrame:
    texts = "series STRING, day STRING, until STRING, region STRING, campaign STRING, values MAP<STRING,DOUBLE>, known_ts STRING"
    types = {f.name: f.dataType for f in SERIES.struct()}
    return spark.createDataFrame(list(rows), texts).select(*(F.col(c).cast(types[c]) for c in SERIES.columns))


def _answers(found: DataFrame, *names: str) -> list[Any]:
    rows = found.orderBy("user_id", "as_of_ts").collect()
    return [row[names[0]] if len(names) == 1 else tuple(row[n] for n in names) for row in rows]


def test_a_value_is_seen_when_its_day_has_ended_and_it_was_known(spark: SparkSession, table: Make) -> None:
    rows = _rows(
        spark,
        _row("weather", "2024-03-01", 1, "2024-03-01 23:59:59.999999"),
        _row("weather", "2024-03-02", 2, "2024-03-03 12:00:00"),
        _row("weather", "2024-03-03", 3, EVER),
        _row("other", "2024-02-01", 9, EVER),
    )
    times = [
        ("2024-03-01 23:59:59.999999", None, None),
        ("2024-03-02 00:00:00", 1, 1),  # yesterday, known with its last microsecond
        ("2024-03-03 12:00:00", 1, 2),
        ("2024-03-03 12:00:00.000001", 2, 1),
        ("2024-03-03 23:59:59.999999", 2, 1),  # known in advance, and the day is not over
        ("2024-03-04 00:00:00", 3, 1),
        ("2024-05-04 00:00:00", 3, 62),
    ]
    found = series_at(table(SPINE, *(("ann", at) for at, *_ in times)), [WEATHER], rows, "UTC")
    assert _answers(found, "weather_heat", "weather_days_ago") == [(heat, ago) for _, heat, ago in times]


def test_a_revision_counts_from_when_it_was_known(spark: SparkSession, table: Make) -> None:
    rows = _rows(
        spark,
        _row("weather", "2024-03-01", 1, "2024-03-02 06:00:00"),
        _row("weather", "2024-03-01", 5, "2024-03-03 06:00:00"),
        _row("weather", "2024-03-02", 2, "2024-03-04 06:00:00"),
        _row("weather", "2024-03-01", 7, "2024-03-05 06:00:00"),  # of a day that is no longer the newest
    )
    spine = table(SPINE, *(("ann", f"2024-03-0{day} 12:00:00") for day in range(1, 7)))
    assert _answers(series_at(spine, [WEATHER], rows, "UTC"), "weather_heat") == [None, 1, 5, 2, 2, 2]


def test_the_region_is_the_one_that_was_known_then(spark: SparkSession, table: Make) -> None:
    users = table(
        USER_VERSIONS.ddl,
        ("ann", {"region": "north"}, EVER, None, EVER),
        ("ann", {"region": "south "}, "2024-03-03", None, "2024-03-04 00:00:00"),
        ("bob", {"region": "moon"}, EVER, None, EVER),
    )
    rows = _rows(spark, _row("local", "2024-03-01", 1, EVER, region="north"), _row("local", "2024-03-01", 30, EVER, region="south"))
    spine = table(SPINE, *((u, f"2024-03-0{d}") for u in ("ann", "bob", "cem") for d in (4, 5)))
    found = series_at(spine, [LOCAL, WEATHER], rows, "UTC", users=users)
    assert _answers(found, "local_heat") == [1, 30, None, None, None, None]
    with pytest.raises(MissingColumns, match=r"silver\.user_versions"):
        series_at(spine, [LOCAL], rows, "UTC")


def test_planned_days_are_summed_from_as_of_on_as_the_plan_was_known(spark: SparkSession, table: Make) -> None:
    rows = _rows(
        spark,
        _row("planned", "2024-03-08", 1, EVER),
        _row("planned", "2024-03-10", 10, EVER, until="2024-03-13"),
        _row("planned", "2024-03-09", 100, "2024-03-05 00:00:00"),
        _row("planned", "2024-03-09", 500, "2024-03-06 00:00:00"),
    )
    spine = table(SPINE, *(("ann", f"2024-03-{d:02}") for d in (1, 2, 5, 6, 7, 8, 9, 12, 13)))
    assert _answers(series_at(spine, [PLANNED], rows, "UTC"), "planned_heat_next_1", "planned_heat_next_7") == [
        (0, 0),  # [1, 8)
        (0, 1),  # [2, 9)
        (0, 21),  # [5, 12): the 9th is not known yet
        (0, 131),  # [6, 13): known, and not yet revised
        (0, 531),  # revised
        (1, 531),
        (500, 530),
        (10, 10),  # the span's last day
        (0, 0),
    ]


def _member(campaign: str, user: str, start: str = EVER, end: str | None = None, known: str = EVER) -> tuple[Any, ...]:
    return ("mailing", campaign, user, start, end, known)


def test_a_campaign_is_on_from_its_first_day_to_its_last_for_its_members(spark: SparkSession, table: Make) -> None:
    rows = _rows(
        spark,
        _row("mailing", "2024-03-02", 5, EVER, until="2024-03-04", campaign="1"),
        _row("mailing", "2024-03-03", 7, EVER, until="2024-03-06", campaign="2"),
        _row("mailing", "2024-03-02", 9, EVER, until="2024-03-09", campaign="3"),
    )
    members = table(
        SERIES_MEMBERS.ddl,
        _member("1", "ann"),
        _member("1", "ann", "2024-03-01", "2024-03-09"),  # said twice: it is one campaign
        _member("2", "ann"),
        _member("3", "bob", "2024-03-03", "2024-03-05", "2024-03-03"),
    )
    days = ["2024-03-01 23:59:59.999999", *(f"2024-03-0{d}" for d in range(2, 7))]
    spine = table(SPINE, *((u, at) for u in ("ann", "bob", "cem") for at in days))
    found = series_at(spine, [MAILING], rows, "UTC", members=members)
    assert _answers(found, "mailing_active", "mailing_heat") == [
        *((0, 0), (1, 5), (2, 12), (1, 7), (1, 7), (0, 0)),
        *((0, 0), (0, 0), (0, 0), (1, 9), (0, 0), (0, 0)),  # bob: known only after the 3rd began
        *((0, 0),) * 6,
    ]
    with pytest.raises(MissingColumns, match=r"silver\.series_members"):
        series_at(spine, [MAILING], rows, "UTC")


def test_a_campaign_that_was_changed_counts_as_it_was_known(spark: SparkSession, table: Make) -> None:
    rows = _rows(
        spark,
        _row("mailing", "2024-03-01", 5, "2024-02-01", until="2024-03-09", campaign="1"),
        _row("mailing", "2024-03-01", 6, "2024-03-03", until="2024-03-05", campaign="1"),  # made shorter, told on the 3rd
    )
    spine = table(SPINE, *(("ann", f"2024-03-0{d}") for d in (2, 3, 4, 5)))
    found = series_at(spine, [MAILING], rows, "UTC", members=table(SERIES_MEMBERS.ddl, _member("1", "ann")))
    assert _answers(found, "mailing_heat") == [5, 5, 6, 0]


@pytest.mark.parametrize(
    ("zone", "change"),
    [("Europe/London", "2024-03-31"), ("Europe/London", "2024-10-27"), ("America/New_York", "2024-03-10"),
     ("America/New_York", "2024-11-03")],
)  # fmt: skip
def test_days_begin_at_the_shops_midnight_where_clocks_change(spark: SparkSession, table: Make, zone: str, change: str) -> None:
    first = date.fromisoformat(change) - timedelta(days=2)
    days = [first + timedelta(days=n) for n in range(5)]
    ends = [d + timedelta(days=1) for d in days]
    midnights = [datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) for d in ends]
    step = timedelta(microseconds=1)
    known = [(m - step).strftime("%Y-%m-%d %H:%M:%S.%f") for m in midnights]
    seen = [_row("weather", str(d), n, k) for n, (d, k) in enumerate(zip(days, known, strict=True))]
    planned = [_row("planned", str(d), n, EVER) for n, d in enumerate(days)]
    spine = moments(table("x INT"), days, zone).select(F.lit("ann").alias("user_id"), "as_of_ts")
    before = spine.withColumn("as_of_ts", F.col("as_of_ts") - F.expr("INTERVAL 1 MICROSECOND"))
    names = ("weather_heat", "weather_days_ago", "planned_heat_next_1")
    found = series_at(spine.unionByName(before), [WEATHER, PLANNED], _rows(spark, *seen, *planned), zone)
    rows = _answers(found, *names)
    assert rows[1::2] == [(n - 1 if n else None, 1 if n else None, n) for n in range(5)]  # at midnight
    assert rows[0::2] == [(n - 2 if n > 1 else None, 1 if n > 1 else None, max(n - 1, 0)) for n in range(5)]  # just before


def test_plain_python_agrees_on_random_rows(spark: SparkSession) -> None:
    draw, start, zone = random.Random(5), datetime(2024, 3, 28), ZoneInfo("Europe/London")
    time = lambda: start + timedelta(hours=draw.randrange(24 * 9))  # noqa: E731
    made: dict[tuple[str, date, datetime], float] = {}
    for _ in range(60):
        made[draw.choice("ab"), (start + timedelta(days=draw.randrange(9))).date(), time()] = draw.randrange(100)
    spine = [(draw.choice("xyz"), time()) for _ in range(300)]
    lives = {"x": "a", "y": "b"}
    users = [(u, {"region": r}, datetime(1900, 1, 1), None, datetime(1900, 1, 1)) for u, r in lives.items()]
    local = [_row("local", str(d), v, str(k), region=r) for (r, d, k), v in made.items()]
    asked = spark.createDataFrame(spine, SPINE)
    found = series_at(asked, [LOCAL], _rows(spark, *local), "Europe/London", users=spark.createDataFrame(users, USER_VERSIONS.ddl))
    assert found.count() == len(spine)

    def oracle(user: str, at: datetime) -> float | None:
        day = at.replace(tzinfo=UTC).astimezone(zone).date()
        seen = [(d, k, v) for (r, d, k), v in made.items() if r == lives.get(user) and d < day and k < at]
        return max(seen)[2] if seen else None

    assert {(r["user_id"], r["as_of_ts"], r["local_heat"]) for r in found.collect()} == {(u, at, oracle(u, at)) for u, at in spine}


def test_the_spine_keeps_its_rows_and_columns_and_gains_the_declared_ones(spark: SparkSession, table: Make) -> None:
    spine = table("n INT, user_id STRING, at TIMESTAMP", (1, "ann", "2024-03-02"), (1, "ann", "2024-03-02"), (2, None, None))
    declared = [WEATHER, PLANNED, MAILING]
    rows, none = _rows(spark, _row("weather", "2024-03-01", 1, EVER)), table(SERIES_MEMBERS.ddl)
    found = series_at(spine, declared, rows, "UTC", members=none, moment="at")
    assert found.columns == ["n", "user_id", "at", *(c for one in declared for c in columns(one))]
    assert sorted((r["n"], r["weather_heat"], r["planned_heat_next_7"], r["mailing_active"]) for r in found.collect()) == [
        (1, 1, 0, 0), (1, 1, 0, 0), (2, None, 0, 0)]  # fmt: skip
    with pytest.raises(MissingColumns, match="the spine lacks"):
        series_at(spine, declared, rows, "UTC", members=none)
