"""Users and products as dated versions: what held from when to when, and since when the shop knew it.

Where the shop's table says from when its rows hold, it is taken at its word; elsewhere each ingest compares it with the last
versions and dates what has changed.
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from propensity_spark.config import Config, EntityConfig
from propensity_spark.ingest import catalog, listed, quality
from propensity_spark.ingest.events import moment, whole

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


def observed(
    spark: SparkSession, entity: EntityConfig, key: str, before: DataFrame | None, now: datetime, seen: DataFrame | None = None
) -> DataFrame:
    """Versions of a table without dates: those of `before`, and one more of each key that now says something else.

    Takes   `before`: the versions so far, or None; `now`: the moment of this ingest; `seen`: the keys that the logs hold.
    Returns rows as `dated` does. A key's first version holds since ever, a later one since `now`; a key that is no longer
            in the table keeps its last one, unless nobody `seen` has it either: who is taken out of both is forgotten. The same
            table again adds nothing.
    """
    present = catalog.listing(spark, entity, key)
    first = present.select(key, *_SAYS[key], ever().alias("valid_from"), ever().alias("known_ts"))
    if before is None:
        return closed(first, key)
    keys = present.select(key) if seen is None else present.select(key).union(seen.select(key).distinct())
    there = before if seen is None else before.join(keys, on=key, how="left_semi")
    # as `described` has them: what an older version kept with blanks, or as 3.0, has not changed
    there = there.withColumn("attributes", F.transform_values("attributes", lambda _, said: whole(F.trim(said))))
    kept = _widened(there.select(key, *_SAYS[key], *_TIMES), present, entity, key)
    return closed(kept.unionByName(_changed(present, kept, entity, key, now)), key)


def _widened(kept: DataFrame, present: DataFrame, entity: EntityConfig, key: str) -> DataFrame:
    """The versions so far with every attribute that the configuration names: one may be newer than they are.

    A version that lacks it takes the key's last value before it, else the first one after it, else the present one: the first
    that is known holds since ever. A key that is in none of them stays without it.
    """
    if not entity.attributes:
        return kept
    order = Window.partitionBy(key).orderBy(*_TIMES)
    until, since = order.rowsBetween(Window.unboundedPreceding, 0), order.rowsBetween(0, Window.unboundedFollowing)
    joined = kept.join(present.select(key, F.col("attributes").alias("_now")), on=key, how="left")
    values = []  # of each attribute as a struct, for a value that is there may be null
    for name in entity.attributes:
        mine, now = (
            F.when(F.map_contains_key(c, name), F.struct(F.lit(name).alias("key"), F.col(c)[name].alias("value")))
            for c in ("attributes", "_now")
        )
        values.append(F.coalesce(F.last(mine, True).over(until), F.first(mine, True).over(since), now))
    every = F.map_from_entries(F.array_compact(F.array(*values)))
    own = F.coalesce("attributes", F.create_map().cast("map<string,string>"))
    others = F.map_filter(own, lambda name, _: ~name.isin(list(entity.attributes)))  # of an earlier configuration
    rest = [c for c in kept.columns if c != "attributes"]
    return joined.select(*rest, F.map_concat(others, every).alias("attributes"))


def _changed(present: DataFrame, kept: DataFrame, entity: EntityConfig, key: str, now: datetime) -> DataFrame:
    """A new version of each key that is new, or says something else than its last version, as far as it is configured now."""
    last = latest(kept, key)
    said = last.select(key, _compared(last, entity, key).alias("_before"), F.col("valid_from").alias("_last"))
    joined = present.withColumn("_now", _compared(present, entity, key)).join(said, on=key, how="left")
    # a clock that was set back must not put the news before what it replaces
    since = F.greatest(F.lit(now), F.col("_last") + F.expr("INTERVAL 1 MICROSECOND"))
    start = F.when(F.col("_before").isNull(), ever()).otherwise(since)
    news = joined.where(F.col("_before").isNull() | (F.col("_now") != F.col("_before")))
    return news.select(key, *_SAYS[key], start.alias("valid_from"), start.alias("known_ts"))


def _compared(versions: DataFrame, entity: EntityConfig, key: str) -> Column:
    """What a version says of all that the configuration names, as one text: a part that was dropped from it is no change."""
    named = [F.col(part) for part in _SAYS[key] if part != "attributes" and getattr(entity, part)]
    return F.to_json(F.struct(*named, *(F.col("attributes")[a].alias(f"_{n}") for n, a in enumerate(entity.attributes))))


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
