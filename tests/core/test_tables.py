"""A table is as before or as after a write, never between, and says what it lacks."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import delta.exceptions
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import history, tables
from propensity_spark.config import StorageConfig
from propensity_spark.errors import MissingColumns, SchemaMismatch, StorageError, TableMissing
from propensity_spark.pipeline.build_features import ENTITIES
from propensity_spark.schemas import TABLES

Make = Callable[..., DataFrame]
INTAKE = "source STRING, step STRING, reason STRING, rows BIGINT"
USER = "as_of DATE, user_id STRING, feature_version STRING, views DOUBLE"
BOUNDED = {
    "silver.events": {"event_id", "user_id", "product_id", "event", "event_ts", "event_date"},
    "features.user": {"user_id"},
    "features.pair": {"user_id", "product_id"},
    "features.user_category": {"user_id", "category"},
    "trainset.candidates": {"user_id", "product_id"},
}
FIRST, SECOND = "as_of = DATE'2024-03-01'", "as_of = DATE'2024-03-02'"


def _said(frame: DataFrame) -> list[tuple]:
    return sorted(tuple(str(value) for value in row) for row in frame.collect())


def test_replacing_twice_equals_once_and_touches_no_other_partition(spark: SparkSession, table: Make, warehouse: Path) -> None:
    one = table(USER, ("2024-03-01", "ann", "v", 1.0))
    two = table(USER, ("2024-03-02", "ann", "v", 3.0))
    assert tables.replace(one, "features.user", FIRST) == 1
    assert tables.replace(two, "features.user", SECOND, "a note") == 1
    assert tables.last_note(spark, "features.user") == "a note"
    assert tables.replace(two, "features.user", SECOND) == 1
    assert _said(tables.read(spark, "features.user")) == _said(one.union(two))
    with pytest.raises(PySparkException, match="DELTA_REPLACE_WHERE_MISMATCH"):
        tables.replace(one, "features.user", SECOND)
    assert _said(tables.read(spark, "features.user")) == _said(one.union(two))


def test_a_failing_write_leaves_the_table_as_it_was_and_readable(spark: SparkSession, table: Make, warehouse: Path) -> None:
    good = table(INTAKE, ("log", "received", "", 1), ("log", "accepted", "", 1))
    tables.overwrite(good, "silver.intake", "before")
    version = tables.version(spark, "silver.intake")
    # the first row is written, the second one fails
    breaks = good.withColumn(
        "rows", F.when(F.col("step") == "accepted", F.raise_error("killed").cast("bigint")).otherwise(F.col("rows"))
    )
    for write in (tables.overwrite, tables.append):
        with pytest.raises(Py4JJavaError, match="killed"):
            write(breaks, "silver.intake")
    assert tables.version(spark, "silver.intake") == version
    assert tables.last_note(spark, "silver.intake") == "before"
    assert _said(tables.read(spark, "silver.intake")) == _said(good)


def test_overwriting_replaces_every_row_and_appending_adds(spark: SparkSession, table: Make, warehouse: Path) -> None:
    one, two = table(INTAKE, ("a", "received", "", 1)), table(INTAKE, ("b", "received", "", 2))
    tables.overwrite(one, "silver.intake")
    assert tables.overwrite(two, "silver.intake", "second") == 1
    assert tables.last_note(spark, "silver.intake") == "second"
    assert tables.append(one, "silver.intake") == 1
    assert _said(tables.read(spark, "silver.intake")) == _said(one.union(two))
    assert _said(tables.read(spark, "silver.intake", "rows > 1")) == _said(two)
    assert tables.last_note(spark, "silver.intake") == ""
    assert tables.count_by(tables.read(spark, "silver.intake"), "source", "step") == {
        ("a", "received"): 1,
        ("b", "received"): 1,
    }


def test_nothing_written_over_nothing_keeps_its_note_as_well(spark: SparkSession, table: Make, warehouse: Path) -> None:
    nothing, none_of_a_day = table(INTAKE), table(USER)
    for note in ("first", "second", "second", "third"):
        assert tables.overwrite(nothing, "silver.intake", note) == 0
        assert tables.replace(none_of_a_day, "features.user", FIRST, note) == 0
        assert tables.last_note(spark, "silver.intake") == tables.last_note(spark, "features.user") == note
    assert tables.overwrite(table(INTAKE, ("a", "b", "c", 1)), "silver.intake", "fourth") == 1
    assert tables.overwrite(nothing, "silver.intake", "fourth") == 0
    assert tables.read(spark, "silver.intake").count() == 0
    assert tables.append(table(INTAKE, ("a", "b", "c", 1)), "silver.intake") == 1
    assert tables.last_note(spark, "silver.intake") == ""


def _upkeep(spark: SparkSession, place: str) -> None:
    """What platforms do to a table by themselves, and its owner by hand."""
    spark.sql(f"OPTIMIZE {place}")
    spark.sql(f"VACUUM {place}")
    spark.sql(f"ALTER TABLE {place} SET TBLPROPERTIES ('delta.checkpointInterval' = '11')")


def test_upkeep_changes_neither_the_version_nor_the_note(
    spark: SparkSession, table: Make, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table(INTAKE, ("a", "received", "", 1), ("b", "received", "", 1))
    tables.overwrite(rows.repartition(2), "silver.intake", "first")
    tables.append(rows.repartition(2), "silver.intake", "second")
    state = tables.state_of_name(spark, "silver.intake")
    _upkeep(spark, "silver.intake")
    done = {row["operation"] for row in spark.sql("DESCRIBE HISTORY silver.intake").collect()}
    assert done == {"WRITE", "OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES"}
    for looks in (history._LOOKS, (1, 2, None)):  # the second and the last look find it
        monkeypatch.setattr(history, "_LOOKS", looks)
        assert (tables.version(spark, "silver.intake"), tables.last_note(spark, "silver.intake")) == (1, "second")
        assert tables.state_of_name(spark, "silver.intake") == state
    then = spark.read.format("delta").option("versionAsOf", 1).load(tables.path(spark, "silver.intake"))
    assert _said(then) == _said(tables.read(spark, "silver.intake"))


def test_upkeep_right_after_a_write_hides_none_of_its_rows(spark: SparkSession, table: Make, warehouse: Path) -> None:
    spark.conf.set("spark.databricks.delta.autoCompact.enabled", "true")
    spark.conf.set("spark.databricks.delta.autoCompact.minNumFiles", "2")
    try:
        rows = table(INTAKE, ("a", "received", "", 1), ("b", "received", "", 1)).repartition(2)
        assert tables.overwrite(rows, "silver.intake", "first") == 2
        assert tables.append(rows, "silver.intake", "second") == 2
    finally:
        spark.conf.unset("spark.databricks.delta.autoCompact.enabled")
        spark.conf.unset("spark.databricks.delta.autoCompact.minNumFiles")
    newest = spark.sql("DESCRIBE HISTORY silver.intake LIMIT 1").collect()[0]
    assert newest["operation"] == "OPTIMIZE"
    assert tables.last_note(spark, "silver.intake") == "second"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM silver.intake WHERE rows = 2",
        "UPDATE silver.intake SET rows = 3",
        "INSERT INTO silver.intake VALUES ('c', '', '', 1)",
    ],
)
def test_a_change_by_somebody_else_counts_and_leaves_no_note(
    spark: SparkSession, table: Make, warehouse: Path, change: str
) -> None:
    tables.overwrite(table(INTAKE, ("a", "received", "", 1), ("b", "received", "", 2)), "silver.intake", "ours")
    spark.sql(change)
    spark.sql("OPTIMIZE silver.intake")
    assert (tables.version(spark, "silver.intake"), tables.last_note(spark, "silver.intake")) == (1, "")


def test_of_two_writes_at_once_the_later_one_is_told_of_the_other(
    spark: SparkSession, table: Make, warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    marks, rows = tmp_path_factory.mktemp("marks"), table(INTAKE, ("a", "received", "", 1)).coalesce(1)  # a core for the other
    tables.overwrite(rows, "silver.intake")

    def slowly(batches: Iterator[Any]) -> Iterator[Any]:
        (marks / "begun").touch()
        while not (marks / "over").exists():
            time.sleep(0.05)
        yield from batches

    with ThreadPoolExecutor(1) as another:
        slow = another.submit(tables.overwrite, rows.mapInPandas(slowly, INTAKE), "silver.intake")
        while not (marks / "begun").exists() and not slow.done():
            time.sleep(0.05)
        try:
            tables.overwrite(table(INTAKE, ("b", "received", "", 2)), "silver.intake")
        finally:
            (marks / "over").touch()
        with pytest.raises(StorageError, match=r"^another run wrote silver\.intake while this one did.*run this again"):
            slow.result()
    assert _said(tables.read(spark, "silver.intake")) == [("b", "received", "", "2")]


def test_every_conflict_that_delta_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [kind for kind in vars(delta.exceptions).values() if getattr(kind, "__module__", "") == delta.exceptions.__name__]
    kinds = [kind for kind in known if isinstance(kind, type)]
    assert len(kinds) >= 8
    for kind in kinds:
        with pytest.raises(StorageError, match=r"another run wrote gold\.propensity"), tables._told_of_others("gold.propensity"):
            raise kind("a conflict", "its trace")


def test_a_note_that_another_write_came_before_is_told_as_well(
    spark: SparkSession, table: Make, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beaten(sql: str) -> None:
        raise delta.exceptions.MetadataChangedException("a conflict", "its trace")

    nothing = table(INTAKE)
    tables.overwrite(nothing, "silver.intake", "first")
    really = SparkSession.sql
    monkeypatch.setattr(SparkSession, "sql", lambda s, said, *more: beaten(said) if "ALTER" in said else really(s, said, *more))
    with pytest.raises(StorageError, match=r"another run wrote silver\.intake"):
        tables.overwrite(nothing, "silver.intake", "second")


def test_appending_to_a_table_that_is_not_there_makes_it(spark: SparkSession, table: Make, warehouse: Path) -> None:
    one = table(INTAKE, ("a", "received", "", 1))
    assert tables.append(one, "silver.intake") == 1
    assert _said(tables.read(spark, "silver.intake")) == _said(one)


def test_a_new_file_may_bring_a_column_of_its_own(spark: SparkSession, table: Make, warehouse: Path) -> None:
    tables.overwrite(table("user STRING", ("ann",)), "bronze.log")
    tables.append(table("user STRING, page STRING", ("bob", "home")), "bronze.log")
    assert _said(tables.read(spark, "bronze.log")) == [("ann", "None"), ("bob", "home")]


@pytest.mark.parametrize("write", [tables.append, tables.overwrite])
def test_a_table_of_plain_names_takes_a_column_of_any_name(
    spark: SparkSession, table: Make, warehouse: Path, write: Callable[[DataFrame, str], int]
) -> None:
    tables.overwrite(table("user STRING", ("ann",)), "bronze.log")
    spark.sql("ALTER TABLE bronze.log SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")  # of a newer protocol
    news = table("user STRING, called STRING", ("bob", "Bob")).withColumnRenamed("called", "Customer Name")
    assert write(news, "bronze.log") == 1
    assert write(news, "bronze.log") == 1
    before = [("ann", "None"), ("bob", "Bob")] if write is tables.append else []
    assert _said(tables.read(spark, "bronze.log")) == sorted([*before, ("bob", "Bob")])


def test_a_delta_table_is_known_by_its_state_and_nothing_else_is(spark: SparkSession, table: Make, warehouse: Path) -> None:
    rows = table("user STRING", ("ann",))
    tables.overwrite(rows, "bronze.log")
    before = tables.state_of_name(spark, "bronze.log")
    assert before.startswith("version 0 of 20")
    assert before == tables.state_of_path(spark, tables.path(spark, "bronze.log"))
    tables.append(rows, "bronze.log")
    assert tables.state_of_name(spark, "bronze.log").startswith("version 1 of 20")
    rows.createOrReplaceTempView("a_view")
    assert tables.state_of_name(spark, "a_view") == tables.state_of_name(spark, "bronze.nothing") == ""
    assert tables.state_of_path(spark, str(warehouse)) == ""


def test_a_table_made_anew_at_the_same_version_is_of_another_state(spark: SparkSession, table: Make, warehouse: Path) -> None:
    rows = table(INTAKE, ("a", "received", "", 1))
    tables.overwrite(rows, "silver.intake")
    before = tables.state(spark, "silver.intake")
    _upkeep(spark, "silver.intake")
    assert tables.state(spark, "silver.intake") == before
    shutil.rmtree(warehouse / "silver" / "intake")
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # as in the session of a later run
    tables.overwrite(rows, "silver.intake")
    assert tables.version(spark, "silver.intake") == 0
    assert before.startswith("version 0 of ")
    assert tables.state(spark, "silver.intake") != before


def test_reading_a_table_that_is_not_there_names_the_job_that_writes_it(spark: SparkSession, warehouse: Path) -> None:
    for name, job in (("silver.events", "ingest"), ("features.user", "build-features"), ("bronze.log", "ingest")):
        with pytest.raises(TableMissing, match=rf"{name} does not exist yet\. Run `propensity {job}` first"):
            tables.read(spark, name)
        assert not tables.exists(spark, name)
        assert tables.last_note(spark, name) == ""


def test_every_contract_names_a_job_of_the_command_and_columns_that_exist() -> None:
    from propensity_spark.cli import _COMMANDS

    for name, contract in TABLES.items():
        assert contract.writer in _COMMANDS, name
        assert {*contract.keys, *contract.partition_by} <= set(contract.columns), name
        assert name.split(".")[0] in tables.SCHEMAS


def test_every_kind_of_feature_has_a_contract_with_its_dates_apart() -> None:
    contracts = [TABLES[f"features.{entity}"] for entity in ("pair", *ENTITIES)]
    assert {contract.partition_by for contract in contracts} == {("as_of",)}
    assert [contract.keys for contract in contracts[1:]] == list(ENTITIES.values())


def test_a_contract_lists_its_columns_as_spark_reads_them(spark: SparkSession) -> None:
    for contract in TABLES.values():
        assert list(contract.columns) == contract.struct().names, contract.name


def test_a_frame_is_put_into_the_order_of_its_contract(table: Make) -> None:
    mixed = table("extra INT, rows BIGINT, reason STRING, step STRING, source STRING", (1, 2, "r", "s", "log"))
    assert tables.conform(mixed, TABLES["silver.intake"]).columns == ["source", "step", "reason", "rows"]


def test_an_open_ended_table_keeps_further_columns_behind_the_fixed_ones(table: Make) -> None:
    mixed = table("views DOUBLE, user_id STRING, as_of DATE, feature_version STRING", (1.0, "ann", "2024-03-01", "v"))
    assert tables.conform(mixed, TABLES["features.user"]).columns == ["as_of", "user_id", "feature_version", "views"]


def test_a_frame_without_a_column_of_its_contract_is_refused(table: Make, spark: SparkSession, warehouse: Path) -> None:
    with pytest.raises(MissingColumns, match=r"silver\.intake lacks \['reason', 'step'\]; it has \['rows', 'source'\]"):
        tables.overwrite(table("source STRING, rows BIGINT", ("log", 1)), "silver.intake")
    assert not tables.exists(spark, "silver.intake")


def test_a_frame_of_another_type_is_refused(table: Make, spark: SparkSession, warehouse: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"silver\.intake: rows is int, not bigint"):
        tables.overwrite(table(INTAKE.replace("BIGINT", "INT"), ("log", "received", "", 1)), "silver.intake")
    assert not tables.exists(spark, "silver.intake")


@pytest.mark.parametrize("name", BOUNDED)
def test_delta_keeps_the_bounds_of_keys_and_of_no_feature(spark: SparkSession, warehouse: Path, name: str) -> None:
    fixed = (F.lit(None).cast(field.dataType).alias(field.name) for field in TABLES[name].struct())
    tables.overwrite(spark.range(1).select(*fixed, F.lit(1).alias("views")), name)
    log = next((warehouse / name.replace(".", "/") / "_delta_log").glob("*0.json")).read_text(encoding="utf-8")
    added = next(json.loads(line)["add"] for line in log.splitlines() if line.startswith('{"add"'))
    assert set(json.loads(added["stats"])["nullCount"]) == BOUNDED[name]


def test_tables_go_by_name_in_sql_and_attaching_points_the_names_there(
    spark: SparkSession, table: Make, warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tables.overwrite(table(INTAKE, ("here", "received", "", 1)), "silver.intake")
    assert tables.path(spark, "silver.intake") == f"{warehouse}/silver/intake"
    assert _said(spark.sql("SELECT source FROM silver.intake")) == [("here",)]
    other = tmp_path_factory.mktemp("other")
    tables.attach(spark, StorageConfig(warehouse=str(other)))
    assert not tables.exists(spark, "silver.intake")
    tables.overwrite(table(INTAKE, ("there", "received", "", 1)), "silver.intake")
    assert _said(tables.read(spark, "silver.intake")) == [("there", "received", "", "1")]
    assert _said(spark.sql("SELECT source FROM silver.intake")) == [("there",)]


def test_a_new_session_finds_the_tables_of_a_warehouse_by_name(spark: SparkSession, table: Make, warehouse: Path) -> None:
    tables.overwrite(table(INTAKE, ("here", "received", "", 1)), "silver.intake")
    spark.sql("DROP TABLE silver.intake")  # the name only: the files stay
    tables.attach(spark, StorageConfig(warehouse=str(warehouse)))
    assert _said(spark.sql("SELECT source FROM silver.intake")) == [("here",)]


def test_a_warehouse_may_have_any_name(spark: SparkSession, table: Make, warehouse: Path, tmp_path: Path) -> None:
    try:
        tables.attach(spark, StorageConfig(warehouse=str(tmp_path / "the shop's")))
        tables.overwrite(table(INTAKE, ("here", "received", "", 1)), "silver.intake")
        assert _said(spark.sql("SELECT source FROM silver.intake")) == [("here",)]
    finally:
        tables.attach(spark, StorageConfig(warehouse=str(warehouse)))


def test_a_new_session_finds_the_tables_of_a_remote_warehouse_by_name_until_it_turns_elsewhere(
    spark: SparkSession, table: Make, warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    remote = StorageConfig(warehouse=f"file://{tmp_path_factory.mktemp('remote')}")
    tables.attach(spark, remote)
    tables.overwrite(table(INTAKE, ("far", "received", "", 1)), "silver.intake")
    tables.overwrite(table("user STRING", ("ann",)), "bronze.log")
    spark.sql("DROP TABLE silver.intake")  # the name only: the files stay
    tables.attach(spark, remote)
    assert _said(spark.sql("SELECT source FROM silver.intake")) == [("far",)]
    tables.attach(spark, StorageConfig(warehouse=str(warehouse)))
    assert not spark.catalog.tableExists("silver.intake")
    assert not spark.catalog.tableExists("bronze.log")


def test_a_note_is_left_in_the_table_that_was_written_whatever_its_name_means(
    spark: SparkSession, table: Make, warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other, nothing = tmp_path_factory.mktemp("other"), table(INTAKE)
    tables.overwrite(nothing, "silver.intake", "first")
    nothing.write.format("delta").save(f"{other}/intake")
    spark.sql("DROP TABLE silver.intake")
    spark.sql(f"CREATE TABLE silver.intake USING DELTA LOCATION '{other}/intake'")
    tables.overwrite(nothing, "silver.intake", "second")
    assert tables.last_note(spark, "silver.intake") == "second"
    assert tables.state_of_name(spark, "silver.intake").startswith("version 0 ")


def test_a_slash_at_the_end_of_a_remote_warehouse_makes_no_other(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    tables.attach(spark, StorageConfig(warehouse=f"file://{tmp_path}/far/"))
    assert tables.path(spark, "silver.intake") == f"file://{tmp_path}/far/silver/intake"
    tables.attach(spark, StorageConfig(warehouse=str(warehouse)))


def test_an_address_that_cannot_be_reached_is_a_line(spark: SparkSession, warehouse: Path) -> None:
    try:
        with pytest.raises(StorageError, match=r"^the warehouse nosuch://bucket/w cannot be read: .*nosuch"):
            tables.attach(spark, StorageConfig(warehouse="nosuch://bucket/w"))
    finally:
        spark.conf.set("spark.propensity.warehouse", str(warehouse))
    assert tables.state_of_path(spark, "nosuch://bucket/users") == ""


@pytest.fixture
def elsewhere(spark: SparkSession) -> Iterator[None]:
    """A session whose current catalog is not the one that the shop's tables are in."""
    spark.conf.set("spark.sql.catalog.other", "org.apache.spark.sql.execution.datasources.v2.jdbc.JDBCTableCatalog")
    spark.conf.set("spark.sql.catalog.other.url", "jdbc:derby:memory:other;create=true")
    spark.conf.set("spark.sql.catalog.other.driver", "org.apache.derby.jdbc.EmbeddedDriver")
    spark.catalog.setCurrentCatalog("other")
    yield
    spark.catalog.setCurrentCatalog("spark_catalog")


def test_names_in_sql_are_of_the_shops_catalog(spark: SparkSession, table: Make, warehouse: Path, elsewhere: None) -> None:
    try:
        tables.attach(spark, StorageConfig(catalog="spark_catalog"))
        tables.overwrite(table(INTAKE, ("named", "received", "", 1)), "silver.intake")
        assert _said(spark.sql("SELECT source FROM silver.intake")) == [("named",)]
        spark.sql("ALTER TABLE spark_catalog.silver.intake SET TBLPROPERTIES ('delta.checkpointInterval' = '11')")
        assert tables.version(spark, "silver.intake") == 0
    finally:
        spark.sql("DROP TABLE IF EXISTS spark_catalog.silver.intake")
        tables.attach(spark, StorageConfig(warehouse=str(warehouse)))


def test_a_catalog_of_any_name_is_quoted_in_sql(spark: SparkSession) -> None:
    told = []
    for catalog in ("", "main", "prod-shop"):
        conf = SimpleNamespace(get=lambda _, __="", catalog=catalog: catalog)
        told.append(tables.name(cast(SparkSession, SimpleNamespace(conf=conf)), "gold.propensity"))
    assert told == ["gold.propensity", "main.gold.propensity", "`prod-shop`.gold.propensity"]


def test_a_catalog_that_the_session_does_not_have_is_told_and_nothing_changes(spark: SparkSession) -> None:
    with pytest.raises(StorageError, match=r"the session has no catalog 'mian': .*Set storage\.catalog to one"):
        tables.attach(spark, StorageConfig(catalog="mian"))
    assert spark.catalog.currentCatalog() == "spark_catalog"
    assert tables.name(spark, "silver.events") == "silver.events"


def test_a_warehouse_that_can_be_written_is_made_and_left_clean(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    tables.check_writable(StorageConfig(warehouse=str(folder)))
    assert list(folder.iterdir()) == []


def test_a_warehouse_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot be written: .*Set storage\.warehouse"):
        tables.check_writable(StorageConfig(warehouse=str(tmp_path / "file")))
    for remote in ("s3://bucket/w", "dbfs:/w"):  # left to Spark
        tables.check_writable(StorageConfig(warehouse=remote))
        assert not os.path.exists(remote.split("/")[0])
    tables.check_writable(StorageConfig(warehouse=str(tmp_path / "file"), catalog="main"))


def test_pointing_elsewhere_drops_no_table_of_somebody_else(
    spark: SparkSession, table: Make, warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tables.overwrite(table(INTAKE, ("here", "received", "", 1)), "silver.intake")
    theirs = tmp_path_factory.mktemp("theirs") / "customers"
    table("n INT", (1,)).write.format("delta").save(str(theirs))
    spark.sql(f"CREATE TABLE gold.customers USING DELTA LOCATION '{theirs}'")
    tables.attach(spark, StorageConfig(warehouse=str(tmp_path_factory.mktemp("other"))))
    assert spark.catalog.tableExists("gold.customers")
    assert not spark.catalog.tableExists("silver.intake")
    assert (warehouse / "silver" / "intake" / "_delta_log").is_dir()
