"""The part of ingest for what comes beside the logs: users and products as dated versions, series and campaigns' members."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config, EntityConfig, SeriesConfig
from propensity_spark.ingest import series, versions
from propensity_spark.progress import Progress
from propensity_spark.schemas import EVENTS_REJECTED, SERIES, SERIES_MEMBERS, VERSIONS


@dataclass(frozen=True, slots=True)
class Listing:
    """A parsed table of the shop's.

    `name` in silver.intake (a source's name holds no blanks), `where` in the configuration, the silver `table` that it is
    for, and its `rows` with the columns source and reasons.
    """

    name: str
    where: str
    table: str
    rows: DataFrame

    def persist(self) -> "Listing":
        """Itself, its rows kept once they are read."""
        return Listing(self.name, self.where, self.table, self.rows.persist())

    @property
    def good(self) -> DataFrame:
        """The rows that nothing speaks against."""
        return self.rows.where(F.size("reasons") == 0)

    @property
    def rejected(self) -> DataFrame:
        """The others, as silver.events_rejected has them."""
        bad = self.rows.where(F.size("reasons") > 0).withColumn("event_time", F.col("_time"))
        bad = bad.withColumn("price", F.col("price").cast("string")) if "price" in bad.columns else bad
        absent = [f for f in EVENTS_REJECTED.struct() if f.name not in bad.columns and f.name != "rejected_at"]
        empty = {f.name: F.lit(None).cast(f.dataType) for f in absent}
        return bad.withColumns({**empty, "rejected_at": F.current_timestamp()}).select(*EVENTS_REJECTED.columns)


def parse(spark: SparkSession, config: Config) -> list[Listing]:
    """The tables whose rows are judged: users and products with dates, every series, and its members."""
    found = []
    for key, entity in _entities(config).items():
        if entity.valid_from:
            what = _plural(key)
            rows = versions.parse(spark, entity, key, config)
            found.append(_listing(f"versions of {what}", what, VERSIONS[key], rows))
    for one in config.series:
        found.append(_listing(_named(one), f"series.{one.name}", SERIES.name, series.parse(spark, one, config)))
        if one.campaign:
            rows = series.parse_members(spark, one, config)
            found.append(_listing(_named_members(one), f"series.{one.name}.members", SERIES_MEMBERS.name, rows))
    return found


def _listing(name: str, where: str, table: str, rows: DataFrame) -> Listing:
    return Listing(name, where, table, rows.withColumn("source", F.lit(name)))


def _named(one: SeriesConfig) -> str:
    return f"series {one.name}"


def _named_members(one: SeriesConfig) -> str:
    return f"members of {one.name}"


def _entities(config: Config) -> dict[str, EntityConfig]:
    """The tables of users and products that the shop brought, by key."""
    both = {"user_id": config.users, "product_id": config.products}
    return {key: entity for key, entity in both.items() if entity.given}


def _plural(key: str) -> str:
    return key.removesuffix("_id") + "s"


def written(config: Config) -> tuple[str, ...]:
    """The silver tables that this shop has because of what it declares."""
    by_campaign = any(one.campaign for one in config.series)
    series_too = ((SERIES.name,) if config.series else ()) + ((SERIES_MEMBERS.name,) if by_campaign else ())
    return (*(VERSIONS[key] for key in _entities(config)), *series_too)


def write(
    spark: SparkSession,
    config: Config,
    listed: Sequence[Listing],
    good: DataFrame,
    now: datetime,
    note: str,
    progress: Progress,
) -> dict[str, int]:
    """Write the tables of `written`; returns how many rows of each listing stayed. `good`: the accepted rows of the logs."""
    kept: dict[str, int] = {}
    for key, entity in _entities(config).items():
        with progress.stage(f"versions of {_plural(key)}") as stage:
            stage.rows_out = tables.overwrite(_versions(spark, entity, key, listed, good, now), VERSIONS[key], note)
            kept[f"versions of {_plural(key)}"] = stage.rows_out
            stage.note = "" if entity.valid_from else "as each ingest found them: the table has no valid_from"
    _forget(spark, config, note, progress)
    for table, once, name in ((SERIES.name, series.once, _named), (SERIES_MEMBERS.name, series.members_once, _named_members)):
        mine = [listing.good.drop("source", "reasons", "_time") for listing in listed if listing.table == table]
        if mine:
            with progress.stage(table.removeprefix("silver.").replace("_", " ")) as stage:
                stage.rows_out = tables.overwrite(once(reduce(DataFrame.unionByName, mine)), table, note)
            counts = {k[0]: n for k, n in tables.count_by(tables.read(spark, table), "series").items()}
            kept |= {name(one): counts.get(one.name, 0) for one in config.series}
    return kept


def _forget(spark: SparkSession, config: Config, note: str, progress: Progress) -> None:
    """Empty what was written of tables that the shop has taken away since: who stands in them is to be forgotten."""
    for table in (*VERSIONS.values(), SERIES.name, SERIES_MEMBERS.name):
        if table in written(config) or not tables.exists(spark, table) or tables.read(spark, table).isEmpty():
            continue
        progress.say(f"  {table} emptied: the configuration names no such table any more")
        tables.overwrite(tables.read(spark, table).limit(0), table, note)


def _versions(
    spark: SparkSession, entity: EntityConfig, key: str, listed: Sequence[Listing], good: DataFrame, now: datetime
) -> DataFrame:
    table = VERSIONS[key]
    if entity.valid_from:
        return versions.dated(next(listing.good for listing in listed if listing.table == table), key)
    before = tables.read(spark, table) if tables.exists(spark, table) else None
    return versions.observed(spark, entity, key, before, now, good)


def latest(spark: SparkSession, config: Config, key: str, now: datetime) -> DataFrame | None:
    """The rows of a dated table that hold `now`; None where the shop's table has no dates, and is read as it is."""
    entity = _entities(config).get(key)
    if entity is None or not entity.valid_from:
        return None
    return versions.latest(tables.read(spark, VERSIONS[key]), key, now)
