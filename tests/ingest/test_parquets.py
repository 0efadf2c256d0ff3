"""Parquet as shops write it: times in nanoseconds, and types that differ from one file to the next."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from propensity_spark import tables
from propensity_spark.config import Config, EntityConfig
from propensity_spark.errors import SourceError
from propensity_spark.ingest import catalog, events, heads, parquets, sources, versions
from propensity_spark.ingest.preflight import problems
from propensity_spark.loading import from_mapping

_NANOS = "spark.sql.legacy.parquet.nanosAsLong"
NOON = 1721044800 * 10**9 + 1789  # 2024-07-15 12:00:00, a microsecond and some nanoseconds


def _write(file: Path, **columns: Any) -> Path:
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), file)
    return file


def _shop(path: Path | str, **means: str) -> Config:
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at", **means}
    source = {"name": "log", "path": str(path), "format": "parquet", "event": "view", "map": columns}
    return from_mapping({"shop": {"time_zone": "Europe/Berlin"}, "sources": [source]})


def _parsed(spark: SparkSession, config: Config) -> list[tuple[Any, ...]]:
    sources.load(spark, config.sources[0])
    rows = events.parse(tables.read(spark, "bronze.log"), config.sources[0], config)
    assert [row for row in rows.select("reasons").collect() if row[0]] == []
    return sorted(tuple(map(str, row)) for row in rows.select("user_id", "product_id", "event_ts", "price").collect())


def test_nanoseconds_are_read_as_microseconds(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    times = {"at": pa.array([NOON, None], pa.timestamp("ns")), "utc": pa.array([NOON, NOON], pa.timestamp("ns", tz="UTC"))}
    file = _write(tmp_path / "log" / "a.parquet", user=["ann", "bob"], item=["mug", "cup"], **times)
    config = _shop(file, event_ts="utc")
    assert problems(config) == problems(_shop(file)) == []
    assert _parsed(spark, config)[0] == ("ann", "mug", "2024-07-15 12:00:00.000001", "None")
    held = tables.read(spark, "bronze.log").select("user", "at", "_source_file").collect()
    assert {tuple(row) for row in held} == {("ann", "2024-07-15 12:00:00.000001", str(file)), ("bob", None, str(file))}
    wall = events.parse(tables.read(spark, "bronze.log").where("user = 'ann'"), _shop(file).sources[0], config)
    assert str(wall.collect()[0]["event_ts"]) == "2024-07-15 10:00:00.000001", "a wall time of the shop"
    users = EntityConfig(path=(str(file),), format="parquet", id="user", valid_from="utc")
    assert str(versions.parse(spark, users, "user_id", config).collect()[0]["valid_from"]) == "2024-07-15 12:00:00.000001"


def test_types_may_differ_from_file_to_file(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    _write(logs / "1.parquet", user=pa.array([1], pa.int32()), item=["7"], at=["2024-07-15 12:00:00"], price=[3])
    _write(logs / "2.parquet", user=[2], item=[7.0], at=pa.array([date(2024, 7, 15)]), price=[None], more=[1])
    _write(logs / "3.parquet", user=["3"], item=[7], at=pa.array([NOON], pa.timestamp("ns", tz="UTC")), price=[2.5])
    assert _parsed(spark, _shop(logs, price="price")) == [
        ("1", "7", "2024-07-15 10:00:00", "3.0"),
        ("2", "7", "2024-07-14 22:00:00", "None"),
        ("3", "7", "2024-07-15 12:00:00.000001", "2.5"),
    ]
    assert [row[0] for row in tables.read(spark, "bronze.log").where("more IS NOT NULL").select("user").collect()] == ["2"]


def test_types_of_a_listed_table_may_differ_as_well(spark: SparkSession, tmp_path: Path) -> None:
    people = tmp_path / "people"
    _write(people / "1.parquet", id=[1], age=[30], since=pa.array([NOON], pa.timestamp("ns", tz="UTC")))
    _write(people / "2.parquet", id=["b"], age=[31.0], since=["2024-07-15 12:00:00"])
    users = EntityConfig(path=(str(people),), format="parquet", id="id", attributes=("age",), valid_from="since")
    config = from_mapping({"shop": {"time_zone": "Europe/Berlin"}})
    rows = versions.parse(spark, users, "user_id", config).collect()
    assert sorted((row["user_id"], row["attributes"]["age"], str(row["valid_from"])) for row in rows) == [
        ("1", "30", "2024-07-15 12:00:00.000001"),  # of numbers one type is made, as in a single file
        ("b", "31", "2024-07-15 10:00:00"),
    ]


def test_what_spark_cannot_read_at_an_address_is_one_line(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    spark.conf.unset(_NANOS)
    file = _write(tmp_path / "logs" / "1.parquet", user=["1"], item=["7"], at=pa.array([NOON], pa.timestamp("ns")))
    with pytest.raises(SourceError, match=r"^sources\.log: a Parquet file holds times in nanoseconds.*coerce_timestamps"):
        sources.load(spark, _shop(f"file://{file}").sources[0])
    with pytest.raises(SourceError, match=r"^the table of users: a Parquet file holds times in nanoseconds"):
        catalog.listing(spark, EntityConfig(path=(f"file://{file}",), format="parquet", id="user"), "user_id")
    for name, user in (("1", ["1"]), ("2", [2])):
        _write(tmp_path / "logs" / f"{name}.parquet", user=user, item=["7"], at=["2024-07-15"])
    with pytest.raises(SourceError, match=r"^sources\.log: column user of file:\S+\.parquet is \w+, of another file \w+; ") as told:
        sources.load(spark, _shop(f"file://{tmp_path}/logs").sources[0])
    assert re.search("\n", str(told.value)) is None


def test_a_damaged_file_is_named(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    file = _write(tmp_path / "logs" / "1.parquet", user=["1"], item=["7"], at=["2024-07-15"])
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(SourceError, match=r"^\S+/1\.parquet is not a Parquet file, or is damaged; fetch it again"):
        sources.load(spark, _shop(file).sources[0])


def test_a_file_with_a_spoilt_footer_is_named(tmp_path: Path) -> None:
    file = _write(tmp_path / "logs" / "1.parquet", user=["1"], item=["7"], at=["2024-07-15"])
    whole = file.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    file.write_bytes(whole[: -8 - length] + b"\xff" * length + whole[-8:])
    with pytest.raises(SourceError, match=r"^\S+/1\.parquet is not a Parquet file, or is damaged; fetch it again"):
        parquets._leaves(str(file))


def test_a_file_that_may_not_be_read_is_named_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(file: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(pq, "read_metadata", forbidden)
    monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(SourceError, match=r"^a\.parquet cannot be read: Permission denied\. Nothing was changed\.$"):
        parquets._leaves("a.parquet")
    with pytest.raises(SourceError, match=r"^a\.csv cannot be read: Permission denied\. Nothing was changed\.$"):
        heads.headers(["a.csv"], ",")
