"""What the score job says of users whom it does not score: gold.cold_start and gold.cold_users."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.features import compute, segments
from propensity_spark.features.segments import UNKNOWN
from propensity_spark.models import coldstart
from propensity_spark.models.coldstart import CATEGORY, OVERALL, SEGMENT
from propensity_spark.pipeline import eligible
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.schemas import COLD_START, COLD_USERS, VERSIONS
from propensity_spark.settle import settle
from propensity_spark.trainset import newcomers
from propensity_spark.trainset.labels import bought
from propensity_spark.trainset.newcomers import NEVER, NEW, OLD
from propensity_spark.trainset.population import population
from propensity_spark.trainset.split import Procedure

EVERYONE = "all"  # the segment of all users where the shop names none
# Each segment is told of every product, once per history: thousands of towns, or a catalogue of half a million, would be billions
# of rows. So many segments, or fewer of many products, but never fewer than so many.
MOST_SEGMENTS, LEAST_SEGMENTS, MOST_PAIRS = 200, 10, 4_000_000
OTHERS = "other"  # the segment of users in none of these
KNOWN, FIRST_ORDER = "being known", "a first order"  # what a probability is given


@dataclass(frozen=True, slots=True)
class Shop:
    """The tables that are read, and since when users were known."""

    config: Config
    events: DataFrame
    users: DataFrame
    versions: DataFrame | None  # of users
    largest: tuple[str, ...] = ()  # segments, where there are more than `told_apart`; the others are told of together

    def moments(self, dates: Sequence[date]) -> DataFrame:
        """See compute.moments."""
        return compute.moments(self.events, dates, self.config.shop.time_zone)

    def unscored(self, dates: Sequence[date], scored: DataFrame | None = None) -> DataFrame:
        """Who is known at the dates and not scored then: as_of, user_id, history, segment; see newcomers.unscored.

        `scored`: as_of, user_id of those who were, where that is known; then users count as known whom a table lists now.
        """
        found = newcomers.unscored(
            self.users,
            self._population(dates) if scored is None else scored,
            self.moments(dates),
            self.config.cold_start.new_days,
            self.config.shop.time_zone,
            with_listed=scored is not None,
        )
        return self.with_segment(self._eligible(found))

    def _population(self, dates: Sequence[date]) -> DataFrame:
        settings = self.config.population
        human = self.events.where(~F.col("is_bot"))
        could = human if settings.event == "any" else human.where(F.col("event") == settings.event)
        known = min(settings.days, self.config.features.history_days)  # features know nothing of who came before
        return population(compute.as_seen(could, self.moments(dates), known), settings)

    def first_buyers(self, dates: Sequence[date]) -> DataFrame:
        """Whose first order falls within the horizon of the dates: as_of, user_id, history, segment."""
        labels, zone = self.config.labels, self.config.shop.time_zone
        found = newcomers.first_buyers(self.users, self.moments(dates), labels.horizon_days, zone)
        return self.with_segment(self._eligible(found))

    def _eligible(self, users: DataFrame) -> DataFrame:
        return eligible.users(users.sparkSession, self.config, users)

    def with_segment(self, users: DataFrame) -> DataFrame:
        """The users' segments as they were known at as_of."""
        attribute = self.config.features.segment_by
        if not attribute or self.versions is None:
            return users.withColumn("segment", F.lit(EVERYONE))
        told = segments.add_segment(users, segments.by_attribute(attribute), self.config.shop.time_zone, self.versions)
        if not self.largest:
            return told
        return told.withColumn("segment", F.when(F.col("segment").isin(UNKNOWN, *self.largest), F.col("segment")).otherwise(OTHERS))

    def on_sale(self, dates: Sequence[date]) -> DataFrame:
        """See eligible.on_sale."""
        return eligible.on_sale(self.events.sparkSession, self.config, dates)

    def purchases(self, dates: Sequence[date], scored: date) -> DataFrame:
        """See labels.bought; of what is offered."""
        labels, zone = self.config.labels, self.config.shop.time_zone
        found = bought(self.events, self.moments(dates), labels.horizon_days, zone, scored)
        return eligible.offered(found.sparkSession, self.config, found)


def shop(spark: SparkSession, config: Config) -> Shop:
    """The shop as its tables tell it."""
    events = tables.read(spark, "silver.events")
    told = VERSIONS["user_id"]
    versions = tables.read(spark, told) if tables.exists(spark, told) else None
    largest = _largest(config, versions, tables.read(spark, "silver.products"))
    return Shop(config, events, newcomers.first_known(events, versions, "user_id"), versions, largest)


def told_apart(products: int) -> int:
    """How many segments a shop of so many products has rates of their own for."""
    return max(LEAST_SEGMENTS, min(MOST_SEGMENTS, MOST_PAIRS // max(products, 1)))


def _largest(config: Config, versions: DataFrame | None, products: DataFrame) -> tuple[str, ...]:
    """The segments that have had the most users; none where all of them are few enough to be told of one by one."""
    if not config.features.segment_by or versions is None:
        return ()
    named = versions.select("user_id", F.col("attributes")[config.features.segment_by].alias("segment")).where(
        "segment IS NOT NULL"
    )
    counted = named.groupBy("segment").agg(F.count_distinct("user_id").alias("users")).orderBy(F.col("users").desc(), "segment")
    most = told_apart(products.count())
    found = [row["segment"] for row in counted.limit(most + 1).collect()]
    return tuple(found[:most]) if len(found) > most else ()


@dataclass(frozen=True, slots=True)
class Learnt:
    """The counts of a procedure's training dates, settled, and what the rates of users who never ordered are given."""

    counts: DataFrame
    given: str


def learnt(of: Shop, procedure: Procedure, shown: Column | None = None, stocked: Column | None = None) -> Learnt:
    """What users whom nothing scored bought at the dates that train, as known when the scored date began.

    `shown` and `stocked`: conditions on user_id and product_id; the others are hidden. Users who never ordered are
    counted while they are known; where none ever was, those count who order for the first time, and the rates are given that.
    """
    dates, goods = procedure.train, of.on_sale(procedure.train)
    crowd = settle(_only(of.unscored(dates), shown))
    given = FIRST_ORDER if crowd.where(F.col("history").isin(*NEVER)).isEmpty() else KNOWN
    users = crowd if given == KNOWN else crowd.unionByName(_only(of.first_buyers(dates), shown))
    found = newcomers.counts(users, _only(goods, stocked), of.purchases(dates, procedure.score))
    return Learnt(settle(found), given)


def _only(rows: DataFrame, condition: Column | None) -> DataFrame:
    return rows if condition is None else rows.where(condition)


def asked(of: Shop, as_of: date, users: DataFrame, counts: DataFrame) -> DataFrame:
    """Every product on sale at the date in every segment that is there or was counted: history, segment, product_id, is_new."""
    there = users.select("history", "segment").union(counts.select("history", "segment")).distinct()
    return of.on_sale([as_of]).select("product_id", "is_new").crossJoin(F.broadcast(there))


def rates(spark: SparkSession, of: Shop, as_of: date, users: DataFrame, known: Learnt) -> DataFrame:
    """The rates of all that is asked at a date, and what they are `given`; see coldstart.rates.

    First orders tell nothing of those who have ordered: where there is nothing else, these are left out.
    """
    categories = tables.read(spark, "silver.products").select("product_id", "category")
    rated = coldstart.rates(known.counts, asked(of, as_of, users, known.counts), categories, of.config.cold_start)
    of_first = F.col("counted").isin(*NEVER) & F.lit(known.given == FIRST_ORDER)
    told = rated.where(~of_first | F.col("history").isin(*NEVER))
    return told.withColumn("given", F.when(of_first, FIRST_ORDER).otherwise(KNOWN))


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> None:
    """Write the date's rows of gold.cold_users and gold.cold_start, after gold.propensity; a second run replaces the first."""
    procedure, where = moment.timeline.final, f"as_of = DATE'{moment.timeline.as_of}'"
    if not config.cold_start.products:
        for table in (COLD_USERS, COLD_START):  # what an earlier run of the date wrote is not of this one
            if tables.exists(spark, table.name):
                tables.replace(tables.read(spark, table.name).limit(0), table.name, where)
        return
    with progress.stage("cold start") as stage:
        of = shop(spark, config)
        users = of.unscored([procedure.score], tables.read(spark, "gold.propensity", where).select("as_of", "user_id").distinct())
        unscored = tables.replace(users.select(*COLD_USERS.columns), COLD_USERS.name, where)
        there = tables.read(spark, COLD_USERS.name, where)
        known = learnt(of, procedure)
        rated = coldstart.best(rates(spark, of, procedure.score, there, known), config.cold_start.products)
        stage.rows_out = tables.replace(described(rated, config, moment.timeline.as_of), COLD_START.name, where)
        stage.note = f"users who are not scored: {unscored:,}, given {known.given}"


def described(rated: DataFrame, config: Config, as_of: date) -> DataFrame:
    """Rows of gold.cold_start."""
    return rated.select(
        F.lit(as_of).alias("as_of"),
        "history",
        "segment",
        "product_id",
        F.lit(config.labels.horizon_days).alias("horizon_days"),
        "propensity",
        "rank",
        "level",
        "users",
        "purchases",
        "given",
        _reason(config).alias("reason"),
    )


def _reason(config: Config) -> Column:
    """Why the probability is what it is, in plain words."""
    segment_by = config.features.segment_by
    whom = F.when(F.col("given") == FIRST_ORDER, "users at their first order").when(
        F.col("counted") == OLD, "users who have not ordered lately"
    )
    users, purchases = F.format_number("users", 0), F.format_number("purchases", 0)
    counted = F.concat(purchases, F.lit(" of "), users, F.lit(" "), whom.otherwise("users without orders"), F.lit(" bought it"))
    mine = F.concat(F.lit(f"{segment_by or 'segment'} "), "segment", F.lit(": "), counted, F.lit("; shrunk towards all segments"))
    everywhere = F.lit(", in whatever segment" if segment_by else "")
    overall = F.concat(counted, everywhere, F.lit("; shrunk towards its category"))
    which = F.concat(
        F.when(F.col("counts_new"), "new products of ").otherwise(""), F.lit("category "), F.coalesce("category", F.lit(UNKNOWN))
    )
    chances = F.concat(F.lit(": bought "), purchases, F.lit(" times in "), users, F.lit(" chances"))
    category = F.concat(F.lit("little is known of it; "), which, chances, F.lit(", shrunk towards all products"))
    level = F.col("level")
    told = F.when(level == SEGMENT, mine).when(level == OVERALL, overall).when(level == CATEGORY, category)
    return F.concat(told, _pace(config.cold_start.new_days))


def _pace(new_days: int) -> Column:
    """What the reason adds where users who were known for long and new ones were both counted."""
    whom = F.when(F.col("history") == NEW, f"first known in the last {new_days} days").otherwise(
        f"known for more than {new_days} days"
    )
    said = F.concat(F.lit("; times "), F.format_number("pace", 2), F.lit(" for users "), whom)
    return F.when(F.col("pace") != 1, said).otherwise("")
