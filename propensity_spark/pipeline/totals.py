"""Job: totals of users, products and pairs, built once and then advanced by what each day changes; and totals for any spine.

features.totals holds, per date, either a base (all keys) or the changes since the date before. Every date is one commit: a
killed run leaves dates as before or as after, and the next run goes on behind the last one that stands.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import ConfigError, InsufficientData
from propensity_spark.features import incremental, totals
from propensity_spark.features.definitions import shop_totals
from propensity_spark.features.kernel import Calendar
from propensity_spark.features.totals import ENTITIES, Total
from propensity_spark.progress import Progress
from propensity_spark.schemas import TOTALS

BASE, CHANGE = "base", "change"
ROWS_A_TASK = 1_500_000  # what a task holds in memory: some 300 MB


@dataclass(frozen=True, slots=True)
class Shop:
    """What totals are made from: the events, what is declared, the shop's days, and how many tasks they take."""

    events: DataFrame
    declared: tuple[Total, ...]
    first: date
    last: date
    time_zone: str
    tasks: int

    def days(self, *dates: date) -> Calendar:
        """The shop's days, over the events and the dates."""
        return totals.calendar(min(self.first, *dates), max(self.last, *dates), self.time_zone)

    @property
    def version(self) -> str:
        """Changes with any declaration."""
        return hashlib.sha256(repr((self.declared, self.time_zone)).encode()).hexdigest()[:12]


def shop(spark: SparkSession, config: Config) -> Shop:
    """The shop as silver.events has it.

    Raises InsufficientData where that is empty.
    """
    events = tables.read(spark, "silver.events")
    found = events.agg(F.min("event_date"), F.max("event_date"), F.collect_set("event"), F.count("*")).collect()[0]
    if found[0] is None:
        raise InsufficientData("silver.events is empty: nothing was accepted. See silver.events_rejected for the reasons.")
    slots = spark.sparkContext.defaultParallelism
    tasks = slots * max(1, -(-int(found[3]) // (ROWS_A_TASK * slots)))
    declared = shop_totals(config.features, frozenset(found[2]))
    return Shop(events, declared, found[0], found[1], config.shop.time_zone, tasks)


def run(spark: SparkSession, config: Config, as_of: date, since: date | None, progress: Progress) -> None:
    """Bring features.totals to as_of: from the date that stands, or with `since` day by day from there.

    Dates that stand are left alone. Other declarations than those that stand begin anew, and so does an earlier `since`.
    Raises ConfigError where `since` is after as_of, or as_of is before what stands or between two dates that stand.
    """
    if since and since > as_of:
        raise ConfigError(f"--since {since} is after --as-of {as_of}: there is no day between them")
    made = shop(spark, config)
    standing = _standing(spark, made.version)
    if not standing or (since and since < standing[0]):
        build(spark, made, since or as_of, progress)
        standing = [since or as_of]
    if as_of < standing[-1] and as_of not in standing:
        raise ConfigError(
            f"totals stand as of {standing[0]} to {standing[-1]}, and {as_of} is not among them; "
            f"--since {as_of} builds them anew from there"
        )
    at = standing[-1]
    for day in _steps(at, as_of, since):
        advance(spark, made, at, day, progress)
        at = day
    progress.say(f"  totals          as of {at}, {len(ENTITIES)} entities, {len(made.declared)} totals")


def _steps(at: date, as_of: date, since: date | None) -> Sequence[date]:
    if as_of <= at:
        return []
    return [at + timedelta(days=n + 1) for n in range((as_of - at).days)] if since else [as_of]


def build(spark: SparkSession, made: Shop, as_of: date, progress: Progress) -> None:
    """Write the base of a date, in place of all that stands."""
    with progress.stage("totals base") as stage:
        added = totals.contributions(made.events, made.declared)
        rows = totals.at_dates(added, made.declared, [as_of], made.days(as_of), made.tasks)
        stage.rows_out = tables.overwrite(_stamped(rows, BASE, made), TOTALS.name)
        stage.note = f"as of {as_of}"


def advance(spark: SparkSession, made: Shop, before: date, after: date, progress: Progress) -> None:
    """Write what `after` changes in the totals as of `before`."""
    with progress.stage("totals change") as stage:
        rows = incremental.changes(made.events, made.declared, before, after, made.days(before, after))
        where = f"step = '{CHANGE}' AND as_of = DATE'{after}'"
        stage.rows_out = tables.replace(_stamped(rows, CHANGE, made), TOTALS.name, where)
        stage.note = f"as of {after}"


def _stamped(rows: DataFrame, step: str, made: Shop) -> DataFrame:
    return rows.withColumns({"step": F.lit(step), "totals_version": F.lit(made.version)})


def _standing(spark: SparkSession, version: str) -> list[date]:
    """The dates that stand under these declarations, oldest first."""
    if not tables.exists(spark, TOTALS.name):
        return []
    found = tables.read(spark, TOTALS.name).select("as_of", "totals_version").distinct().collect()  # a row per date
    return sorted(row["as_of"] for row in found) if all(row["totals_version"] == version for row in found) else []


def read(spark: SparkSession, made: Shop, entity: str, as_of: date) -> DataFrame:
    """An entity's totals at a date that stands: its keys, seen, and the totals.

    Raises InsufficientData where the date does not stand.
    """
    standing = _standing(spark, made.version)
    if as_of not in standing:
        raise InsufficientData(f"features.totals does not stand as of {as_of}: run `propensity totals --as-of {as_of}`")
    rows = tables.read(spark, TOTALS.name, f"entity = '{entity}' AND as_of <= DATE'{as_of}'")
    return incremental.merge(rows, made.declared, entity, as_of, made.days(as_of))


def look_up(spark: SparkSession, config: Config, spine: str, out: str, progress: Progress) -> None:
    """Write the totals of a spine's users, products and pairs, each just before the row's own moment, as Parquet.

    `spine`: CSV (with a header) or Parquet with user_id, product_id and moment, a time of the shop unless it names its zone.
    Raises ConfigError where `out` or a column is missing or a moment cannot be read.
    """
    if not out:
        raise ConfigError("where do the totals of the spine go? Give --out FOLDER")
    asked = spark.read.csv(spine, header=True) if spine.endswith(".csv") else spark.read.parquet(spine)
    missing = {"user_id", "product_id", "moment"} - set(asked.columns)
    if missing:
        raise ConfigError(f"{spine} lacks {', '.join(sorted(missing))}: a spine has user_id, product_id and moment")
    local = F.to_utc_timestamp(F.col("moment").cast("timestamp"), config.shop.time_zone)
    zoned = F.col("moment").cast("string").rlike("(Z|[+-][0-9]{2}:?[0-9]{2})$")
    moment = (
        local if dict(asked.dtypes)["moment"] != "string" else F.when(zoned, F.col("moment").cast("timestamp")).otherwise(local)
    )
    asked = asked.withColumn("moment", moment)
    bad = asked.where("moment IS NULL OR user_id IS NULL OR product_id IS NULL").count()
    if bad:
        raise ConfigError(f"{spine}: {bad} row(s) without a user, a product or a moment such as 2024-03-01 12:30:00")
    with progress.stage("totals of a spine") as stage:
        for_spine(shop(spark, config), asked).write.mode("overwrite").parquet(out)
        stage.note = out


def for_spine(made: Shop, spine: DataFrame) -> DataFrame:
    """Totals of the user, the product and the pair at each row's own moment.

    Takes   user_id, product_id, moment TIMESTAMP, and whatever else.
    Returns the same rows plus the structs `user`, `product` and `pair`.
    """
    bounds = spine.agg(F.min(F.to_date("moment")), F.max(F.to_date("moment"))).collect()[0]
    days = made.days(*(day for edge in bounds if edge for day in (edge - timedelta(days=1), edge + timedelta(days=1))))
    numbered = spine.withColumn("row", F.monotonically_increasing_id()).persist()
    added, answered = totals.contributions(made.events, made.declared), numbered
    for entity, keys in ENTITIES.items():
        found = totals.at_moments(added, numbered.select("row", "moment", *keys), entity, made.declared, days, made.tasks)
        values = [name for name in found.columns if name != "row"]
        answered = answered.join(found.select("row", F.struct(*values).alias(entity)), on="row", how="left")
    return answered.drop("row")
