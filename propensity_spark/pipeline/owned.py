"""Whose tables these are: ingest writes over what it made itself, and over nothing else."""

import json

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import StorageError
from propensity_spark.ingest.sources import META
from propensity_spark.schemas import TABLES

SHOP = "shop"  # the key under which the note of silver.events names its shop
_TELLS = "silver.events"


def check(spark: SparkSession, config: Config) -> None:
    """Make sure that nobody else's tables have the names of the shop's.

    Raises StorageError where they are another shop's, and where a catalog has tables of these names that were not made here.
    """
    owner = _owner(spark)
    in_catalog = bool(config.storage.catalog)
    where = f"catalog {config.storage.catalog}" if in_catalog else f"warehouse {config.storage.warehouse}"
    setting = "storage.catalog" if in_catalog else "storage.warehouse"
    if owner not in ("", config.shop.name):
        anew = f"drop {_TELLS}" if in_catalog else f"remove {tables.path(spark, _TELLS)}"
        raise StorageError(
            f"the {where} holds the tables of the shop {owner!r}, not of {config.shop.name!r}: set {setting} to one of its own; "
            f"where the shop was renamed, {anew}, which is made anew"
        )
    if in_catalog and (strange := _strange(spark, config, bool(owner))):
        raise StorageError(
            f"the {where} has a table {strange} that was not made here and would be overwritten: set {setting} to one of its own"
        )


def _owner(spark: SparkSession) -> str:
    """The shop whose events these are; empty where there are none, and where they do not say."""
    note = _note(spark, _TELLS)
    return str(json.loads(note).get(SHOP, "")) if note.startswith("{") else ""


def _note(spark: SparkSession, name: str) -> str:
    try:
        return tables.last_note(spark, name)
    except PySparkException:  # a view, or a table of another format
        return ""


def _strange(spark: SparkSession, config: Config, is_known: bool) -> str:
    """The first table of our names that is not ours; empty where there is none. Of a shop that is known, those that ingest writes.

    Ours have our columns; those of an older version, or after a DELETE of somebody's, at least one of columns and note.
    """
    wanted: dict[str, tuple[str, ...]] = {f"bronze.{source.name}": META for source in config.sources}
    wanted |= {name: table.columns for name, table in TABLES.items() if name.startswith("silver.")}
    if not is_known:
        wanted |= {name: table.keys for name, table in TABLES.items() if not name.startswith("silver.")}
    return next((name for name, columns in wanted.items() if tables.exists(spark, name) and not _is_ours(spark, name, columns)), "")


def _is_ours(spark: SparkSession, name: str, columns: tuple[str, ...]) -> bool:
    return set(columns) <= set(tables.read(spark, name).columns) or _note(spark, name).startswith("{")
