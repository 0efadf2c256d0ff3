"""Typed columns: an instant keeps its zone, a wall time has none, and an id its digits, in logs and in the shop's other tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config, EntityConfig
from propensity_spark.errors import MissingColumns
from propensity_spark.ingest import catalog, events, series, sources, texts, versions
from propensity_spark.ingest.preflight import problems
from propensity_spark.loading import from_mapping

Make = Callable[..., DataFrame]
TYPED = "user STRING, item STRING, at TIMESTAMP, wall TIMESTAMP_NTZ, day DATE, arrived TIMESTAMP"
AT, ARRIVED = "2024-07-15 12:00:00.000001", "2024-07-15 22:30:00"


@pytest.fixture
def typed(spark: SparkSession, tmp_path: Path) -> Path:
    """A Parquet file of one row: the instants AT and ARRIVED, a wall time and a day."""
    said = f"'ann', 'mug', TIMESTAMP'{AT}', TIMESTAMP_NTZ'2024-07-15 12:00:00', DATE'2024-07-15', TIMESTAMP'{ARRIVED}'"
    spark.sql(f"SELECT * FROM VALUES ({said})").toDF(*(part.split()[0] for part in TYPED.split(", "))).write.parquet(
        str(tmp_path / "typed")
    )
    return tmp_path / "typed"


def _shop(path: Path | str, column: str, zone: str = "Europe/Berlin", **more: Any) -> Config:
    place = {"path": str(path), "format": "parquet"} if isinstance(path, Path) else {"table": path}
    means = {"user_id": "user", "product_id": "item", "event_ts": column, "ingested_ts": "arrived"}
    return from_mapping({"shop": {"time_zone": zone}, "sources": [{"name": "log", **place, "event": "view", "map": means, **more}]})


def _times(spark: SparkSession, config: Config) -> tuple[str, str]:
    source = config.sources[0]
    sources.load(spark, source)
    row = events.parse(tables.read(spark, "bronze.log"), source, config).selectExpr("event_ts", "ingested_ts").collect()[0]
    return str(row["event_ts"]), str(row["ingested_ts"])


@pytest.mark.parametrize(
    ("column", "time", "meant"),
    [
        ("at", {}, AT),
        ("at", {"time_zone": "Asia/Tokyo"}, AT),
        ("at", {"format": "epoch_s"}, AT),  # a typed instant needs no form
        ("at", {"format": "dd/MM/yyyy HH:mm"}, AT),
        ("wall", {}, "2024-07-15 10:00:00"),
        ("wall", {"time_zone": "Asia/Tokyo"}, "2024-07-15 03:00:00"),
        ("day", {}, "2024-07-14 22:00:00"),
        ("= from_utc_timestamp(at, 'Europe/Berlin')", {}, AT),  # a wall time, as an expression's is
    ],
)
def test_a_timestamp_is_an_instant_whatever_the_shops_zone(
    spark: SparkSession, warehouse: Path, typed: Path, column: str, time: dict[str, str], meant: str
) -> None:
    assert _times(spark, _shop(typed, column, time=time)) == (meant, ARRIVED)


def test_a_timestamp_of_a_catalog_table_is_an_instant_as_well(spark: SparkSession, warehouse: Path, typed: Path) -> None:
    spark.read.parquet(str(typed)).createOrReplaceTempView("raw_typed")
    assert _times(spark, _shop("raw_typed", "at")) == (AT, ARRIVED)


def test_a_typed_instant_is_told_to_be_of_another_form_by_no_check(typed: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(typed)
    file = typed / "part.parquet"
    pq.write_table(table.set_column(2, "at", table["at"].cast(pa.timestamp("us", tz="UTC"))), file)
    form = {"format": "dd/MM/yyyy HH:mm"}
    assert problems(_shop(file, "at", time=form)) == []
    assert len(problems(_shop(file, "wall", time=form))) == 1


def test_a_table_that_was_read_without_zones_is_read_again(
    spark: SparkSession, warehouse: Path, typed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _shop(typed, "at")
    with monkeypatch.context() as before:
        before.setattr(texts, "written", lambda value, _: value.cast("string"))
        before.setattr(sources, "_reading", lambda s: repr((s.format, s.header, s.columns, s.delimiter, s.encoding)))
        assert _times(spark, config)[0] == "2024-07-15 10:00:00.000001"
    assert _times(spark, config)[0] == AT


def test_timestamps_of_dated_rows_and_of_series_are_instants(spark: SparkSession, typed: Path) -> None:
    place = {"path": str(typed), "format": "parquet"}
    dated = {**place, "id": "user", "valid_from": "at", "known": "arrived"}
    numbers = {"name": "weather", **place, "day": "arrived", "until": "day", "known": "at", "values": ["heat = 1"]}
    members = {**place, "campaign": "item", "user": "user", "day": "arrived", "known": "at"}
    plan = {"name": "plan", **place, "day": "day", "campaign": "item", "members": members, "known_in_advance": True}
    made = {"shop": {"time_zone": "America/New_York"}, "users": dated, "series": [{**numbers, "time_format": "epoch_s"}, plan]}
    config = from_mapping(made)
    row = versions.parse(spark, config.users, "user_id", config).collect()[0]
    assert (str(row["valid_from"]), str(row["known_ts"])) == (AT, ARRIVED)
    row = series.parse(spark, config.series[0], config).collect()[0]
    assert (str(row["day"]), str(row["known_ts"])) == ("2024-07-15", AT)
    assert row["reasons"] == ["until cannot be read: 2024-07-15"], "a day has no zone: it is read by the form, as ever"
    far = from_mapping({**made, "shop": {"time_zone": "Asia/Tokyo"}})  # half past ten in the evening is the next morning there
    assert [str(series.parse(spark, one, far).collect()[0]["day"]) for one in far.series] == ["2024-07-16", "2024-07-15"]
    row = series.parse_members(spark, far.series[1], far).collect()[0]
    assert (str(row["valid_from"]), str(row["known_ts"])) == ("2024-07-15 15:00:00", AT)


NUMBERS = {  # as Spark writes a DOUBLE: as bronze has it
    "17850.0": "17850.0",
    "9999999.0": "9999999.0",
    "1.0E7": "10000000",
    "1.2345678E7": "12345678",
    "-1.2345678E7": "-12345678",
    "1.234567890123456E15": "1234567890123456",
    "1.0E15": "1000000000000000",
    "9.007199254740992E15": "9.007199254740992E15",  # 2^53: from here on whole numbers are left out
    "1.23456785E7": "1.23456785E7",
    "2.5": "2.5",
    "NaN": "NaN",
    "Infinity": "Infinity",
}


def test_a_whole_double_is_written_in_digits(spark: SparkSession, table: Make) -> None:
    numbers = table("n INT, x DOUBLE", *enumerate([*map(float, NUMBERS), None])).orderBy("n")
    said = numbers.select(texts.written(F.col("x"), numbers.schema["x"].dataType)).collect()
    assert [row[0] for row in said] == [*NUMBERS.values(), None]
    short = numbers.select("n", F.col("x").cast("float")).where("n in (0, 3, 10, 12)")
    said = short.select(texts.written(F.col("x"), short.schema["x"].dataType)).collect()
    assert [row[0] for row in said] == ["17850.0", "12345678", "NaN", None]


def test_ids_in_doubles_are_those_of_other_tables(spark: SparkSession, table: Make, warehouse: Path) -> None:
    table("user DOUBLE, item FLOAT, at STRING", (12345678.0, 16777216.0, "2024-03-01")).createOrReplaceTempView("raw_doubles")
    table("id DOUBLE, plz DOUBLE", (12345678.0, 10115012.0)).createOrReplaceTempView("raw_people")
    means = {"user_id": "user", "product_id": "item", "event_ts": "at"}
    people = {"table": "raw_people", "id": "id", "attributes": ["plz"]}
    config = from_mapping({"sources": [{"name": "log", "table": "raw_doubles", "event": "view", "map": means}], "users": people})
    sources.load(spark, config.sources[0])
    row = events.parse(tables.read(spark, "bronze.log"), config.sources[0], config).collect()[0]
    assert (row["user_id"], row["product_id"]) == ("12345678", "16777216")
    assert [tuple(one)[0::4] for one in catalog.listing(spark, config.users, "user_id").collect()] == [
        ("12345678", {"plz": "10115012"})
    ]


def test_an_id_that_is_nan_is_missing_and_a_number_that_is_nan_is_refused(
    spark: SparkSession, table: Make, warehouse: Path
) -> None:
    ddl = "user DOUBLE, item FLOAT, at STRING, no DOUBLE, visit DOUBLE, kind DOUBLE, pieces DOUBLE"
    nan = float("nan")
    rows = [(1.0, 2.0, "2024-03-01", nan, nan, nan, 1.0), (nan, nan, "2024-03-02", 3.0, 4.0, 5.0, nan)]
    table(ddl, *rows).createOrReplaceTempView("raw_guests")
    table("id DOUBLE, age STRING", (1.0, "30"), (nan, "40")).createOrReplaceTempView("raw_people")
    means = {"user_id": "user", "product_id": "item", "event_ts": "at", "order_id": "no", "session_id": "visit"}
    means |= {"category": "kind", "quantity": "pieces"}
    people = {"table": "raw_people", "id": "id", "attributes": ["age"]}
    config = from_mapping({"sources": [{"name": "log", "table": "raw_guests", "event": "purchase", "map": means}], "users": people})
    sources.load(spark, config.sources[0])
    good, bad = events.parse(tables.read(spark, "bronze.log"), config.sources[0], config).orderBy("event_ts").collect()
    ids = ("user_id", "product_id", "order_id", "session_id", "category")
    assert [good[part] for part in ids] == ["1", "2", None, None, None]
    assert [bad[part] for part in ids] == [None, None, "3", "4", "5"]
    assert good["reasons"] == []
    assert bad["reasons"] == ["user is missing", "product is missing", "quantity is not a finite number"]
    assert [row["user_id"] for row in catalog.listing(spark, config.users, "user_id").collect()] == ["1"]


def test_files_of_a_listed_table_are_read_each_by_its_own_header(spark: SparkSession, tmp_path: Path) -> None:
    for name, text in {"1": "id,city\nann,Rome\n", "2": "city,id,age\nOslo,bob,30\n", "3": "", "4": "id,city\ncem,Bern\n"}.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    users = EntityConfig(path=(str(tmp_path),), id="id", attributes=("city",))
    found = {row["user_id"]: row["attributes"]["city"] for row in catalog.listing(spark, users, "user_id").collect()}
    assert found == {"ann": "Rome", "bob": "Oslo", "cem": "Bern"}
    (tmp_path / "5.csv").write_bytes("id,city\neva,K\xf6ln\n".encode("latin-1"))
    western = EntityConfig(path=(f"{tmp_path}/5.csv",), id="id", attributes=("city",), encoding="ISO-8859-1")
    assert catalog.listing(spark, western, "user_id").collect()[0]["attributes"] == {"city": "K\xf6ln"}
    (tmp_path / "5.csv").write_text("key,city\ndan,Kiel\n", encoding="utf-8")
    with pytest.raises(MissingColumns, match=r"the table of users lacks \['id'\]; it has \['city', 'key'\]"):
        catalog.listing(spark, users, "user_id")


GOODS = 'id,name,kind,KIND,cost\r\np1,"Nice lamp\r\nwith ""shade"", caf\xe9",lamps,,19.90\r\n\r\np2,mug,cups,,2\r\n'


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1"])
@pytest.mark.parametrize("address", ["{}", "file://{}"])
def test_a_text_of_a_listed_table_may_go_over_lines(spark: SparkSession, tmp_path: Path, encoding: str, address: str) -> None:
    mark = "\ufeff" if encoding == "UTF-8" else ""
    (tmp_path / "goods.csv").write_bytes(f"{mark}{GOODS}".encode(encoding))
    place = {"path": (address.format(tmp_path / "goods.csv"),), "encoding": encoding}
    products = EntityConfig(**place, id="id", name="name", category="kind2", price="cost")
    rows = {tuple(row)[:4] for row in catalog.listing(spark, products, "product_id").collect()}
    assert rows == {("p1", 'Nice lamp\nwith "shade", caf\xe9', "lamps", 19.9), ("p2", "mug", "cups", 2.0)}
    with pytest.raises(MissingColumns, match=r"lacks \['kind'\]; it has \['KIND3', 'cost', 'id', 'kind2', 'name'\]"):
        catalog.listing(spark, EntityConfig(**place, id="id", category="kind"), "product_id")
