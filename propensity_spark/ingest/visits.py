"""What a user's row means among the user's other rows: duplicates, visits, machines, orders that were taken back.

All windows are within a user, so one shuffle by user serves them all.
"""

from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.config import QualityConfig

_MINUTE = 60


def deduplicate(events: DataFrame) -> DataFrame:
    """One row per event_id: the first to arrive, of those unknown or alike the first file's.

    Takes   user_id, event_id, ingested_ts, source_file. Rows of one event_id have one user.
    """
    arrival = Window.partitionBy("user_id", "event_id").orderBy(F.col("ingested_ts").asc_nulls_last(), F.col("source_file").asc())
    return events.withColumn("_copy", F.row_number().over(arrival)).where("_copy = 1").drop("_copy")


def sessionise(events: DataFrame, gap: timedelta) -> DataFrame:
    """Number each user's visits; a silence longer than `gap` starts the next.

    Takes   one row per event: user_id, event_id (unique), event_ts (UTC).
    Returns the same rows plus session_no INT, 1, 2, ... within the user.
    Source  the 30-minute visit of web analytics.
    """
    by_user = Window.partitionBy("user_id").orderBy("event_ts", "event_id")
    seconds = F.col("event_ts").cast("double")
    silence = seconds - F.lag(seconds).over(by_user)
    is_first = (silence.isNull() | (silence > gap.total_seconds())).cast("int")
    return events.withColumn("_first", is_first).withColumn("session_no", F.sum("_first").over(by_user).cast("int")).drop("_first")


def flag_bots(events: DataFrame, config: QualityConfig) -> DataFrame:
    """Add is_bot: on this day the user looked at more than a person can.

    Purchases do not count: a wholesaler's order of 500 lines arrives in one second. The flag depends on its own day only,
    so that later days change nothing.
    """
    looked = F.when(~F.col("event").isin("purchase", "return"), 1)
    minute = F.floor(F.col("event_ts").cast("double") / _MINUTE)
    day = Window.partitionBy("user_id", "event_date")
    counted = events.withColumn("_minute", F.count(looked).over(Window.partitionBy("user_id", "event_date", minute)))
    too_many = F.count(looked).over(day) > config.bot_events_per_day
    too_fast = F.max("_minute").over(day) > config.bot_events_per_minute
    return counted.withColumn("is_bot", too_many | too_fast).drop("_minute")


def net_returns(events: DataFrame) -> DataFrame:
    """Add cancelled_ts and cancelled_known_ts to purchases that a later return of the same user, product and quantity took back.

    The latest open purchase is taken back first. The purchase stays: before cancelled_ts it was one, and whoever asks for
    an earlier moment must see it. A return that fits no purchase stays a return and cancels nothing.
    """
    is_return = (F.col("event") == "return").cast("int")
    order = ("event_ts", is_return, "event_id")
    same = ("user_id", "product_id", "quantity")
    line = Window.partitionBy(*same, "_line").orderBy(*order)
    marked = events.withColumn("_line", F.col("event").isin("purchase", "return"))
    step = F.when(~F.col("_line"), 0).when(F.col("event") == "return", -1).otherwise(1)
    balanced = marked.withColumn("_balance", F.sum(step).over(line))
    before = line.rowsBetween(Window.unboundedPreceding, -1)
    floored = balanced.withColumn("_floor", F.least(F.lit(0), F.coalesce(F.min("_balance").over(before), F.lit(0))))
    placed = floored.withColumn("_depth", _depth())
    pair = Window.partitionBy(*same, "_line", "_depth").orderBy(*order)
    taken_back = (F.col("event") == "purchase") & (F.lead("event").over(pair) == "return")
    known = F.greatest("known_ts", F.lead("known_ts").over(pair))
    return placed.withColumns(
        {
            "cancelled_ts": F.when(taken_back, F.lead("event_ts").over(pair)),
            "cancelled_known_ts": F.when(taken_back, known),
        }
    ).drop("_line", "_balance", "_floor", "_depth")


def _depth() -> Column:
    """How many purchases are open: a return closes the one of its own depth, as a bracket does."""
    is_unmatched = (F.col("event") == "return") & (F.col("_balance") < F.col("_floor"))
    open_now = F.col("_balance") - F.least(F.col("_floor"), F.col("_balance"))
    return F.when(is_unmatched, F.lit(-1)).when(F.col("event") == "return", open_now + 1).otherwise(open_now)
