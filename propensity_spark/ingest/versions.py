"""Users and products as dated versions: what held from when to when, and since when the shop knew it.

Where the shop's table says from when its rows hold, it is taken at its word; elsewhere each ingest compares it with the last
versions and dates what has changed.
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from propensity_spark.config import Config, EntityConfig
from propensity_spark.ingest import catalog, listed, quality
from propensity_spark.ingest.events import moment

EVER = "1900-01-01 00:00:00"  # stands for "always": nothing says since when
_SAYS = {"user_id": ("attributes",), "product_id": ("name", "category", "price", "attributes")}
_TIMES = ("valid_from", "known_ts")


def ever() -> Column:
    """The moment that stands for always."""
    return F.lit(EVER).cast("timestamp")


def parse(spark: SparkSession, entity: EntityConfig, key: str, config: Config) -> DataFrame:
    """The rows of a dated table, each with the reasons against it.

    Returns key, what it says (users: attributes; products: name, category, price as well), valid_from and known_ts TIMESTAMP
            (UTC), the text _time as received, and reasons ARRAY<STRING>: empty for a good row. Where nothing says since when
            a row was known, it was `time.delay_minutes` after it began to hold.
    Raises  MissingColumns where the mapping does not fit.
    """
    raw = listed.read(spark, entity, catalog.mapped(entity), f"the table of {key.removesuffix('_id')}s")
    time, known, price = (listed.column(raw, c) for c in (entity.valid_from, entity.known, entity.price))
    zone = entity.time.time_zone or config.shop.time_zone
    read = raw.select(
        *catalog.described(raw, entity, key),
        time.alias("_time"),
        known.alias("_known"),
        price.alias("_price"),
        moment(time, entity.time.format, zone).alias("valid_from"),
        moment(known, entity.time.format, zone).alias("_known_ts"),
    )
    late = F.col("valid_from") + F.expr(f"INTERVAL {entity.time.delay_minutes} MINUTES")
    return read.select(
        key, *_SAYS[key], "valid_from", F.coalesce("_known_ts", late).alias("known_ts"), "_time", _against(key).alias("reasons")
    )


def _against(key: str) -> Column:
    col = F.col
    return quality.reasons(
        quality.missing(col(key), key.removesuffix("_id")),
        quality.missing(F.when(F.trim("_time") != "", col("_time")), "valid_from"),
        quality.unparsable(col("_time"), col("valid_from"), "valid_from"),
        quality.unparsable(col("_known"), col("_known_ts"), "known"),
        quality.unparsable(col("_price"), col("price"), "price"),
        quality.not_finite(col("price"), "price"),
    )


def dated(good: DataFrame, key: str) -> DataFrame:
    """Versions from the good rows of a dated table, in whatever order they came.

    Returns key, what it says, valid_from, valid_to, known_ts: unique per key and both times. Rows of the
            same key and times are one: of those that differ, the one that comes last in the order of what it says. The
            same valid_from with another known_ts is a correction: both stay.
    """
    return closed(listed.one_of_each(good.select(key, *_SAYS[key], *_TIMES), [key, *_TIMES]), key)


def observed(spark: SparkSession, entity: EntityConfig, key: str, before: DataFrame | None, now: datetime) -> DataFrame:
    """Versions of a table without dates: those of `before`, and one more of each key that now says something else.

    Takes   `before`: the versions so far, or None; `now`: the moment of this ingest.
    Returns rows as `dated` does. A key's first version holds since ever, a later one since `now`; a key that is no longer
            in the table keeps its last one. The same table again adds nothing.
    """
    present = catalog.listing(spark, entity, key)
    first = present.select(key, *_SAYS[key], ever().alias("valid_from"), ever().alias("known_ts"))
    if before is None:
        return closed(first, key)
    kept = before.select(key, *_SAYS[key], *_TIMES)
    return closed(kept.unionByName(_changed(present, kept, key, now)), key)


def _changed(present: DataFrame, kept: DataFrame, key: str, now: datetime) -> DataFrame:
    """A new version of each key that is new, or says something else than its last version."""
    last = latest(kept, key)
    said = last.select(key, listed.written_out(last, _SAYS[key]).alias("_before"), F.col("valid_from").alias("_last"))
    joined = present.withColumn("_now", listed.written_out(present, _SAYS[key])).join(said, on=key, how="left")
    # a clock that was set back must not put the news before what it replaces
    since = F.greatest(F.lit(now), F.col("_last") + F.expr("INTERVAL 1 MICROSECOND"))
    start = F.when(F.col("_before").isNull(), ever()).otherwise(since)
    news = joined.where(F.col("_before").isNull() | (F.col("_now") != F.col("_before")))
    return news.select(key, *_SAYS[key], start.alias("valid_from"), start.alias("known_ts"))


def closed(versions: DataFrame, key: str) -> DataFrame:
    """The versions with valid_to: where the key's next one begins; null for the last."""
    newest_first = Window.partitionBy(key).orderBy(F.unix_micros("valid_from").desc())
    later = newest_first.rangeBetween(Window.unboundedPreceding, -1)  # those that begin at least a microsecond after it
    return versions.select(key, *_SAYS[key], "valid_from", F.min("valid_from").over(later).alias("valid_to"), "known_ts")


def latest(versions: DataFrame, key: str, until: datetime | None = None) -> DataFrame:
    """The newest version of each key: key, what it says, valid_from; those after `until` left out."""
    begun = versions if until is None else versions.where(F.col("valid_from") <= F.lit(until))
    newest = F.max_by(F.struct(*_SAYS[key], "valid_from"), F.struct(*_TIMES)).alias("_row")
    return begun.groupBy(key).agg(newest).select(key, "_row.*")
