"""Ingest writes over the tables that it made, and over nobody else's."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import StorageError
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import ingest, owned
from propensity_spark.progress import Progress

Make = Callable[..., DataFrame]
QUIET = Progress(quiet=True)


def _config(folder: Path, shop: str, **storage: str) -> Config:
    (folder / "log.csv").write_text("user,item,at\nann,mug,2024-03-01\n", encoding="utf-8")
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at"}
    source = {"name": "log", "path": f"{folder}/log.csv", "map": columns, "event": "purchase"}
    return from_mapping({"shop": {"name": shop}, "sources": [source], "storage": {"warehouse": str(folder / "w"), **storage}})


def test_a_warehouse_belongs_to_one_shop(spark: SparkSession, tmp_path: Path) -> None:
    mine, other = _config(tmp_path, "mine"), _config(tmp_path, "other")
    tables.attach(spark, mine.storage)
    ingest.run(spark, mine, QUIET)
    ingest.run(spark, mine, QUIET)
    version = tables.version(spark, "bronze.log")
    with pytest.raises(
        StorageError, match=r"warehouse .*/w holds the tables of the shop 'mine', not of 'other': set storage\.ware"
    ):
        ingest.run(spark, other, QUIET)
    assert tables.version(spark, "bronze.log") == version, "before anything is written"
    with pytest.raises(StorageError, match=rf"renamed, remove {tmp_path}/w/silver/events, which is made anew"):
        ingest.run(spark, other, QUIET)
    shutil.rmtree(tmp_path / "w" / "silver" / "events")
    ingest.run(spark, other, QUIET)
    ingest.run(spark, other, QUIET)


@pytest.fixture
def catalog(spark: SparkSession, tmp_path: Path) -> Iterator[Config]:
    """A shop in the session's catalog, which holds nothing yet."""
    config = _config(tmp_path, "mine", catalog="spark_catalog")
    tables.attach(spark, config.storage)
    _forget(spark)  # names of another test's warehouse
    yield config
    _forget(spark)
    tables.attach(spark, _config(tmp_path, "mine").storage)


def _forget(spark: SparkSession) -> None:
    for name in ("bronze.log", *tables.TABLES):
        spark.sql(f"DROP TABLE IF EXISTS spark_catalog.{name}")


@pytest.mark.parametrize(
    ("name", "ddl"),
    [
        ("silver.users", "user_id STRING, email STRING"),
        ("silver.products", "product_id STRING, name STRING, category STRING, price DOUBLE, brand STRING"),
        ("bronze.log", "user STRING, item STRING, at STRING"),
        ("gold.metrics", "day DATE, metric STRING, value DOUBLE"),
    ],
)
def test_a_table_of_the_catalog_that_others_made_is_not_overwritten(
    spark: SparkSession, catalog: Config, name: str, ddl: str
) -> None:
    spark.sql(f"CREATE TABLE spark_catalog.{name} ({ddl}) USING DELTA")
    with pytest.raises(StorageError, match=rf"catalog spark_catalog has a table {name} that was not made here"):
        ingest.run(spark, catalog, QUIET)
    assert spark.table(f"spark_catalog.{name}").columns == [part.split()[0] for part in ddl.split(", ")]


def test_nor_is_one_that_a_new_source_or_table_would_take(spark: SparkSession, catalog: Config, tmp_path: Path) -> None:
    ingest.run(spark, catalog, QUIET)
    spark.sql("CREATE TABLE spark_catalog.silver.user_versions (user_id STRING, version INT) USING DELTA")
    (tmp_path / "users.csv").write_text("id,city\nann,Ulm\n", encoding="utf-8")
    users = replace(catalog.users, path=(f"{tmp_path}/users.csv",), id="id", attributes=("city",))
    with pytest.raises(StorageError, match=r"a table silver\.user_versions that was not made here"):
        ingest.run(spark, replace(catalog, users=users), QUIET)


def test_a_table_of_another_format_is_not_overwritten_either(spark: SparkSession, catalog: Config, tmp_path: Path) -> None:
    spark.sql(f"CREATE TABLE spark_catalog.silver.events (user_id STRING) USING PARQUET LOCATION '{tmp_path}/events'")
    with pytest.raises(StorageError, match=r"a table silver\.events that was not made here"):
        ingest.run(spark, catalog, QUIET)


def test_its_own_tables_are(spark: SparkSession, catalog: Config) -> None:
    ingest.run(spark, catalog, QUIET)
    owned.check(spark, catalog)
    spark.sql("ALTER TABLE spark_catalog.silver.users ADD COLUMN (remark STRING)")
    owned.check(spark, catalog)
    spark.sql("DELETE FROM spark_catalog.silver.events WHERE user_id = 'nobody'")
    spark.sql("UPDATE spark_catalog.silver.events SET user_id = 'bob'")
    owned.check(spark, catalog)  # its last note is somebody else's, and its columns are ours
