"""Bronze holds the logs as received: each file once, new ones added, changed ones read again."""

import gzip
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import EntityConfig, SourceConfig
from propensity_spark.errors import MissingColumns, PropensityError, SourceError
from propensity_spark.ingest import charsets, listed, sources
from propensity_spark.ingest.charsets import in_java
from propensity_spark.ingest.events import parse
from propensity_spark.ingest.heads import headers
from propensity_spark.ingest.sources import ARRIVED, CORRUPT, FILE, META, MODIFIED, SIZE, load
from propensity_spark.loading import from_mapping

Make = Callable[..., DataFrame]
HEADER = "user,item,at"
TWICE = {"user_id": "user", "product_id": "x1", "event_ts": "at"}


def _source(path: Path | str | list[str], **more: Any) -> SourceConfig:
    place = {} if "table" in more else {"path": path if isinstance(path, list) else str(path)}
    said = {"name": "log", "map": {"user_id": "user", "product_id": "item", "event_ts": "at"}, "event": "view"}
    return from_mapping({"sources": [{**said, **place, **more}]}).sources[0]


def _write(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text, encoding="utf-8")
    return file


def _rows(spark: SparkSession, *columns: str) -> list[tuple]:
    said = tables.read(spark, "bronze.log").select(*(columns or ("user", "item", "at")))
    return sorted((tuple(row) for row in said.collect()), key=str)


@pytest.fixture
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name needs care in a URL."""
    return tmp_path_factory.mktemp("my logs+100%25 é")


def test_a_file_is_read_once_a_new_one_is_added_and_a_changed_one_reloads(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    first = _write(logs / "1.csv", HEADER, "ann,mug,1", "bob,0012,2")
    source = _source([f"{logs}/*.csv*", str(first)])  # named twice, read once
    assert load(spark, source) == ("bronze.log", 2)
    assert _rows(spark, "user", "item", FILE) == [("ann", "mug", str(first)), ("bob", "0012", str(first))]
    arrived = _rows(spark, ARRIVED)[0]
    version = tables.version(spark, "bronze.log")

    assert load(spark, source) == ("bronze.log", 0)
    assert tables.version(spark, "bronze.log") == version

    _write(logs / "2.csv.gz", HEADER, "cem,cup,3")
    assert load(spark, source) == ("bronze.log", 1)
    assert [row[0] for row in _rows(spark)] == ["ann", "bob", "cem"]
    assert arrived in _rows(spark, ARRIVED), "rows that were there keep the time of their arrival"

    os.utime(_write(first, HEADER, "ann,jug,1"), (1_700_000_000, 1_700_000_000))
    assert load(spark, source) == ("bronze.log", 2)
    assert _rows(spark) == [("ann", "jug", "1"), ("cem", "cup", "3")]


def test_rows_of_files_that_are_gone_stay_or_go_as_the_shop_says(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    """A landing folder may be purged after a month, or a file removed because it was wrong."""
    first, second = _write(logs / "1.csv", HEADER, "ann,mug,1"), _write(logs / "2.csv", HEADER, "bob,mug,2")
    plain, keep, drop = (_source(logs, gone=gone) for gone in ("refuse", "keep", "drop"))
    load(spark, plain)
    first.unlink()
    version = tables.version(spark, "bronze.log")
    with pytest.raises(
        SourceError, match=rf"sources\.log: 1 of the 2 files .* are gone, the first {re.escape(str(first))}\. Put .*gone"
    ):
        load(spark, plain)
    assert load(spark, keep) == ("bronze.log", 0)
    assert tables.version(spark, "bronze.log") == version, "nothing was changed"
    _write(logs / "3.csv", HEADER, "cem,cup,3")
    assert load(spark, keep) == ("bronze.log", 1)
    assert [row[0] for row in _rows(spark)] == ["ann", "bob", "cem"]
    os.utime(_write(second, HEADER, "bob,jug,2"), (1_700_000_000, 1_700_000_000))
    load(spark, keep)
    assert _rows(spark) == [("ann", "mug", "1"), ("bob", "jug", "2"), ("cem", "cup", "3")], "the others are read again"
    _write(first, HEADER, "ann,pot,1")
    load(spark, keep)
    assert _rows(spark)[0] == ("ann", "pot", "1"), "it is there again, and another"
    first.unlink()
    second.unlink()
    third = (logs / "3.csv").rename(logs / ".3.csv")
    assert load(spark, keep) == ("bronze.log", 0), "an empty folder is no news"
    third.rename(logs / "3.csv")
    load(spark, drop)
    assert _rows(spark) == [("cem", "cup", "3")]


def test_files_of_a_volume_go_by_the_name_that_python_has_for_them(spark: SparkSession, table: Make, warehouse: Path) -> None:
    seen = "STRUCT<file_path STRING, file_modification_time TIMESTAMP, file_size BIGINT>"
    places = ("dbfs:/Volumes/main/a%20b.csv", "dbfs:/mnt/a.csv", "file:///tmp/a.csv", "file:/tmp/b.csv")
    raw = table("user STRING, path STRING", *(("ann", place) for place in places))
    told = F.struct(
        F.col("path").alias("file_path"), F.current_timestamp().alias("file_modification_time"), F.lit(9).alias("file_size")
    )
    described = sources._described(raw.withColumn("_metadata", told.cast(seen)), _source("/Volumes/main/"))
    assert [row[FILE] for row in described.collect()] == ["/Volumes/main/a b.csv", "dbfs:/mnt/a.csv", "/tmp/a.csv", "/tmp/b.csv"]


def test_rows_of_a_volume_that_name_their_files_as_spark_does_are_known_and_kept(
    spark: SparkSession, table: Make, warehouse: Path
) -> None:
    old = table(f"user STRING, {FILE} STRING, {SIZE} BIGINT, {MODIFIED} BIGINT", ("ann", "dbfs:/Volumes/main/a.csv", 9, 1))
    tables.overwrite(old, "bronze.log", "")
    assert sources._known(spark, "bronze.log", "as now") == ({"/Volumes/main/a.csv": [9, 1]}, False)
    (kept,) = sources._those_of(spark, "bronze.log", {"/Volumes/main/a.csv": [9, 1]})
    assert [tuple(row) for row in kept.select("user", FILE).collect()] == [("ann", "/Volumes/main/a.csv")]


@pytest.mark.parametrize(("form", "line"), [("csv", "ann,mug,1"), ("json", '{"user": "ann", "item": "mug", "at": "1"}')])
def test_rows_of_lost_files_stay_though_no_file_is_there_and_the_reading_is_another(
    spark: SparkSession, warehouse: Path, logs: Path, form: str, line: str
) -> None:
    first = _write(logs / f"1.{form}", *([HEADER] if form == "csv" else []), line)
    load(spark, _source(logs, format=form))
    first.unlink()
    other = _source(logs, format=form, gone="keep", delimiter=";")
    assert load(spark, other) == ("bronze.log", 1)
    assert _rows(spark) == [("ann", "mug", "1")]
    assert load(spark, other) == ("bronze.log", 0)


def test_files_that_are_there_and_named_no_more_go_without_a_word(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    sample, _ = _write(logs / "sample.csv", HEADER, "ann,mug,1"), _write(logs / "all" / "1.csv", HEADER, "bob,mug,2")
    load(spark, _source(sample))
    load(spark, _source(logs / "all"))
    assert _rows(spark) == [("bob", "mug", "2")]


def test_rows_of_lost_files_stay_though_somebody_changed_the_table_or_a_path_goes_up(
    spark: SparkSession, warehouse: Path, logs: Path
) -> None:
    first, second = _write(logs / "1.csv", HEADER, "ann,mug,1", "eve,mug,9"), _write(logs / "2.csv", HEADER, "bob,mug,2")
    upwards = f"{logs}/../{logs.name}/*.csv"
    load(spark, _source(upwards))
    first.unlink()
    spark.sql("DELETE FROM bronze.log WHERE user = 'eve'")  # she is to be forgotten
    with pytest.raises(SourceError, match="1 of the 2 files"):
        load(spark, _source(upwards))
    load(spark, _source(upwards, gone="keep"))
    assert _rows(spark) == [("ann", "mug", "1"), ("bob", "mug", "2")]
    os.utime(_write(second, HEADER, "bob,jug,2"), (1_700_000_000, 1_700_000_000))
    load(spark, _source(upwards, gone="keep"))
    assert _rows(spark) == [("ann", "mug", "1"), ("bob", "jug", "2")]
    assert load(spark, _source(upwards, gone="keep")) == ("bronze.log", 0)


def test_a_line_that_is_cut_or_has_fields_too_many_is_kept_whole_aside(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", HEADER, "ann,mug,1", "bob,mu", 'cem,"a ""big"", red mug",3', "dan,mug,4,5", "", "eve,,6")
    load(spark, _source(logs))
    told = {row[0]: row[1:] for row in _rows(spark, "user", "item", CORRUPT)}
    assert told["ann"] == ("mug", None)
    assert told["cem"] == ('a "big", red mug', None)
    assert told["eve"] == (None, None)
    assert told["bob"][1] == "bob,mu"
    assert told["dan"][1] == "dan,mug,4,5"
    assert len(told) == 5


def test_a_file_without_header_takes_its_columns_from_the_configuration(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", "ann;mug;1")
    more = {"header": False, "delimiter": ";"}
    load(spark, _source(logs, columns=["item", "user", "at"], **more))
    assert _rows(spark) == [("mug", "ann", "1")]
    # the user sees the mistake and corrects it: the same files mean something else now
    load(spark, _source(logs, columns=["user", "item", "at"], **more))
    assert _rows(spark) == [("ann", "mug", "1")]


def test_names_that_come_twice_or_are_blank_do_no_harm(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", "user;Price;price;item;at;;", "ann;1;2;mug;3;4;5", "bob;1;2;cup;4;;")
    load(spark, _source(logs, delimiter=";"))
    expected = [("ann", "1", "2", "mug", "3", "4", "5"), ("bob", "1", "2", "cup", "4", None, None)]
    assert _rows(spark, "user", "Price1", "price2", "item", "at", "_c5", "_c6") == expected
    # the same by Spark itself, which reads the headers of files at an address
    assert headers([f"{logs}/1.csv"], ";")[f"{logs}/1.csv"] == tuple(spark.read.csv(str(logs), sep=";", header=True).columns)
    _write(logs / "2.csv", "user;item;at;AT", "cem;jug;5;6")
    with pytest.raises(MissingColumns, match=r"2\.csv lacks \['at'\]; it has \['AT3', 'at2', 'item', 'user'\]"):
        load(spark, _source(logs, delimiter=";"))
    load(spark, _source(logs / "2.csv", header=False, delimiter=";", columns=["user", "x", "X", "at"], map=TWICE, gone="drop"))
    assert ("cem", "jug", "5", "6") in _rows(spark, "user", "x1", "X2", "at")


def test_a_corrected_separator_reads_the_files_again(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", "user|item|at", "ann|mug|1")
    with pytest.raises(MissingColumns):
        load(spark, _source(logs))
    load(spark, _source(logs, delimiter="|"))
    assert "user" in tables.read(spark, "bronze.log").columns
    assert _rows(spark) == [("ann", "mug", "1")]


def test_a_file_of_another_column_order_is_never_misread(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", HEADER, "ann,mug,1")
    _write(logs / "2.csv", "item,user,at", "cup,bob,2")
    try:
        load(spark, _source(logs))
    except PropensityError:
        return  # refused: as good
    assert _rows(spark) == [("ann", "mug", "1"), ("bob", "cup", "2")]


def test_files_at_an_address_are_read_each_by_its_own_header(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    logs = tmp_path / "remote"
    _write(logs / "day=1" / "1.csv", HEADER, "ann,mug,1")
    (logs / "day=1" / "none.csv").touch()
    source = _source(f"file://{logs}/")
    for day in (1, 1):  # an address is read whole each time
        assert load(spark, source)[1] == day
    assert _rows(spark, "user", "item", "at", "day") == [("ann", "mug", "1", "1")], "a folder may say a column"
    _write(logs / "day=1" / "2.csv.gz", "item,user,at,page", "cup,bob,2,home")
    assert load(spark, _source(f"file://{logs}/*/"))[1] == 2
    assert _rows(spark, "user", "item", "at", "page") == [("ann", "mug", "1", None), ("bob", "cup", "2", "home")]
    _write(logs / "day=1" / "3.csv", "user,thing,at", "cem,jug,3")
    with pytest.raises(MissingColumns, match=r"3\.csv lacks \['item'\]"):
        load(spark, _source(f"file://{logs}/*/"))
    with pytest.raises(SourceError, match=r"^sources\.log: Path does not exist: file:.*/nowhere; correct the path\."):
        load(spark, _source(f"file://{tmp_path}/nowhere"))


def test_a_later_file_may_bring_a_column_with_a_blank_in_its_name(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    first = _write(logs / "1.csv", HEADER, "ann,mug,1")
    load(spark, _source(logs))
    _write(logs / "2.csv", f"{HEADER},Customer Name", "bob,cup,2,Bob")
    assert load(spark, _source(logs)) == ("bronze.log", 1)
    assert _rows(spark, "user", "`Customer Name`") == [("ann", None), ("bob", "Bob")]
    os.utime(first, (1_700_000_000, 1_700_000_000))
    assert load(spark, _source(logs)) == ("bronze.log", 2)
    assert load(spark, _source(logs)) == ("bronze.log", 0)


def test_a_file_without_the_mapped_columns_is_named(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", HEADER, "ann,mug,1")
    _write(logs / "2.csv", "user,thing,at", "bob,cup,2")
    with pytest.raises(MissingColumns, match=r"2\.csv lacks \['item'\]"):
        load(spark, _source(logs))
    assert not tables.exists(spark, "bronze.log")


def test_a_file_of_a_header_only_adds_nothing_ever(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", HEADER, "ann,mug,1")
    _write(logs / "2.csv", HEADER)
    assert load(spark, _source(logs))[1] == 1
    version = tables.version(spark, "bronze.log")
    assert load(spark, _source(logs))[1] == 0
    assert tables.version(spark, "bronze.log") == version, "nothing new: no commit, or silver is made again every time"


NOTHING = {"0.csv": b"\n", "2.csv.gz": gzip.compress(b""), "3.csv": b"\xef\xbb\xbf", "4.csv.gz": gzip.compress(b" \r\n\n")}


@pytest.mark.parametrize("address", ["{}", "file://{}/"])
def test_a_file_without_a_line_adds_nothing(spark: SparkSession, warehouse: Path, tmp_path: Path, address: str) -> None:
    logs = tmp_path / "logs"
    source = _source(address.format(logs))
    for name, held in {"1.csv": b"\n\nuser,item,at\nann,mug,1\n", **NOTHING}.items():
        logs.mkdir(exist_ok=True)
        (logs / name).write_bytes(held)
        assert load(spark, source)[1] in (1, 0)
    assert _rows(spark) == [("ann", "mug", "1")], "nor does a blank line hide a header"
    (logs / "1.csv").unlink()
    assert load(spark, replace(source, gone="drop")) == ("bronze.log", 0)
    assert _rows(spark) == []


def test_a_json_file_without_a_row_adds_none_and_stops_nothing(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    source = _source(logs, format="json")
    _write(logs / "0.json", "", "[]")
    assert load(spark, source) == ("bronze.log", 0)
    _write(logs / "1.json", '{"user": "ann", "item": "mug", "at": "1"}')
    assert load(spark, source) == ("bronze.log", 1)
    for name, line in {"2": "", "3": "[]", "4": "{}"}.items():
        _write(logs / f"{name}.json", line)
    load(spark, source)
    _write(logs / "5.json", "no JSON")
    load(spark, source)
    said = _rows(spark, "user", "item", "at", CORRUPT)
    assert said == [("ann", "mug", "1", None), (None, None, None, "no JSON"), (None, None, None, None)]


def test_many_files_are_read_by_as_many_tasks_as_cores_here_and_by_as_many_as_they_need_on_a_cluster(
    spark: SparkSession, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [str(_write(logs / f"{number}.csv", HEADER, "ann,mug,1")) for number in range(12)]

    def tasks() -> int:
        return sources._read_csv(spark, _source(logs), HEADER.split(","), files).rdd.getNumPartitions()

    spark.conf.set("spark.sql.files.openCostInBytes", "128m")  # as if each were large
    try:
        assert tasks() == 2
        monkeypatch.setattr(spark.sparkContext, "master", "yarn")
        assert tasks() == 12
    finally:
        spark.conf.unset("spark.sql.files.openCostInBytes")


def test_a_column_may_have_spaces_and_signs_in_its_name(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", "Customer ID,Item (SKU),At", "ann,mug,2024-03-01")
    source = _source(logs, map={"user_id": "Customer ID", "product_id": "Item (SKU)", "event_ts": "At"})
    assert load(spark, source) == ("bronze.log", 1)
    said = parse(tables.read(spark, "bronze.log"), source, from_mapping({})).select("user_id", "product_id", "reasons")
    assert [tuple(row) for row in said.collect()] == [("ann", "mug", [])]


def test_json_lines_are_text_with_nested_values_as_json(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.json", '{"user": 17850, "item": "mug", "at": 1.5, "tags": {"a": [1]}}', '{"user": "x", "it')
    assert load(spark, _source(logs, format="json"))[1] == 2
    assert _rows(spark, "user", "item", "at", "tags", CORRUPT) == [
        ("17850", "mug", "1.5", '{"a":[1]}', None),
        (None, None, None, None, '{"user": "x", "it'),
    ]
    assert {c.dataType.typeName() for c in tables.read(spark, "bronze.log").schema if c.name not in META} == {"string"}


def test_a_damaged_file_is_named_as_such_and_bronze_stays(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv.gz", HEADER, "ann,mug,1")
    load(spark, _source(logs))
    many = gzip.compress(f"{HEADER}\n".encode() + "".join(f"user{n},{n * 7919 % 1000},{n}\n" for n in range(5000)).encode())
    for damaged in (many[: len(many) // 2], b"user,item,at\nno gzip at all\n"):
        (logs / "2.csv.gz").write_bytes(damaged)
        with pytest.raises(SourceError, match=r"sources\.log: a file is damaged .*Nothing was changed"):
            load(spark, _source(logs))
    assert _rows(spark) == [("ann", "mug", "1")]
    (logs / "2.csv.gz").unlink()
    assert load(spark, _source(logs)) == ("bronze.log", 0)


def test_a_table_of_the_catalog_is_read_whole_each_time(spark: SparkSession, table: Make, warehouse: Path) -> None:
    table("user STRING, item INT, at STRING", ("ann", 12, "1")).createOrReplaceTempView("raw_log")
    source = _source("", table="raw_log")
    for _ in range(2):
        assert load(spark, source) == ("bronze.log", 1)
    assert _rows(spark, "user", "item", FILE) == [("ann", "12", "raw_log")]


def test_keys_of_json_may_come_late_or_be_gone_again(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.json", '{"user": "ann", "item": "mug", "at": "2024-03-01"}')
    _write(logs / "2.json", '{"user": "bob", "item": "cup", "at": "2024-03-01", "paid": 2.5}')
    means = {"user_id": "user", "product_id": "item", "event_ts": "at", "price": "paid"}
    source = _source(logs, format="json", map=means)
    assert load(spark, source) == ("bronze.log", 2)
    _write(logs / "3.json", '{"user": "cem", "item": "jug", "at": "2024-03-01"}')
    assert load(spark, source) == ("bronze.log", 1)
    parsed = parse(tables.read(spark, "bronze.log"), source, from_mapping({}))
    assert sorted(map(tuple, parsed.select("user_id", "price").collect())) == [("ann", None), ("bob", 2.5), ("cem", None)]


def test_what_spark_does_not_find_or_take_is_a_line_for_its_owner(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    with pytest.raises(SourceError, match=r"^sources\.log: The table or view `no_such` cannot be found.*; correct table; "):
        load(spark, _source("", table="no_such"))
    with pytest.raises(SourceError, match=r"^sources\.log: .*; correct the path: the folder that holds _delta_log is meant"):
        load(spark, _source(f"file://{logs}", format="delta"))
    with pytest.raises(
        SourceError, match=r"^sources\.log: its address cannot be reached: UnsupportedFileSystemException|: its address"
    ):
        load(spark, _source("nowhere://shop/logs/"))
    file = _write(logs / "1.json", '{"user": "ann", "item": "mug", "at": 1, "AT": 2}')
    with pytest.raises(SourceError, match=r"The column `at` already exists.*capital letters alone"):
        load(spark, _source(file, format="json"))
    assert not tables.exists(spark, "bronze.log")


def test_a_later_file_in_another_encoding_is_named(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    _write(logs / "1.csv", HEADER, "ann,mug,1")
    (logs / "2.csv").write_bytes(f"{HEADER}\nbob,caf\xe9,2\n".encode("cp1252"))
    with pytest.raises(
        SourceError, match=r"2\.csv cannot be read as csv: it is not UTF-8 text; set encoding\. Nothing was changed"
    ):
        load(spark, _source(logs))
    assert not tables.exists(spark, "bronze.log")


@pytest.mark.parametrize(
    ("encoding", "said", "address"),
    [("utf_8", "café", "file://{}/"), ("utf-8-sig", "café", "{}"), ("mac_roman", "café", "file://{}/"), ("cp932", "～①", "{}")],
)
def test_an_encoding_is_read_by_any_name_that_python_has_for_it(
    spark: SparkSession, warehouse: Path, tmp_path: Path, encoding: str, said: str, address: str
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "1.csv").write_bytes(f"{HEADER}\n{said},mug,1\n".encode(encoding))
    source = _source(address.format(logs), encoding=encoding)
    load(spark, source)
    assert _rows(spark) == [(said, "mug", "1")]
    read = listed.read(spark, EntityConfig(path=source.path, encoding=encoding, id="user"), ["user"], "users")
    assert [tuple(row) for row in read.collect()] == [(said, "mug", "1")]


def test_java_has_every_encoding_by_the_name_that_is_given_for_pythons(spark: SparkSession) -> None:
    named = {name: in_java(name) for name in (*charsets._IN_JAVA, "utf_8", "latin-1", "U8", "windows-1252", "ascii")}
    known = spark._jvm.java.nio.charset.Charset
    assert [name for name, java in named.items() if not known.isSupported(java)] == []
    assert in_java("x-windows-949") == "x-windows-949", "what Java alone knows"


def test_an_encoding_that_spark_has_not_is_a_line_for_its_owner(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    file = tmp_path / "logs" / "1.csv"
    _write(file, HEADER, "ann,mug,1")
    for place in (f"{file}", f"file://{file}"):
        source = _source(place, encoding="hp_roman8")
        with pytest.raises(SourceError, match=r"^sources\.log: Spark has no encoding hp-roman8; save the files as UTF-8\."):
            load(spark, source)
        with pytest.raises(SourceError, match=r"^users: Spark has no encoding hp-roman8; save the files as UTF-8\."):
            listed.read(spark, EntityConfig(path=source.path, encoding="hp_roman8", id="user"), ["user"], "users")


def test_another_spelling_alone_reads_no_file_again(spark: SparkSession, warehouse: Path, logs: Path) -> None:
    """What was noted of a file's reading before names were translated still holds."""
    assert "'windows-1252'" in sources._reading(_source(logs, encoding="windows-1252"))
