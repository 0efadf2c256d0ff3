"""The version that held and was known at a moment: boundaries by hand, then plain Python and DuckDB on random rows."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.errors import MissingColumns
from propensity_spark.features.attributes import Known, known_at

Make = Callable[..., DataFrame]
SPINE = "user_id STRING, as_of_ts TIMESTAMP, n INT"
VERSIONS = "user_id STRING, attributes MAP<STRING,STRING>, valid_from TIMESTAMP, valid_to TIMESTAMP, known_ts TIMESTAMP"
MARCH = "2024-03-01 00:00:00"


def _version(user: str, says: str, valid_from: str, known: str | None = None) -> tuple[Any, ...]:
    return (user, {"says": says}, valid_from, None, known or valid_from)


def _said(found: DataFrame) -> list[str | None]:
    rows = found.select("n", F.col("version.attributes")["says"].alias("says")).orderBy("n").collect()
    return [row["says"] for row in rows]


def _asked(table: Make, versions: list[tuple[Any, ...]], *moments: str, user: str = "ann") -> list[str | None]:
    spine = table(SPINE, *((user, moment, n) for n, moment in enumerate(moments)))
    return _said(known_at(spine, table(VERSIONS, *versions), ["user_id"]))


def test_a_version_is_seen_from_the_microsecond_after_it_began(table: Make) -> None:
    before, after = "2024-02-29 23:59:59.999999", "2024-03-01 00:00:00.000001"
    assert _asked(table, [_version("ann", "new", MARCH)], before, MARCH, after) == [None, None, "new"]
    two = [_version("ann", "old", "2024-01-01"), _version("ann", "new", MARCH)]
    assert _asked(table, two, before, MARCH, after) == ["old", "old", "new"]


def test_rows_carry_what_was_known_at_the_midnight_of_their_shop_in_the_type_that_was_asked(table: Make) -> None:
    last, first = "2024-02-29 22:59:59.999999", "2024-02-29 23:00:00"  # just before the first of March in Berlin, and at it
    versions = table(VERSIONS, _version("ann", "1.5", last), _version("ann", "2.5", first), _version("bob", "some", last))
    rows = table("as_of DATE, user_id STRING, n INT", *(("2024-03-01", user, n) for n, user in enumerate(("ann", "bob", "cem"))))
    known = Known("user_id", {"user_says": ("says", "STRING"), "user_number": ("says", "DOUBLE")}, "Europe/Berlin")
    found = known.add_to(rows, versions).orderBy("n").collect()
    assert [tuple(row)[1:] for row in found] == [("ann", 0, "1.5", 1.5), ("bob", 1, "some", None), ("cem", 2, None, None)]


def test_a_version_known_later_is_seen_from_the_microsecond_after_it_was_known(table: Make) -> None:
    late = [_version("ann", "old", "2024-01-01"), _version("ann", "new", "2024-02-01", MARCH)]
    moments = ("2024-02-15", "2024-02-29 23:59:59.999999", MARCH, "2024-03-01 00:00:00.000001")
    assert _asked(table, late, *moments) == ["old", "old", "old", "new"]


def test_a_version_known_in_advance_waits_until_it_holds(table: Make) -> None:
    planned = [_version("ann", "old", "2024-01-01"), _version("ann", "new", MARCH, "2024-01-15")]
    assert _asked(table, planned, "2024-02-01", MARCH, "2024-03-02") == ["old", "old", "new"]


def test_a_correction_counts_from_when_it_was_known_and_a_newer_version_goes_before_it(table: Make) -> None:
    rows = [
        _version("ann", "first", "2024-01-01"),
        _version("ann", "second", "2024-02-01"),
        _version("ann", "first, corrected", "2024-01-01", MARCH),  # of a time that is past: the second holds by then
        _version("ann", "second, corrected", "2024-02-01", "2024-04-01"),
    ]
    moments = ("2024-01-02", "2024-02-02", "2024-03-02", "2024-04-01", "2024-04-02")
    assert _asked(table, rows, *moments) == ["first", "second", "second", "second", "second, corrected"]


def test_when_it_ends_is_hindsight_and_not_asked(table: Make) -> None:
    ended = ("ann", {"says": "old"}, "2024-01-01", "2024-02-01", "2024-01-01")
    assert _asked(table, [ended, _version("ann", "new", "2024-02-01", "2024-06-01")], MARCH) == ["old"]


def test_every_row_of_the_spine_comes_back_once_and_as_it_was(table: Make) -> None:
    spine = table(
        SPINE, ("ann", MARCH, 1), ("ann", MARCH, 1), ("ann", MARCH, 2), ("bob", MARCH, 3), (None, MARCH, 4), ("ann", None, 5)
    )
    found = known_at(spine, table(VERSIONS, _version("ann", "x", "2024-01-01")), ["user_id"])
    assert found.columns == [*spine.columns, "version"]
    assert _said(found) == ["x", "x", "x", None, None, None]
    assert found.where("n > 2 AND version IS NOT NULL").count() == 0
    assert sorted(map(str, found.drop("version").collect())) == sorted(map(str, spine.collect()))


def test_several_keys_and_names_of_ones_own(table: Make) -> None:
    spine = table("a STRING, b STRING, at TIMESTAMP", ("x", "1", MARCH), ("x", "2", MARCH), ("x", None, MARCH))
    ddl = "a STRING, b STRING, v INT, valid_from TIMESTAMP, known_ts TIMESTAMP"
    found = known_at(spine, table(ddl, ("x", "2", 7, "2024-01-01", "2024-01-01")), ["a", "b"], "at", into="price")
    assert {row["b"]: row["price"] and row["price"]["v"] for row in found.collect()} == {"1": None, "2": 7, None: None}
    assert found.schema["price"].dataType.names == ["v", "valid_from", "known_ts"]


def test_a_later_version_changes_nothing_before_it(table: Make) -> None:
    spine = table(SPINE, *(("ann", f"2024-03-{day:02} 12:00:00", day) for day in range(1, 20)))
    past = [
        _version("ann", "a", "2024-02-01"),
        _version("ann", "b", "2024-03-05"),
        _version("ann", "c", "2024-03-09", "2024-03-12"),
    ]
    future = [_version("ann", "z", "2024-03-10 12:00:00"), _version("ann", "y", "2024-01-01", "2024-03-10 12:00:00")]
    one, other = (_said(known_at(spine, table(VERSIONS, *rows), ["user_id"])) for rows in (past, past + future))
    assert one[:10] == other[:10]
    assert one != other


def test_what_is_absent_is_named(table: Make) -> None:
    spine, versions = table(SPINE, ("ann", MARCH, 1)), table(VERSIONS, _version("ann", "x", MARCH))
    with pytest.raises(MissingColumns, match=r"the spine lacks \['moment'\]"):
        known_at(spine, versions, ["user_id"], "moment")
    with pytest.raises(MissingColumns, match=r"the versions lacks \['known_ts'\]"):
        known_at(spine, versions.drop("known_ts"), ["user_id"])


START = datetime(2024, 3, 1)
Row = tuple[str, datetime, datetime]


def _oracle(versions: list[Row], user: str, at: datetime) -> int | None:
    """The number of the version, slowly."""
    seen = [(v[1], v[2], n) for n, v in enumerate(versions) if v[0] == user and v[1] < at and v[2] < at]
    return max(seen)[2] if seen else None


def _frames(spark: SparkSession, versions: list[Row], spine: list[tuple[str, datetime]]) -> tuple[DataFrame, DataFrame]:
    rows = [(user, n, start, known) for n, (user, start, known) in enumerate(versions)]
    made = spark.createDataFrame(rows, "user_id STRING, v INT, valid_from TIMESTAMP, known_ts TIMESTAMP")
    asked = [(user, at, n) for n, (user, at) in enumerate(spine)]
    return spark.createDataFrame(asked, SPINE), made


times = st.integers(0, 12).map(lambda n: START + timedelta(microseconds=n))
users = st.sampled_from(["ann", "bob"])
version_rows = st.lists(st.tuples(users, times, times), max_size=12, unique=True)
spine_rows = st.lists(st.tuples(st.sampled_from(["ann", "bob", "cem"]), times), min_size=1, max_size=15)


@settings(max_examples=12)
@given(versions=version_rows, spine=spine_rows)
def test_plain_python_agrees_where_times_meet_in_one_microsecond(
    spark: SparkSession, versions: list[Row], spine: list[tuple[str, datetime]]
) -> None:
    asked, made = _frames(spark, versions, spine)
    found = {row["n"]: row["version"] and row["version"]["v"] for row in known_at(asked, made, ["user_id"]).collect()}
    assert found == {n: _oracle(versions, *row) for n, row in enumerate(spine)}


def test_plain_python_agrees_on_thousands_of_random_rows(spark: SparkSession) -> None:
    draw = random.Random(3)
    time = lambda: START + timedelta(seconds=draw.randrange(400))  # noqa: E731
    versions = list({(f"u{draw.randrange(40)}", time(), time()) for _ in range(1500)})
    spine = [(f"u{draw.randrange(45)}", time()) for _ in range(3000)]
    asked, made = _frames(spark, versions, spine)
    found = {row["n"]: row["version"] and row["version"]["v"] for row in known_at(asked, made, ["user_id"]).collect()}
    assert found == {n: _oracle(versions, *row) for n, row in enumerate(spine)}


def test_duckdb_joins_the_same_rows_where_all_is_known_at_once(spark: SparkSession) -> None:
    draw = random.Random(4)
    time = lambda: START + timedelta(microseconds=draw.randrange(20_000))  # noqa: E731
    starts = list({(f"u{draw.randrange(200)}", time()) for _ in range(8000)})
    spine = [(f"u{draw.randrange(210)}", time()) for _ in range(8000)]
    asked, made = _frames(spark, [(user, start, start) for user, start in starts], spine)
    found = {row["n"]: row["v"] for row in known_at(asked, made, ["user_id"]).select("n", "version.v").collect()}
    s = pd.DataFrame([(u, t, n) for n, (u, t) in enumerate(spine)], columns=["user_id", "at", "n"])  # noqa: F841
    v = pd.DataFrame([(u, t, n) for n, (u, t) in enumerate(starts)], columns=["user_id", "start", "v"])  # noqa: F841
    theirs = duckdb.sql("SELECT n, v FROM s ASOF LEFT JOIN v ON s.user_id = v.user_id AND s.at > v.start").fetchall()
    assert found == dict(theirs)
