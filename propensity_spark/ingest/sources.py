"""Bronze: a shop's logs as received, all values as text, with the file they came from and the time they arrived."""

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from propensity_spark import tables
from propensity_spark.config import SourceConfig
from propensity_spark.config.places import is_remote
from propensity_spark.errors import MissingColumns, SourceError
from propensity_spark.ingest import parquets, texts, unread
from propensity_spark.ingest.charsets import in_java
from propensity_spark.ingest.heads import apart, by_header, expand, headers

FILE, SIZE, MODIFIED, ARRIVED, CORRUPT = "_source_file", "_file_size", "_file_modified", "_arrived_at", "_corrupt"
META = (FILE, SIZE, MODIFIED, ARRIVED, CORRUPT)
AT_ONCE = 16  # files at an address whose heads are asked for


def load(spark: SparkSession, source: SourceConfig) -> tuple[str, int]:
    """Bring bronze.<source> up to date with its files, in one commit; returns the table's name and the rows added.

    Files that are in the table already (same size and time of change, read in the same way) are not read again; new ones are
    appended; where one changed, or the way of reading did, all that are there are read again. Rows of files that are gone stay
    or go as `gone` says.
    Raises SourceError where a file cannot be read, and where files are gone and nothing says what of it.
    """
    name = f"bronze.{source.name}"
    files, reading = _files(source), _reading(source)
    known, is_alike = _known(spark, name, reading) if files is not None else ({}, False)
    gone = _gone(source, files, known)
    if files is not None and is_alike and known == files | gone:
        return name, 0
    if files == {} and not gone:
        raise SourceError(f"sources.{source.name}.path: nothing matches {', '.join(source.path)}; correct the path or the glob")
    new = _added(files, known, gone) if is_alike else None
    note = "" if files is None else json.dumps({"reading": reading, "files": files | gone})
    try:
        if new is not None:
            return name, tables.append(_received(spark, source, new), name, note)
        received = [] if files == {} else [_received(spark, source, None if files is None else list(files))]
        return name, tables.overwrite(_together([*_those_of(spark, name, gone), *received]), name, note)
    except Exception as problem:  # what is missing shows before a row is written: a table that is not there now is bronze
        raise unread.damaged(problem, f"sources.{source.name}") from problem


Files = dict[str, list[int]]


def _gone(source: SourceConfig, files: Files | None, known: Files) -> Files:
    """The files whose rows stay though they are there no more. Raises SourceError where nothing says whether they are to."""
    absent = {} if files is None else {file: stamp for file, stamp in known.items() if file not in files}
    gone = {file: stamp for file, stamp in absent.items() if not Path(file).exists()}  # others are there, and asked for no more
    if gone and source.gone == "refuse":
        raise SourceError(
            f"sources.{source.name}: {len(gone)} of the {len(known)} files that were read before are gone, the first {min(gone)}. "
            f"Put them back, or set sources.{source.name}.gone to keep (their rows stay) or drop (they go; so too where files were "
            "moved). Nothing was changed."
        )
    return gone if source.gone == "keep" else {}


def _those_of(spark: SparkSession, name: str, files: Files) -> list[DataFrame]:
    """The rows that the table holds of these files, as they were received."""
    return [_held(spark, name).where(F.col(FILE).isin(list(files)))] if files else []


def _held(spark: SparkSession, name: str) -> DataFrame:
    """The table's rows, of which old ones may name their files as Spark does."""
    return tables.read(spark, name).withColumn(FILE, _as_python_has_it(F.col(FILE)))


def _together(parts: Sequence[DataFrame]) -> DataFrame:
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)


def _added(files: Files | None, known: Files, gone: Files) -> list[str] | None:
    """The files to append; None where the source must be read as a whole."""
    if files is None or not known or any((files | gone).get(f) != stamp for f, stamp in known.items()):
        return None
    return [f for f in files if f not in known]


def _reading(source: SourceConfig) -> str:
    """How the files are read: another way gives other rows."""
    typed = () if source.format == "csv" else ("instants with their zone, ids in digits",)  # as `texts` writes them
    return repr((source.format, source.header, source.columns, source.delimiter, source.encoding, *typed))


def _files(source: SourceConfig) -> Files | None:
    """File -> size and modification second; None where Spark alone can see the files."""
    if source.table or source.format == "delta" or any(is_remote(p) for p in source.path):
        return None
    return {os.path.abspath(file): stamp(file) for file in expand(source.path)}  # without .. : as Spark names them


def stamp(file: Path) -> list[int]:
    """By what a changed file is known: its size and its modification second."""
    stat = file.stat()
    return [stat.st_size, int(stat.st_mtime)]


def _known(spark: SparkSession, name: str, reading: str) -> tuple[Files, bool]:
    """The files that the table holds, and whether they were read in this way. Where somebody changed it, its rows tell."""
    if not tables.exists(spark, name):
        return {}, False
    note = tables.last_note(spark, name)
    if not note.startswith("{"):
        rows = _held(spark, name).select(FILE, SIZE, MODIFIED).distinct().collect()  # as many as there are files
        return {str(file): [int(size), int(changed)] for file, size, changed in rows}, False
    said = json.loads(note)
    return {os.path.normpath(file): stamp for file, stamp in said["files"].items()}, said["reading"] == reading


def _received(spark: SparkSession, source: SourceConfig, files: list[str] | None) -> DataFrame:
    arrived = F.lit(datetime.now(UTC).replace(microsecond=0)).alias(ARRIVED)
    try:
        read = _read(spark, source, files)
    except Exception as problem:
        raise unread.readable(problem, f"sources.{source.name}") from problem
    return _together([_described(raw, source).withColumn(ARRIVED, arrived) for raw in read])


def _as_python_has_it(file: Column) -> Column:
    """A local file's name without Spark's scheme; on Databricks, /Volumes is one of Python's folders too."""
    return F.regexp_replace(file, "^file:(//)?|^dbfs:(?=/Volumes/)", "")


def _described(raw: DataFrame, source: SourceConfig) -> DataFrame:
    """The columns as text, with the file that each row came from."""
    kept = [texts.written(F.col(f"`{f.name}`"), f.dataType).alias(f.name) for f in raw.schema.fields if f.name not in META]
    corrupt = F.col(CORRUPT) if CORRUPT in raw.columns else F.lit(None).cast("string")
    if source.table:
        zero = F.lit(0).cast("bigint")
        return raw.select(*kept, F.lit(source.table).alias(FILE), zero.alias(SIZE), zero.alias(MODIFIED), corrupt.alias(CORRUPT))
    local = _as_python_has_it(F.expr("url_decode(replace(_metadata.file_path, '+', '%2B'))"))
    changed = F.col("_metadata.file_modification_time").cast("bigint")
    size = F.col("_metadata.file_size")
    return raw.select(*kept, local.alias(FILE), size.alias(SIZE), changed.alias(MODIFIED), corrupt.alias(CORRUPT))


def _read(spark: SparkSession, source: SourceConfig, files: list[str] | None) -> list[DataFrame]:
    """The rows as Spark reads them; one frame for all files that are alike."""
    if source.table:
        return [spark.table(source.table)]
    paths = files if files is not None else list(source.path)
    if source.format == "csv":
        return [_read_csv(spark, source, list(names), alike) for names, alike in _by_header(spark, source, paths).items()]
    if source.format == "json":
        schema = spark.read.option("columnNameOfCorruptRecord", CORRUPT).json(paths).schema
        found = [field for field in schema.fields if field.name != CORRUPT] or _texts(_asked_for(source))  # none: no row tells
        wanted = StructType([*found, *_texts([CORRUPT])])
        return [spark.read.schema(wanted).option("columnNameOfCorruptRecord", CORRUPT).json(paths)]
    if source.format == "parquet" and files is not None:
        return parquets.read(spark, files)
    return [spark.read.format(source.format).load(paths if source.format == "parquet" else paths[0])]


def _texts(names: Iterable[str]) -> list[StructField]:
    return [StructField(name, StringType()) for name in names]


def _mapped(source: SourceConfig) -> set[str]:
    """The columns that play a part."""
    parts = (getattr(source.map, part.name) for part in fields(source.map))
    return {column for column in parts if column and not column.startswith("=")}


def _asked_for(source: SourceConfig) -> tuple[str, ...]:
    """The columns of files that hold nothing: those that will be asked for."""
    return tuple(sorted(_mapped(source))) or ("_c0",)


def _by_header(spark: SparkSession, source: SourceConfig, paths: list[str]) -> dict[tuple[str, ...], list[str]]:
    """The files by their columns: a shop may change their order from one file to the next. Those without a line hold nothing."""
    if not source.header:
        return {apart(source.columns): paths}
    mapped = _mapped(source)
    if any(is_remote(path) for path in paths):
        there = (file for file, (size, _) in sorted(remote_files(spark, paths).items()) if size)
        found = {file: names for file, names in _remote_headers(spark, source, list(there)).items() if names}
        if len(set(found.values())) == 1:  # read as they are given: Spark adds what partition folders say
            return {next(iter(found.values())): paths}
    else:
        found = {file: names for file, names in headers(paths, source.delimiter, source.encoding).items() if names}
    for path, names in found.items():
        if mapped - set(names):
            raise MissingColumns(path, mapped - set(names), names, f"Every file of sources.{source.name} must have them.")
    return by_header(found) or {_asked_for(source): paths}


def _remote_headers(spark: SparkSession, source: SourceConfig, files: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The first line of each file: a small job each, mostly spent waiting, so several at once."""
    options = {"sep": source.delimiter, "encoding": in_java(source.encoding), "escape": '"', "header": "true"}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        columns = pool.map(lambda file: tuple(spark.read.options(**options).csv(file).columns), files)
        return dict(zip(files, columns, strict=True))


def remote_files(spark: SparkSession, patterns: Sequence[str]) -> Files:
    """The files that Spark sees at these addresses, as `stamp` knows them; what they hold is not read."""
    found = spark.read.format("binaryFile").load(list(patterns))
    rows = found.select("path", "length", F.unix_seconds("modificationTime")).collect()
    return {str(path): [int(size), int(changed)] for path, size, changed in rows}


def _read_csv(spark: SparkSession, source: SourceConfig, names: list[str], paths: list[str]) -> DataFrame:
    """Text columns of these names; a line with too few or too many fields goes whole into _corrupt."""
    options = {"sep": source.delimiter, "encoding": in_java(source.encoding), "escape": '"', "header": str(source.header).lower()}
    schema = StructType(_texts([*names, CORRUPT]))
    reader = spark.read.schema(schema).options(**options, mode="PERMISSIVE", enforceSchema="true")
    frame = reader.option("columnNameOfCorruptRecord", CORRUPT).csv(paths)
    slots, is_here = max(spark.sparkContext.defaultParallelism, 2), str(spark.sparkContext.master).startswith("local")
    # a cluster may have hardly an executor yet: as few tasks as it has cores now would read all there is
    return frame.coalesce(slots) if is_here and len(paths) > slots else frame
