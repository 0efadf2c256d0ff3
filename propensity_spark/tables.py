"""The only place that reads and writes Delta. Tables go by name (`silver.events`); every write is one commit.

Embedded (default), a table lies at <warehouse>/<schema>/<table>; with storage.catalog it is catalog.schema.table.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import StorageConfig
from propensity_spark.config.places import is_remote
from propensity_spark.errors import MissingColumns, SchemaMismatch, StorageError, TableMissing
from propensity_spark.history import WRITE_MARK, last_change
from propensity_spark.schemas import TABLES, Table

SCHEMAS = ("bronze", "silver", "features", "trainset", "gold")
_WAREHOUSE = "spark.propensity.warehouse"
_CATALOG = "spark.propensity.catalog"
_OWN_CATALOG = "spark_catalog"  # that every session has
_NOTE = "spark.databricks.delta.commitInfo.userMetadata"
_MAPPING = "delta.columnMapping.mode"
_CONFLICTS = (  # none is a kind of another in Python
    *(ConcurrentAppendException, ConcurrentDeleteDeleteException, ConcurrentDeleteReadException, ConcurrentTransactionException),
    *(ConcurrentWriteException, DeltaConcurrentModificationException, MetadataChangedException, ProtocolChangedException),
)
_SIGNS = " ,;{}()\n\t="  # in a column's name Delta takes these by mapping names only; logs as received have them


def check_writable(storage: StorageConfig) -> None:
    """Make sure that an embedded warehouse can be written, before anything runs.

    Raises StorageError with the folder and the reason.
    """
    folder = Path(storage.warehouse)
    if not storage.is_here:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise StorageError(
            f"the warehouse {folder} cannot be written: {problem.strerror or problem}. Set storage.warehouse to a folder of yours."
        ) from None


def attach(spark: SparkSession, storage: StorageConfig) -> None:
    """Tell the session where the shop's tables lie, so that SQL finds those that exist by name, as in gold.propensity.

    Of a remote warehouse, which is slow to list, only tables with a contract are looked for.
    Raises StorageError where it cannot be read. A metastore that keeps names for later sessions may have them for the tables of
    another warehouse: they stay as they are, since somebody may need them, and nothing but SQL goes by them.
    """
    warehouse = storage.warehouse.rstrip("/") if storage.is_remote else str(Path(storage.warehouse).absolute())
    _enter(spark, storage.catalog)
    for schema in SCHEMAS:
        if not spark.catalog.databaseExists(_prefix(spark) + schema):  # who only reads may make none
            spark.sql(f"CREATE SCHEMA IF NOT EXISTS {_prefix(spark)}{schema}")
    if not storage.catalog and spark.conf.get(_WAREHOUSE, warehouse) != warehouse:
        _forget(spark, str(spark.conf.get(_WAREHOUSE)))
    spark.conf.set(_WAREHOUSE, warehouse)
    if storage.catalog:
        return
    try:
        for table in _unnamed(spark) if storage.is_remote else _lying(warehouse):
            _register(spark, table)
    except (PySparkException, Py4JJavaError) as problem:  # a file system that Spark has not, or that does not let it in
        raise StorageError(f"the warehouse {warehouse} cannot be read: {_reason(problem)}") from None


def _enter(spark: SparkSession, catalog: str) -> None:
    """Make the catalog the current one, for names in SQL; without one leave that of a shop before."""
    if catalog or spark.conf.get(_CATALOG, ""):
        try:
            spark.catalog.setCurrentCatalog(catalog or _OWN_CATALOG)
        except (PySparkException, Py4JJavaError) as problem:  # PySpark has no name for it in 3.5
            raise StorageError(
                f"the session has no catalog {catalog!r}: {_reason(problem)}. Set storage.catalog to one that it has."
            ) from None
    spark.conf.set(_CATALOG, catalog)


def _reason(problem: Exception) -> str:
    """The first line of what Spark says, without its trace."""
    told = str(problem.java_exception.toString()) if isinstance(problem, Py4JJavaError) else str(problem)
    return told.strip().split("\n")[0].rstrip(".\r")


def _lying(warehouse: str) -> Iterator[str]:
    """The names of the tables in a local warehouse."""
    for log in sorted(Path(warehouse).glob("*/*/_delta_log")):
        if log.parent.parent.name in SCHEMAS and any(log.glob("*.json")):  # without: the first write was killed
            yield f"{log.parent.parent.name}.{log.parent.name}"


def _unnamed(spark: SparkSession) -> Iterator[str]:
    """The tables with a contract that exist, and that the session does not know by name."""
    return (name for name in TABLES if not spark.catalog.tableExists(name) and exists(spark, name))


def _forget(spark: SparkSession, warehouse: str) -> None:
    """Drop the names that point into another embedded warehouse; its files stay, and so does every table not of ours."""
    for name in _known(spark) if is_remote(warehouse) else _lying(warehouse):
        if _location(spark, name) == _plain(f"{warehouse}/{name.replace('.', '/')}"):
            spark.sql(f"DROP TABLE {name}")


def _known(spark: SparkSession) -> list[str]:
    """The names in our schemas."""
    rows = [(schema, row) for schema in SCHEMAS for row in spark.sql(f"SHOW TABLES IN {schema}").collect()]
    return [f"{schema}.{row['tableName']}" for schema, row in rows if not row["isTemporary"]]


def _location(spark: SparkSession, name: str) -> str:
    """Where a registered table lies, as a plain path; empty where the name is not registered."""
    return _plain(_told(spark, name, "Location")) if spark.catalog.tableExists(name) else ""


def _told(spark: SparkSession, name: str, what: str) -> str:
    """What the session's catalog says of a table under this heading; empty where it says nothing."""
    found = spark.sql(f"DESCRIBE TABLE EXTENDED {name}").where(F.col("col_name") == what).select("data_type").collect()
    return str(found[-1][0]) if found else ""  # behind the columns, of which one may be called so


def _plain(path: str) -> str:
    """Of the ways to write a local path (file:/a, file:///a), the one without a scheme."""
    return re.sub("^file:/+", "/", path)


def path(spark: SparkSession, name: str) -> str:
    """Where an embedded table lies."""
    return f"{spark.conf.get(_WAREHOUSE)}/{name.replace('.', '/')}"


def name(spark: SparkSession, table: str) -> str:
    """The table's name in SQL, with the catalog where there is one."""
    return _prefix(spark) + table


def in_catalog(spark: SparkSession) -> bool:
    """Whether the tables are those of a catalog, which others share."""
    return bool(_prefix(spark))


def exists(spark: SparkSession, name: str) -> bool:
    """Whether the table has been written."""
    if _prefix(spark):
        return bool(spark.catalog.tableExists(_prefix(spark) + name))
    return bool(DeltaTable.isDeltaTable(spark, path(spark, name)))


def read(spark: SparkSession, name: str, where: str = "") -> DataFrame:
    """A table's rows, or those for which `where` (SQL) holds.

    Raises TableMissing, naming the job that writes it.
    """
    if not exists(spark, name):
        raise TableMissing(name, TABLES[name].writer if name in TABLES else "ingest")
    frame = spark.table(_prefix(spark) + name) if _prefix(spark) else _load(spark, name)
    return frame.where(where) if where else frame


def overwrite(frame: DataFrame, name: str, note: str = "") -> int:
    """Replace the whole table in one commit; returns the rows written.

    `note` stays in the table's log beside the commit (an input fingerprint, say): see `last_note`.
    """
    _write(frame, name, {"overwriteSchema": "true", "userMetadata": note})
    return _noted(frame.sparkSession, name, note)


def append(frame: DataFrame, name: str, note: str = "") -> int:
    """Add rows in one commit; returns the rows written. Only for tables whose writer knows what is in them already."""
    before = version(frame.sparkSession, name) if exists(frame.sparkSession, name) else -1
    append_blindly(frame, name, note)
    added = version(frame.sparkSession, name) > before  # nothing to add makes no commit
    return _rows_written(frame.sparkSession, name) if added else 0


def append_blindly(frame: DataFrame, name: str, note: str = "") -> None:
    """As `append`, without a look into the table's log before and after: each takes as long as a small job."""
    _write(frame, name, {"mergeSchema": "true", "userMetadata": note}, mode="append")


def replace(frame: DataFrame, name: str, where: str, note: str = "") -> int:
    """Replace the rows for which `where` (SQL over partition columns) holds; returns the rows written.

    Running it twice equals once; a killed run leaves the table as it was.
    Raises SchemaMismatch or MissingColumns where the frame does not fit the contract.
    """
    there = {"replaceWhere": where, "mergeSchema": "true"} if exists(frame.sparkSession, name) else {}
    _write(frame, name, {**there, "userMetadata": note})
    return _noted(frame.sparkSession, name, note)


def version(spark: SparkSession, name: str) -> int:
    """The newest Delta version that changed the table's rows, to be kept with what was made from it."""
    return int(_last_write(spark, name)["version"])


def state(spark: SparkSession, name: str) -> str:
    """The same with the table's own id, for fingerprints: one that was removed and made anew counts from 0 again."""
    return f"version {version(spark, name)} of {_detail(spark, name)['id']}"


def state_of_name(spark: SparkSession, table: str) -> str:
    """The last change (Delta version and time) of a table of the shop's own; empty where it is not Delta (a view, say)."""
    return _state(lambda: DeltaTable.forName(spark, table))


def state_of_path(spark: SparkSession, path: str) -> str:
    """The same of a Delta table that lies at `path`."""
    return _state(lambda: DeltaTable.forPath(spark, path))


def _state(handle: Callable[[], DeltaTable]) -> str:
    try:
        # the time too: a table that was dropped and made anew counts from 0
        last = last_change(handle().history)
    except (PySparkException, Py4JJavaError):  # PySpark has no name for an address that cannot be reached
        return ""
    return f"version {last['version']} of {last['at']}"


def last_note(spark: SparkSession, name: str) -> str:
    """The note that the last change of the table left in its log; empty where there is none, or where it was somebody else's."""
    if not exists(spark, name):
        return ""
    return str(_last_write(spark, name)["userMetadata"] or "")


def conform(frame: DataFrame, table: Table) -> DataFrame:
    """The frame with the contract's columns, in its order and types; open-ended tables keep the rest behind them.

    Raises MissingColumns, or SchemaMismatch where a type differs.
    """
    missing = [column for column in table.columns if column not in frame.columns]
    if missing:
        raise MissingColumns(table.name, missing, frame.columns)
    types = {column.name: column.dataType for column in table.struct()}
    wrong = [c for c in types if frame.schema[c].dataType != types[c]]
    if wrong:
        told = ", ".join(f"{c} is {frame.schema[c].dataType.simpleString()}, not {types[c].simpleString()}" for c in wrong)
        raise SchemaMismatch(f"{table.name}: {told}")
    rest = [column for column in frame.columns if column not in table.columns] if table.open_ended else []
    return frame.select(*table.columns, *rest)


def _write(frame: DataFrame, name: str, options: dict[str, str], mode: str = "overwrite") -> None:
    spark, contract = frame.sparkSession, TABLES.get(name)
    partitions: Sequence[str] = ()
    if contract:
        frame, partitions = conform(frame, contract), contract.partition_by
    if any(sign in column for column in frame.columns for sign in _SIGNS):
        options = {**options, _MAPPING: "name"}
        with _told_of_others(name):
            _map_columns(spark, name)
    if contract:
        options = {**contract.properties, **options}
    writer = frame.write.format("delta").mode(mode).options(**options)
    if partitions:
        writer = writer.partitionBy(*partitions)
    with _told_of_others(name):
        writer.saveAsTable(_prefix(spark) + name) if _prefix(spark) else writer.save(path(spark, name))
    if not _prefix(spark):
        _register(spark, name)


@contextmanager
def _told_of_others(name: str) -> Iterator[None]:
    """Raise StorageError where another run's commit to the table came between."""
    try:
        yield
    except _CONFLICTS:
        raise StorageError(
            f"another run wrote {name} while this one did, and its rows stand; run this again once the other has ended"
        ) from None


def _map_columns(spark: SparkSession, table: str) -> None:
    """Let a table that is there take columns of any name; it may have been made of files that had plain names only."""
    if not exists(spark, table):
        return
    said = _detail(spark, table)
    if said["properties"].get(_MAPPING, "none") != "none":
        return
    needs = {_MAPPING: "name"}  # and a protocol that knows of it; never an older one than the table has
    needs["delta.minReaderVersion"] = str(max(2, said["minReaderVersion"]))
    needs["delta.minWriterVersion"] = str(max(5, said["minWriterVersion"]))
    told = ", ".join(f"'{key}' = '{value}'" for key, value in needs.items())
    spark.sql(f"ALTER TABLE {_itself(spark, table)} SET TBLPROPERTIES ({told})")


def _detail(spark: SparkSession, table: str) -> Row:
    """Delta's id, properties and protocol of a table."""
    told = spark.sql(f"DESCRIBE DETAIL {_itself(spark, table)}")
    return told.select("id", "properties", "minReaderVersion", "minWriterVersion").collect()[0]


def _itself(spark: SparkSession, table: str) -> str:
    """The table in SQL about it: an embedded one by its place, since a name may be unknown or another warehouse's."""
    return name(spark, table) if _prefix(spark) else f"delta.`{path(spark, table).replace('`', '``')}`"


def _last_write(spark: SparkSession, name: str) -> Row:
    """What the table's log says of its last change."""
    if not _prefix(spark):
        return last_change(DeltaTable.forPath(spark, path(spark, name)).history)

    def history(most: int | None) -> DataFrame:  # DeltaTable.forName takes a catalog's name on Databricks only
        return spark.sql(f"DESCRIBE HISTORY {_prefix(spark)}{name}{f' LIMIT {most}' if most else ''}")

    return last_change(history)


def _rows_written(spark: SparkSession, name: str) -> int:
    return int(_last_write(spark, name)["operationMetrics"].get("numOutputRows", 0))


def _noted(spark: SparkSession, table: str, note: str) -> int:
    """The rows that the last write wrote. Nothing over nothing makes no commit, and so keeps no note: it gets one here."""
    last = _last_write(spark, table)
    if (last["userMetadata"] or "") == note:
        return int(last["operationMetrics"].get("numOutputRows", 0))
    before = spark.conf.get(_NOTE, None)
    spark.conf.set(_NOTE, note)
    try:
        with _told_of_others(table):
            spark.sql(f"ALTER TABLE {_itself(spark, table)} SET TBLPROPERTIES ('{WRITE_MARK}' = '{uuid4().hex}')")
    finally:
        spark.conf.set(_NOTE, before) if before else spark.conf.unset(_NOTE)
    return 0


def _register(spark: SparkSession, name: str) -> None:
    where = path(spark, name).replace("\\", "\\\\").replace("'", "\\'")
    spark.sql(f"CREATE TABLE IF NOT EXISTS {name} USING DELTA LOCATION '{where}'")


def _load(spark: SparkSession, name: str) -> DataFrame:
    return spark.read.format("delta").load(path(spark, name))


def _prefix(spark: SparkSession) -> str:
    catalog = str(spark.conf.get(_CATALOG, ""))
    quoted = catalog if re.fullmatch(r"\w*", catalog, re.ASCII) else f"`{catalog}`"
    return f"{quoted}." if catalog else ""


def count_by(frame: DataFrame, *columns: str) -> dict[tuple[object, ...], int]:
    """Rows per value of a few columns, for messages and reports (small by construction)."""
    rows = frame.groupBy(*columns).agg(F.count(F.lit(1)).alias("_rows")).collect()
    return {tuple(row[column] for column in columns): int(row["_rows"]) for row in rows}
