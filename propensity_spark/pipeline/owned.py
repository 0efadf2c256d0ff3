"""Whose tables these are: ingest writes over what it made itself, and over nothing else."""

import json

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

    Raises StorageError where they are another shop's, and where a catalog has tables of these names that ingest did not make.
    """
    owner = _owner(spark)
    where = f"catalog {config.storage.catalog}" if config.storage.catalog else f"warehouse {config.storage.warehouse}"
    other = "storage.catalog" if config.storage.catalog else "storage.warehouse"
    if owner not in ("", config.shop.name):
        raise StorageError(
            f"the {where} holds the tables of the shop {owner!r}, not of {config.shop.name!r}: set {other} to one of its own; "
            f"where the shop was renamed, drop {_TELLS}, which is made anew"
        )
    if config.storage.catalog and not owner and (strange := _strange(spark, config)):
        raise StorageError(
            f"the {where} has a table {strange} that was not made here and would be overwritten: set {other} to one of its own"
        )


def _owner(spark: SparkSession) -> str:
    """The shop whose events these are; empty where there are none, and where they do not say."""
    note = tables.last_note(spark, _TELLS)
    return str(json.loads(note).get(SHOP, "")) if note.startswith("{") else ""


def _strange(spark: SparkSession, config: Config) -> str:
    """The first table of our names that lacks what ours have; empty where there is none."""
    wanted: dict[str, tuple[str, ...]] = {f"bronze.{source.name}": META for source in config.sources}
    wanted |= {name: table.columns if name.startswith("silver.") else table.keys for name, table in TABLES.items()}
    there = (name for name in wanted if tables.exists(spark, name))
    return next((name for name in there if not set(wanted[name]) <= set(tables.read(spark, name).columns)), "")
