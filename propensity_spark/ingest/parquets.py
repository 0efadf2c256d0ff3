"""Parquet files as shops write them: times in nanoseconds, and columns whose types differ from one file to the next."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType

from propensity_spark.errors import SourceError
from propensity_spark.ingest import texts

_NANOS_AS_NUMBERS = "spark.sql.legacy.parquet.nanosAsLong"  # Spark refuses them otherwise
_Leaf = tuple[str, str, str]  # of a schema: path, physical type, logical type


def read(spark: SparkSession, files: Sequence[str]) -> list[DataFrame]:
    """The rows of local files, one frame for all files of equal columns and types. Times lose what is below a microsecond."""
    groups: dict[tuple[_Leaf, ...], list[str]] = {}
    for file in files:
        groups.setdefault(_leaves(file), []).append(file)
    return [_of_group(spark, leaves, alike) for leaves, alike in groups.items()]


def _leaves(file: str) -> tuple[_Leaf, ...]:
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_metadata(file).schema
    except PermissionError as problem:
        raise SourceError(f"{file} cannot be read: {problem.strerror}. Nothing was changed.") from None
    except (pyarrow.ArrowInvalid, OSError):  # OSError: of a footer that is spoilt
        raise SourceError(f"{file} is not a Parquet file, or is damaged; fetch it again. Nothing was changed.") from None
    columns = (schema.column(place) for place in range(len(schema)))
    return tuple(sorted((column.path, column.physical_type, str(column.logical_type)) for column in columns))


def _of_group(spark: SparkSession, leaves: Sequence[_Leaf], files: list[str]) -> DataFrame:
    nanos = {path: logical for path, _, logical in leaves if logical.startswith("Timestamp") and "timeUnit=nano" in logical}
    if not nanos:
        return spark.read.parquet(*files)
    spark.conf.set(_NANOS_AS_NUMBERS, "true")  # and left so: it counts when the rows are read
    frame = spark.read.parquet(*files)
    return frame.select(*(_time(name, nanos[name]) if name in nanos else F.col(f"`{name}`") for name in frame.columns))


def _time(name: str, logical: str) -> Column:
    """A TIMESTAMP of a number of nanoseconds, or the wall time that it is where it has no zone."""
    instant = F.timestamp_micros(F.expr(f"`{name}` div 1000"))
    return (instant if "isAdjustedToUTC=true" in logical else instant.cast("timestamp_ntz")).alias(name)


def alike(parts: Sequence[DataFrame]) -> list[DataFrame]:
    """The parts, with text in place of columns whose types differ; of numbers the union makes one type."""
    found: dict[str, set[str]] = {}
    for field in (field for part in parts for field in part.schema):
        found.setdefault(field.name, set()).add("number" if isinstance(field.dataType, NumericType) else str(field.dataType))
    mixed = {name for name, types in found.items() if len(types) > 1}
    return [_as_text(part, mixed) for part in parts] if mixed else [*parts]


def _as_text(part: DataFrame, names: set[str]) -> DataFrame:
    columns = ((F.col(f"`{field.name}`"), field) for field in part.schema)
    return part.select(*(texts.written(c, f.dataType).alias(f.name) if f.name in names else c for c, f in columns))
