"""What share of the negatives teaches at least, told before any pair is made: by users, and by what may be named of each."""

from math import ceil

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import CandidateConfig, Config
from propensity_spark.features import compute
from propensity_spark.pipeline import eligible
from propensity_spark.trainset import sampling
from propensity_spark.trainset.population import population
from propensity_spark.trainset.split import Timeline


def least_rate(spark: SparkSession, config: Config, timeline: Timeline) -> float:
    """The share of the negatives that teaches at least, whatever train.negative_rate says; 0 where that is enough in any case.

    It goes by the newest date that trains, and by the procedure that has fewer of them; equal events give an equal share.
    """
    rate, dates = config.train.negative_rate, min(len(timeline.final.train), len(timeline.rehearsal.train))
    if not config.train.min_rows or rate >= 1.0:
        return 0.0
    seen = _seen(spark, config, timeline)
    users = eligible.users(spark, config, population(seen, config.population)).count()
    if users * dates * rate >= config.train.min_rows:  # whatever the products
        return 0.0
    least = sampling.least_rate(config.train, users * dates * _a_user(seen, config.candidates))
    return least if least > rate else 0.0


def _a_user(seen: DataFrame, config: CandidateConfig) -> int:
    """About how many candidates a user has at most: those that she touched, of whom few have as many as may be, and all others."""
    touched = seen.select("user_id", "product_id").distinct()
    counts = (F.count(F.lit(1)), F.count_distinct("user_id"), F.count_distinct("product_id"))
    pairs, users, products = touched.agg(*counts).collect()[0]
    own = min(config.touched, ceil(pairs / max(users, 1)))
    return int(min(products, config.most_per_user - config.touched + own))


def _seen(spark: SparkSession, config: Config, timeline: Timeline) -> DataFrame:
    """What people did that was known when the newest date that trains began."""
    events = tables.read(spark, "silver.events").where("NOT is_bot")
    dates = compute.moments(events, [timeline.final.calibrate], config.shop.time_zone)
    return compute.as_seen(events, dates, config.features.history_days)
