"""Totals on Spark against an independent reading in DuckDB; advanced day by day against built anew; and asked at any second."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark.errors import ConfigError
from propensity_spark.features import heavy, incremental, totals
from propensity_spark.features.declared import ENTITIES, Total
from propensity_spark.features.parts import Step

ZONE = "America/New_York"  # clocks went forward on 10 March 2024
FIRST, LAST = date(2024, 2, 1), date(2024, 3, 25)
DAYS = totals.calendar(FIRST, LAST, ZONE)
WIDTHS = (1, 7, 28)
WINDOWS = (*WIDTHS, None)
SUMS = (
    Total(name="views", where="event = 'view'", windows=WINDOWS),
    Total(name="purchases", where="event = 'purchase'", windows=WINDOWS),
    Total(name="returns", where="event = 'cancelled'", windows=(7,)),
    Total(name="spend", where="event = 'purchase'", value="amount", scale=100, windows=WINDOWS),
    Total(name="fading", where="event = 'view'", op="decayed", half_life_days=5.0),
    Total(name="bought_first", where="event = 'purchase'", op="first"),
    Total(name="bought_last", where="event = 'purchase'", op="last"),
)
COMPARED = (
    Total(name="least", where="event = 'purchase'", value="amount", scale=100, op="min", windows=(7, None)),
    Total(name="most", where="event = 'purchase'", value="amount", scale=100, op="max", windows=(7, None)),
    Total(name="products", where="event = 'view'", value="product_id", op="distinct", windows=(7, None)),
    Total(name="sketched", where="event = 'view'", value="product_id", op="sketch", windows=(7, None)),
    Total(name="viewed_last", where="event = 'view'", op="last", windows=(7,)),
    Total(name="viewed_first", where="event = 'view'", op="first", windows=(7,)),
)
EVENTS = (
    "user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, known_ts TIMESTAMP, cancelled_known_ts TIMESTAMP, "
    "amount DOUBLE, is_bot BOOLEAN"
)
Event = tuple[str, str, str, datetime, datetime, datetime | None, float | None, bool]


def _midnight(day: date) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=DAYS.midnight(day))


def _events(seed: int, count: int = 700) -> list[Event]:
    """Bought, looked at, taken back, late by a second or by weeks, many of them at midnight or a microsecond beside it."""
    rng, made = random.Random(seed), []
    for _ in range(count):
        day = FIRST + timedelta(days=rng.randrange((LAST - FIRST).days))
        near = rng.choice([timedelta(microseconds=n) for n in (-1, 0, 1)] + [timedelta(seconds=rng.randrange(86_400))] * 3)
        ts = _midnight(day) + near
        known = ts + rng.choice([timedelta(0)] * 4 + [timedelta(seconds=1), timedelta(hours=30), timedelta(days=9)])
        event = rng.choice(["view", "view", "purchase"])
        back = known + rng.choice([timedelta(0), timedelta(hours=5), timedelta(days=3)]) if rng.random() < 0.3 else None
        amount = round(rng.uniform(0, 50), 2) if event == "purchase" and rng.random() < 0.9 else None
        user, product = f"u{min(rng.randrange(6), rng.randrange(6))}", f"p{rng.randrange(4)}"
        made.append((user, product, event, ts, known, back if event == "purchase" else None, amount, rng.random() < 0.05))
    return made


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    return _frame(spark, _events(3)).persist()


def _frame(spark: SparkSession, rows: Sequence[Event]) -> DataFrame:
    return spark.createDataFrame(list(rows), EVENTS)


def _by_duckdb(
    rows: Sequence[Event], spine: Sequence[tuple[int, str | None, str | None, datetime]], declared: Sequence[Total]
) -> dict[int, dict[str, Any]]:
    """Every total by one plain SQL join of moments and rows, with windows from DuckDB's own time zones."""
    names = ("user_id", "product_id", "event", "event_ts", "known_ts", "back", "amount", "is_bot")
    events = pa.table({name: pa.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)})
    asked = pa.table(
        {name: pa.array(values) for name, values in zip(("row", "u", "p", "moment"), zip(*spine, strict=True), strict=True)}
    )
    chosen = []
    for total in declared:
        for column, window in total.columns.items():
            start = (
                "true"
                if window is None
                else (
                    f"event_ts >= (date_trunc('day', moment AT TIME ZONE '{ZONE}') - INTERVAL {window} DAY) AT TIME ZONE '{ZONE}'"
                )
            )
            if total.op in ("first", "last"):
                held = f"known_ts < moment AND state = 1 AND {start} AND {total.where}"
                chosen.append(f"{'min' if total.op == 'first' else 'max'}(event_ts) FILTER ({held}) AS {column}")
                continue
            held = f"visible AND {start} AND {total.where} AND {total.value} IS NOT NULL"
            whole = (
                f"CAST(round({total.value} * {total.scale}) AS BIGINT)" if total.op not in ("distinct", "sketch") else total.value
            )
            does = {"sum": "coalesce(sum({}) FILTER ({}), 0)", "min": "min({}) FILTER ({})", "max": "max({}) FILTER ({})"}
            does |= dict.fromkeys(("distinct", "sketch"), "count(DISTINCT {}) FILTER ({})")
            half = 86_400e6 * (total.half_life_days or 1)
            fade = f"pow(0.5, (epoch_us(moment) - epoch_us(event_ts)) / {half})"
            does |= {"decayed": f"coalesce(sum({{}} * {fade}) FILTER ({{}}), 0)"}
            chosen.append(f"{does[total.op].format(whole, held)} AS {column}")
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.register("events_", events)
    con.register("asked_", asked)
    query = f"""WITH states AS (
        SELECT *, 1 AS state, known_ts AS since, back AS until FROM events_ WHERE NOT is_bot
        UNION ALL SELECT * REPLACE ('cancelled' AS event), 2, back, NULL FROM events_ WHERE NOT is_bot AND back IS NOT NULL
      ), met AS (
        SELECT *, since < moment AND (until IS NULL OR moment <= until) AS visible FROM asked_ LEFT JOIN states
        ON (u IS NULL OR u = user_id) AND (p IS NULL OR p = product_id)
      ) SELECT "row", count(*) FILTER (visible) AS seen, {", ".join(chosen)} FROM met GROUP BY "row" """
    found = con.sql(query).to_arrow_table().to_pylist()
    return {row.pop("row"): row for row in found}


def _same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        mine = found[name].replace(tzinfo=UTC) if isinstance(found[name], datetime) else found[name]
        theirs = value.astimezone(UTC) if isinstance(value, datetime) else value
        assert mine == (pytest.approx(theirs, rel=1e-9, abs=1e-9) if isinstance(theirs, float) else theirs), name


def _keys(rows: Sequence[Event], entity: str) -> list[tuple[str | None, str | None]]:
    chosen = {(r[0] if "user_id" in ENTITIES[entity] else None, r[1] if "product_id" in ENTITIES[entity] else None) for r in rows}
    return sorted(chosen, key=str)


@pytest.mark.parametrize("entity", list(ENTITIES))
def test_totals_at_any_second_agree_with_duckdb(spark: SparkSession, events: DataFrame, entity: str) -> None:
    _check_at_seconds(spark, events, entity, (*SUMS, *COMPARED))


@pytest.mark.parametrize("entity", list(ENTITIES))
def test_heavy_keys_are_divided_and_agree_as_well(
    spark: SparkSession, events: DataFrame, entity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heavy, "_FRACTION", 1.0)
    monkeypatch.setattr(heavy, "_LEAST", 0)
    merging = (*SUMS, *(total for total in COMPARED if total.merges))
    tasks = {"user": 5, "product": 2, "pair": 12}[entity]
    with heavy.sampled(totals.contributions(events, merging)) as some:
        found = heavy.find(some, ENTITIES[entity], tasks, divisible=True)
    assert found is not None
    assert {len(key) for key in found.parts} == {len(ENTITIES[entity])}
    assert max(found.parts.values()) > 1
    assert len(found.parts) < len(_keys(_events(3), entity))  # others stay undivided
    _check_at_seconds(spark, events, entity, merging, tasks)


def test_a_heavy_key_whose_totals_do_not_merge_stays_whole(
    spark: SparkSession, events: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heavy, "_FRACTION", 1.0)
    monkeypatch.setattr(heavy, "_LEAST", 0)
    _check_at_seconds(spark, events, "user", COMPARED, tasks=5)


def _check_at_seconds(spark: SparkSession, events: DataFrame, entity: str, declared: tuple[Total, ...], tasks: int = 3) -> None:
    rng = random.Random(8)
    moments = [
        _midnight(date(2024, 3, day)) + timedelta(seconds=s) for day in (2, 10, 11, 20) for s in (0, 1, rng.randrange(86_400))
    ]
    spine = [
        (n, *key, at)
        for n, (key, at) in enumerate((k, m) for k in [*_keys(_events(3), entity), ("nobody", "none")] for m in moments)
    ]
    spine = [
        (n, u if "user_id" in ENTITIES[entity] else None, p if "product_id" in ENTITIES[entity] else None, at)
        for n, u, p, at in spine
    ]
    frame = spark.createDataFrame(
        [(n, u, p, at) for n, u, p, at in spine], "row BIGINT, user_id STRING, product_id STRING, moment TIMESTAMP"
    )
    found = totals.at_moments(totals.contributions(events, declared), frame, entity, declared, DAYS, tasks).collect()
    expected = _by_duckdb(_events(3), spine, declared)
    assert sorted(r["row"] for r in found) == sorted(expected)
    for row in found:
        _same(row.asDict(), expected[row["row"]])


def test_totals_of_all_keys_at_dates_agree_with_duckdb(spark: SparkSession, events: DataFrame) -> None:
    dates = [date(2024, 2, 1), date(2024, 2, 20), date(2024, 3, 11)]
    made = totals.at_dates(totals.contributions(events, SUMS), SUMS, dates, DAYS, 3).persist()
    for day in dates:
        for entity in ENTITIES:
            _check_all(made.where(f"as_of = DATE'{day}' AND entity = '{entity}'"), entity, day)
    made.unpersist()


def _check_all(rows: DataFrame, entity: str, day: date) -> None:
    found = {
        (r.asDict().get("user_id"), r.asDict().get("product_id")): r.asDict()
        for r in incremental.merge(rows, SUMS, entity, day, DAYS).collect()
    }
    spine = [(n, *key, _midnight(day)) for n, key in enumerate(_keys(_events(3), entity))]
    expected = {
        (u, p): row for (_, u, p, _), (_, row) in zip(spine, sorted(_by_duckdb(_events(3), spine, SUMS).items()), strict=True)
    }
    assert set(found) == {key for key, row in expected.items() if row["seen"] > 0}
    for key, row in found.items():
        _same(row, expected[key])


@pytest.mark.parametrize("steps", [(1, 1, 1), (1, 6), (30,), (3, 9, 1, 20)])
def test_advanced_totals_equal_those_built_anew(spark: SparkSession, events: DataFrame, steps: tuple[int, ...]) -> None:
    base = at = date(2024, 2, 14)
    built = totals.at_dates(totals.contributions(events, SUMS), SUMS, [base], DAYS, 3).persist()
    changed: list[DataFrame] = []
    for step in steps:
        changed.append(incremental.changes(events, SUMS, base, at, at + timedelta(days=step), DAYS).persist())
        at += timedelta(days=step)
        _check_advanced(built, changed, base, at)
    for frame in (built, *changed):
        frame.unpersist()


def _check_advanced(built: DataFrame, changed: list[DataFrame], base: date, at: date) -> None:
    added = incremental.in_windows(reduce(DataFrame.unionByName, changed), SUMS, base, at)
    for entity in ENTITIES:
        _check_all(built.where(f"entity = '{entity}'").unionByName(added), entity, at)


def test_a_row_known_at_midnight_itself_belongs_to_the_day_that_it_begins(spark: SparkSession) -> None:
    before, after = date(2024, 3, 10), date(2024, 3, 11)
    at = _midnight(before)
    events = _frame(spark, [("u0", "p0", "purchase", at, at, None, 2.5, False)])
    assert totals.at_dates(totals.contributions(events, SUMS), SUMS, [before], DAYS, 2).collect() == []
    changed = incremental.in_windows(incremental.changes(events, SUMS, before, before, after, DAYS), SUMS, before, after)
    row = incremental.merge(changed, SUMS, "user", after, DAYS).collect()[0]
    assert (row.seen, row.purchases_1, row.spend_ever) == (1, 1, 250)
    assert row.bought_first_ever.replace(tzinfo=UTC) == row.bought_last_ever.replace(tzinfo=UTC) == at


def test_a_correction_takes_back_from_the_windows_that_hold_it_still_and_from_no_other(spark: SparkSession) -> None:
    base = date(2024, 3, 1)
    bought, cancelled = _midnight(base) - timedelta(hours=30), _midnight(base) + timedelta(days=2, hours=1)
    events = _frame(spark, [("u0", "p0", "purchase", bought, bought, cancelled, 2.5, False)])
    rows, at = totals.at_dates(totals.contributions(events, SUMS), SUMS, [base], DAYS, 2, entities=("user",)), base
    changed, spent = [], []
    for _ in range(8):
        changed.append(incremental.changes(events, SUMS, base, at, at + timedelta(days=1), DAYS).persist())
        at += timedelta(days=1)
        both = rows.unionByName(incremental.in_windows(reduce(DataFrame.unionByName, changed), SUMS, base, at))
        row = incremental.merge(both, SUMS, "user", at, DAYS).collect()[0]
        spent.append((row.purchases_1, row.purchases_7, row.purchases_ever))
    assert spent == [(0, 1, 1)] * 2 + [(0, 0, 0)] * 6


def test_what_was_taken_back_still_tells_first_and_last_where_its_end_lies_in_another_part(spark: SparkSession) -> None:
    at = _midnight(date(2024, 3, 1))
    events = _frame(spark, [("u0", "p0", "purchase", at, at, at + timedelta(days=1), 2.5, False)])
    apart = totals.contributions(events, SUMS).repartitionByRange(2, "known")
    rows = totals.at_dates(apart, SUMS, [date(2024, 3, 5)], DAYS, 2)
    assert rows.where("entity = 'pair'").count() == 2
    row = incremental.merge(rows.where("entity = 'pair'"), SUMS, "pair", date(2024, 3, 5), DAYS).collect()[0]
    assert (row.seen, row.purchases_ever, row.returns_7) == (1, 0, 1)
    assert row.bought_first_ever.replace(tzinfo=UTC) == row.bought_last_ever.replace(tzinfo=UTC) == at


def test_a_day_reads_only_what_enters_or_leaves_and_tells_no_day_twice(spark: SparkSession, events: DataFrame) -> None:
    base = date(2024, 3, 5)
    told = [incremental.leaving(SUMS, base, base + timedelta(days=n), base + timedelta(days=n + 1)) for n in range(max(WIDTHS) + 1)]
    assert told[0] == sorted(base - timedelta(days=width) for width in WIDTHS)
    assert sorted(day for days in told for day in days) == [base - timedelta(days=n) for n in range(max(WIDTHS), 0, -1)]
    assert told[-1] == []
    step = Step(base, base, base + timedelta(days=1), tuple(told[0]))
    kept = events.where(incremental._touched(step, DAYS)).count()
    assert 0 < kept < events.count() / 5


def test_sketches_of_parts_make_that_of_all_rows_and_tell_how_many_values_there_are(spark: SparkSession) -> None:
    """One user looks at 900 products, another at 40,000, each of them twice and in other parts."""
    looked = spark.range(0, 2 * 40_900).selectExpr(
        "id",
        "IF(id % 40900 < 900, 'few', 'many') AS user_id",
        "CAST(id % 40900 AS STRING) AS product_id",
        "'view' AS event",
        "TIMESTAMP'2024-03-01 12:00:00' AS event_ts",
        "TIMESTAMP'2024-03-01 12:00:00' AS known_ts",
        "CAST(NULL AS TIMESTAMP) AS cancelled_known_ts",
        "CAST(NULL AS DOUBLE) AS amount",
        "false AS is_bot",
    )
    declared = (Total(name="products", value="product_id", op="sketch", windows=(7, None)),)
    day, found = date(2024, 3, 5), []
    for tasks in (1, 5):
        added = totals.contributions(looked.repartition(tasks, "id"), declared)
        rows = totals.at_dates(added, declared, [day], DAYS, tasks, entities=("user",))
        merged = incremental.merge(rows, declared, "user", day, DAYS).collect()
        found.append({row.user_id: (row.products_7, row.products_ever) for row in merged})
    assert found[0] == found[1]
    assert found[0]["few"] == (900, 900)
    assert found[0]["many"][0] == found[0]["many"][1] == pytest.approx(40_000, rel=0.1)  # three standard errors


def test_what_cannot_be_advanced_is_refused(events: DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"least, most, products, sketched, viewed_last, viewed_first cannot be advanced"):
        incremental.changes(events, (*SUMS, *COMPARED), FIRST, FIRST, LAST, DAYS)


def test_a_shop_without_events_has_no_totals(spark: SparkSession) -> None:
    empty = totals.contributions(_frame(spark, []), SUMS)
    assert totals.at_dates(empty, SUMS, [LAST], DAYS, 2).collect() == []
