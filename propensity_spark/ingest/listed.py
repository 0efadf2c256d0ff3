"""The shop's smaller tables (users, products, series, members): how they are read, and which of two equal keys stays."""

from collections.abc import Iterable, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import ListedConfig
from propensity_spark.config.places import is_remote
from propensity_spark.errors import MissingColumns
from propensity_spark.ingest import texts
from propensity_spark.ingest.preflight import expand


def read(spark: SparkSession, listed: ListedConfig, wanted: Iterable[str], what: str) -> DataFrame:
    """The table's rows as they are.

    Takes   `wanted`: the mapped columns (blanks and `= SQL` are passed over); `what`: its name for messages.
    Raises  MissingColumns where one of them is absent.
    """
    raw = _read(spark, listed)
    missing = [c for c in wanted if c and not c.startswith("=") and c not in raw.columns]
    if missing:
        raise MissingColumns(what, missing, raw.columns, "Correct its mapping.")
    return raw


def _read(spark: SparkSession, listed: ListedConfig) -> DataFrame:
    if listed.table:
        return spark.table(listed.table)
    local = [str(file) for file in expand(listed.path)]
    paths = list(listed.path) if any(is_remote(p) for p in listed.path) or listed.format == "delta" else local
    if listed.format == "csv":
        return spark.read.options(header=str(listed.header).lower(), sep=listed.delimiter, escape='"').csv(paths)
    return spark.read.format(listed.format).load(paths if listed.format != "delta" else paths[0])


def column(raw: DataFrame, mapped: str) -> Column:
    """A mapped column of `raw`, or `= SQL expression`, as text; null where nothing is mapped.

    A column is written by its type (see `texts`), an expression as Spark writes it: its TIMESTAMP is mostly a wall time that
    was put together from texts.
    """
    if not mapped:
        return F.lit(None).cast("string")
    if mapped.startswith("="):
        return F.expr(mapped[1:]).cast("string")
    return texts.written(F.col(f"`{mapped}`"), raw.schema[mapped].dataType)


def written_out(frame: DataFrame, columns: Sequence[str]) -> Column:
    """What the columns say as one text: equal for rows that say the same, whatever the order of a map."""
    kinds = {field.name: field.dataType.typeName() for field in frame.schema}
    parts = (F.array_sort(F.map_entries(c)).alias(c) if kinds[c] == "map" else F.col(c) for c in columns)
    return F.to_json(F.struct(*parts))


def one_of_each(frame: DataFrame, keys: Sequence[str]) -> DataFrame:
    """One row per key: of several, the one that comes last in the order of what they say. The same on every run."""
    rest = [c for c in frame.columns if c not in keys]
    chosen = F.max_by(F.struct(*rest), written_out(frame, rest)).alias("_row")
    return frame.groupBy(*keys).agg(chosen).select(*keys, "_row.*")
