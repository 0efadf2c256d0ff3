"""Bronze: a shop's logs as received, all values as text, with the file they came from and the time they arrived."""

from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StringType, StructField, StructType

from propensity_spark import tables
from propensity_spark.config import SourceConfig
from propensity_spark.errors import SourceError
from propensity_spark.ingest.preflight import expand, is_remote

FILE, SIZE, MODIFIED, ARRIVED, CORRUPT = "_source_file", "_file_size", "_file_modified", "_arrived_at", "_corrupt"
META = (FILE, SIZE, MODIFIED, ARRIVED, CORRUPT)


def load(spark: SparkSession, source: SourceConfig) -> tuple[str, int]:
    """Bring bronze.<source> up to date with its files, in one commit; returns the table's name and the rows added.

    Files that are in the table already (same size and time of change) are not read again; new ones are appended; where
    one changed or vanished the whole source is read again.
    Raises SourceError where a file cannot be read.
    """
    name = f"bronze.{source.name}"
    files = _files(source)
    known = _known(spark, name)
    if files is not None and known == files:
        return name, 0
    is_appendable = files is not None and known and all(files.get(f) == stamp for f, stamp in known.items())
    new = [f for f in files if f not in known] if files is not None and is_appendable else None
    try:
        frame = _received(spark, source, new if new is not None else (list(files) if files is not None else None))
        if is_appendable and known:
            return name, tables.append(frame, name)
        return name, tables.overwrite(frame, name)
    except Exception as problem:
        raise _readable(problem, source) from problem


def _readable(problem: Exception, source: SourceConfig) -> Exception:
    text = str(problem)
    for sign in ("EOFException", "ZipException", "not in GZIP", "incorrect header check", "is not a Parquet file"):
        if sign in text:
            return SourceError(f"sources.{source.name}: a file is damaged ({sign}); fetch it again. Nothing was changed.")
    return problem


def _files(source: SourceConfig) -> dict[str, tuple[int, int]] | None:
    """File -> size and modification second; None where Spark alone can see the files."""
    if source.table or source.format == "delta" or any(is_remote(p) for p in source.path):
        return None
    found = {}
    for file in expand(source.path):
        stat = file.stat()
        found[str(file.absolute())] = (stat.st_size, int(stat.st_mtime))
    return found


def _known(spark: SparkSession, name: str) -> dict[str, tuple[int, int]]:
    if not tables.exists(spark, name):
        return {}
    rows = tables.read(spark, name).select(FILE, SIZE, MODIFIED).distinct().collect()
    return {row[0]: (row[1], row[2]) for row in rows if row[0] is not None}


def _received(spark: SparkSession, source: SourceConfig, files: list[str] | None) -> DataFrame:
    arrived = F.lit(datetime.now(UTC).replace(microsecond=0)).alias(ARRIVED)
    raw = _read(spark, source, files)
    kept = [_as_text(field) for field in raw.schema.fields if field.name not in META]
    corrupt = F.col(CORRUPT) if CORRUPT in raw.columns else F.lit(None).cast("string")
    meta = F.col("_metadata") if not source.table else None
    if meta is None:
        where = [
            F.lit(source.table).alias(FILE),
            F.lit(0).cast("bigint").alias(SIZE),
            F.lit(0).cast("bigint").alias(MODIFIED),
        ]
    else:
        local = F.regexp_replace(F.expr("url_decode(replace(_metadata.file_path, '+', '%2B'))"), "^file:(//)?", "")
        changed = F.col("_metadata.file_modification_time").cast("bigint")
        where = [local.alias(FILE), F.col("_metadata.file_size").alias(SIZE), changed.alias(MODIFIED)]
    return raw.select(*kept, *where, arrived, corrupt.alias(CORRUPT))


def _read(spark: SparkSession, source: SourceConfig, files: list[str] | None) -> DataFrame:
    if source.table:
        return spark.table(source.table)
    paths = files if files is not None else list(source.path)
    if source.format == "csv":
        return _read_csv(spark, source, paths)
    if source.format == "json":
        schema = spark.read.json(paths).schema
        wanted = StructType([*(f for f in schema.fields if f.name != CORRUPT), StructField(CORRUPT, StringType())])
        return spark.read.schema(wanted).option("columnNameOfCorruptRecord", CORRUPT).json(paths)
    return spark.read.format(source.format).load(paths if source.format == "parquet" else paths[0])


def _read_csv(spark: SparkSession, source: SourceConfig, paths: list[str]) -> DataFrame:
    """Text columns by the first file's header; a line with too few or too many fields goes whole into _corrupt."""
    options = {
        "sep": source.delimiter,
        "encoding": source.encoding,
        "escape": '"',
        "header": str(source.header).lower(),
    }
    names = list(source.columns) or spark.read.options(**options).csv(paths[0]).columns
    schema = StructType([StructField(name, StringType()) for name in [*names, CORRUPT]])
    reader = spark.read.schema(schema).options(**options, mode="PERMISSIVE", enforceSchema="true")
    frame = reader.option("columnNameOfCorruptRecord", CORRUPT).csv(paths)
    slots = max(spark.sparkContext.defaultParallelism, 2)
    return frame.coalesce(slots) if len(paths) > slots else frame


def _as_text(field: StructField) -> Column:
    """A value as text; nested ones as JSON."""
    column = F.col(f"`{field.name}`")
    nested = isinstance(field.dataType, StructType | ArrayType | MapType)
    return (F.to_json(column) if nested else column.cast("string")).alias(field.name)
