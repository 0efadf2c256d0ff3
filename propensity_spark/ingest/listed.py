"""The shop's smaller tables (users, products, series, members): how they are read, and which of two equal keys stays."""

from collections.abc import Iterable, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import ListedConfig
from propensity_spark.config.places import is_remote
from propensity_spark.errors import MissingColumns
from propensity_spark.ingest import parquets, texts, unread
from propensity_spark.ingest.charsets import in_java
from propensity_spark.ingest.heads import by_header, expand, headers


def read(spark: SparkSession, listed: ListedConfig, wanted: Iterable[str], what: str) -> DataFrame:
    """The table's rows as they are; local files each by their own header or schema.

    Takes   `wanted`: the mapped columns (blanks and `= SQL` are passed over); `what`: its name for messages.
    Raises  MissingColumns where one of them is absent, from any file; SourceError where Spark cannot read a file.
    """
    named = [c for c in wanted if c and not c.startswith("=")]
    try:
        parts = _read(spark, listed)
    except Exception as problem:
        raise unread.readable(problem, what) from problem
    for part in parts:
        if missing := [c for c in named if c not in part.columns]:
            raise MissingColumns(what, missing, part.columns, "Correct its mapping.")
    return reduce(lambda above, below: above.unionByName(below, allowMissingColumns=True), parquets.alike(parts))


def _read(spark: SparkSession, listed: ListedConfig) -> list[DataFrame]:
    """The table in parts of equal columns."""
    if listed.table:
        return [spark.table(listed.table)]
    local = [str(file) for file in expand(listed.path)]
    is_local = not any(is_remote(p) for p in listed.path) and listed.format != "delta"
    paths = local if is_local else list(listed.path)
    if listed.format == "csv":
        options = {
            "sep": listed.delimiter,
            "encoding": in_java(listed.encoding),
            "escape": '"',
            "header": str(listed.header).lower(),
        }
        reader = spark.read.options(**options, multiLine="true")  # a product's text may go over lines; the tables are small
        return [reader.csv(group) for group in (_by_header(paths, listed) if is_local and listed.header else [paths])]
    if listed.format == "parquet" and is_local:
        return parquets.read(spark, paths)
    return [spark.read.format(listed.format).load(paths if listed.format != "delta" else paths[0])]


def _by_header(paths: list[str], listed: ListedConfig) -> list[list[str]]:
    """Files of equal headers together; those without a line hold nothing."""
    groups = by_header(headers(paths, listed.delimiter, listed.encoding))
    return [group for names, group in groups.items() if names] or [paths]


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
