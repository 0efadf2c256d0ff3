"""Job: totals of users, products and pairs for any rows, each at its own moment; nothing that stands is read or written."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import Config, ListedConfig
from propensity_spark.config.places import is_remote
from propensity_spark.errors import ConfigError
from propensity_spark.features import heavy, sequences
from propensity_spark.features import totals as arithmetic
from propensity_spark.features.declared import ENTITIES
from propensity_spark.ingest import listed, sources, unread
from propensity_spark.ingest.events import identifier, moment
from propensity_spark.ingest.heads import expand
from propensity_spark.pipeline import totals
from propensity_spark.progress import Progress

SPINE = ("user_id", "product_id", "moment")
_MARK = re.compile(r"_SUCCESS|_temporary|\._SUCCESS\.crc|\.part-.*\.crc|\.spark-staging.*")  # what Spark leaves beside its files
_LIKE_TOTALS = 50  # as many of the last events take as much memory as a row's totals


def look_up(spark: SparkSession, config: Config, spine: str, out: str, progress: Progress) -> None:
    """Write the totals of a spine's users, products and pairs, each just before the row's own moment, as Parquet.

    `spine`: see `read_spine`. Raises ConfigError where `out` is missing, and as `read_spine` does.
    """
    if not out:
        raise ConfigError("where do the totals of the spine go? Give --out FOLDER")
    _check_out(spark, out)
    asked = read_spine(spark, spine, config.shop.time_zone).persist()
    try:
        bad = asked.where(" OR ".join(f"{column} IS NULL" for column in SPINE)).count()
        if asked.isEmpty():
            raise ConfigError(f"{spine} holds no rows")
        if bad:
            raise ConfigError(f"{spine}: {bad} row(s) without a user, a product or a moment such as 2024-03-01 12:30:00")
        odd = asked.where("year(moment) NOT BETWEEN 1900 AND 2199").select(F.col("moment").cast("string")).head()
        if odd:
            raise ConfigError(f"{spine}: {odd[0]} is no moment around which a shop has events; leave such rows out")
        with progress.stage("totals of a spine") as stage:
            for_spine(totals.shop(spark, config), asked, config.features.last_events).write.mode("overwrite").parquet(out)
            stage.note = out
    finally:
        asked.unpersist()


def _check_out(spark: SparkSession, out: str) -> None:
    """Raise ConfigError where writing would remove what is no earlier answer, or the rest of one that was killed."""
    try:
        is_free = _is_free_here(Path(out)) if _is_here(spark, out) else _is_free_there(spark, out)
    except Exception as problem:
        raise unread.readable(problem, f"--out {out}") from problem
    if not is_free:
        raise ConfigError(f"--out {out} holds other things, and all of them would be replaced; name a folder of its own")


def _is_here(spark: SparkSession, out: str) -> bool:
    """Whether Spark takes the path for a folder of this machine."""
    default = str(spark.sparkContext._jsc.hadoopConfiguration().get("fs.defaultFS"))
    return not is_remote(out) and default.startswith("file:")


def _is_free_here(folder: Path) -> bool:
    if not folder.exists():
        return True
    return folder.is_dir() and all(_MARK.fullmatch(file.name) or _is_answer(file) for file in folder.iterdir())


def _is_free_there(spark: SparkSession, out: str) -> bool:
    """The same of an address, or of another default file system: by Hadoop, since Spark itself lists no hidden names."""
    jvm: Any = spark.sparkContext._jvm
    place = jvm.org.apache.hadoop.fs.Path(out)
    store = place.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    if not store.exists(place):
        return True
    named = {str(entry.getPath().getName()): str(entry.getPath()) for entry in store.listStatus(place)}
    others = [path for name, path in named.items() if not _MARK.fullmatch(name)]
    if store.getFileStatus(place).isFile() or not all(path.endswith(".parquet") for path in others):
        return False
    with ThreadPoolExecutor(sources.AT_ONCE) as pool:
        return all(pool.map(lambda path: _is_answer_there(spark, path), others))


def _is_answer(file: Path) -> bool:
    """Whether the file is of an answer."""
    import pyarrow.parquet

    with suppress(OSError, ValueError):  # no Parquet
        return file.suffix == ".parquet" and {*SPINE, *ENTITIES} <= set(pyarrow.parquet.read_schema(file).names)
    return False


def _is_answer_there(spark: SparkSession, path: str) -> bool:
    with suppress(PySparkException, Py4JJavaError):  # no Parquet
        return {*SPINE, *ENTITIES} <= set(spark.read.parquet(path).columns)
    return False


def read_spine(spark: SparkSession, spine: str, time_zone: str) -> DataFrame:
    """The rows of a file: user_id, product_id, moment TIMESTAMP and its other columns, numbered by `row`.

    `spine`: CSV (with a header) or Parquet. A moment written as text is a time of the shop unless it names its zone.
    Raises ConfigError where there is no such file or a column has a name that the totals need, MissingColumns without SPINE.
    """
    if not is_remote(spine) and not expand((spine,)):
        raise ConfigError(f"--spine {spine}: there is no such file")
    form = "csv" if spine.endswith((".csv", ".csv.gz")) else "parquet"
    raw = listed.read(spark, ListedConfig(path=(spine,), format=form), SPINE, spine)
    taken = sorted({"row", *ENTITIES, sequences.NAME} & set(raw.columns))
    if taken:
        raise ConfigError(f"{spine}: {', '.join(taken)} is what the totals will be called; give the column another name")
    at = F.col("moment")
    is_instant = dict(raw.dtypes)["moment"] == "timestamp"
    ids = {name: identifier(listed.column(raw, name)) for name in ENTITIES["pair"]}
    read = {**ids, "moment": at if is_instant else moment(at.cast("string"), "iso", time_zone)}
    return raw.withColumns({**read, "row": F.monotonically_increasing_id()})


def for_spine(made: totals.Shop, spine: DataFrame, last: int = 0) -> DataFrame:
    """Totals of the user, the product and the pair at each row's own moment, and the user's last events.

    Takes   user_id, product_id, moment TIMESTAMP, row BIGINT (unique), and whatever else.
    Returns the same rows, without row, plus the structs `user`, `product` and `pair` and, with `last`, the sequence
            `last_events` (see `sequences.last_events`).
    """
    *bounds, rows = spine.agg(F.min(F.to_date("moment")), F.max(F.to_date("moment")), F.count(F.lit(1))).collect()[0]
    tasks = max(made.tasks, totals.tasks(spine.sparkSession, rows * (1 + last // _LIKE_TOTALS)))
    days = made.days(*(day for edge in bounds if edge for day in (edge - timedelta(days=1), edge + timedelta(days=1))))
    added, answered = arithmetic.contributions(made.events, made.declared), spine
    with heavy.sampled(added) as some:
        for entity, keys in ENTITIES.items():
            asked = spine.select("row", "moment", *keys)
            found = arithmetic.at_moments(added, asked, entity, made.declared, days, tasks, some)
            values = [name for name in found.columns if name != "row"]
            answered = answered.join(found.select("row", F.struct(*values).alias(entity)), on="row", how="left")
    if last:
        met = sequences.last_events(made.events, spine.select("row", "moment", "user_id"), last, tasks)
        answered = answered.join(met, on="row", how="left")
    return answered.drop("row")
