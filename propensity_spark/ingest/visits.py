"""What a user's row means among the user's other rows: duplicates, visits, machines, orders that were taken back.

All windows are within a user and in one order, so that one shuffle by user and one sort serve them all.
"""

from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.config import QualityConfig

_MINUTE, _QUARTER = 60, 15 * 60
RULE = "looks by the day, views and favourites by the minute"  # of flag_bots: events flagged by another one are written anew
# Days go with time: nowhere did a local day come again after the next had begun but in St. John's, a minute a year until 2011.
_IN_TIME = ("event_date", "_minute", "event_ts", "event_id")
_ARRIVAL = ("ingested_ts", "source_file", "known_ts")  # two sources may read one file, each with a delay of its own
_TAKEN_BACK = ("cancelled_ts", "cancelled_known_ts")


def timed(events: DataFrame) -> DataFrame:
    """Add _minute: what `deduplicate`, `sessionise` and `flag_bots` sort by, beside the day and the moment."""
    return events.withColumn("_minute", F.floor(F.col("event_ts").cast("double") / _MINUTE))


def deduplicate(events: DataFrame) -> DataFrame:
    """One row per event_id: the first to arrive, of those unknown or alike the first file's; with what was taken back of it.

    Of those alike in this too it is the first known, then the first by source and category, one with a category before one
    without: copies differ in nothing else that silver keeps, so that every run keeps the same.
    Takes   timed rows of one or more per event: user_id, event_id, event, event_ts, event_date, product_id, quantity, order_id,
            known_ts, ingested_ts, source, source_file, category. Rows of one event_id say the same of user, product, event, time,
            quantity and order.
    Returns one row per event_id, by user, with cancelled_ts and cancelled_known_ts from `net_returns`.
    """
    # what is said of a purchase travels with it: a row more in the same sort instead of a join
    said = net_returns(events).withColumn("_said", F.lit(True))
    united = events.withColumn("_said", F.lit(False)).unionByName(said, allowMissingColumns=True).repartition("user_id")
    first = (F.col("ingested_ts").asc_nulls_last(), *_ARRIVAL[1:], "source", F.col("category").asc_nulls_last())
    arrival = Window.partitionBy("user_id", *_IN_TIME).orderBy("_said", *first)
    every = arrival.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    told = united.withColumns({"_copy": F.row_number().over(arrival)} | {c: F.max(c).over(every) for c in _TAKEN_BACK})
    return told.where("_copy = 1").drop("_copy", "_said")


def sessionise(events: DataFrame, gap: timedelta) -> DataFrame:
    """Number each user's visits; a silence longer than `gap` starts the next.

    Takes   timed rows, one per event: user_id, event_id (unique), event_ts (UTC), event_date.
    Returns the same rows plus session_no INT, 1, 2, ... within the user.
    Source  the 30-minute visit of web analytics.
    """
    by_user = Window.partitionBy("user_id").orderBy(*_IN_TIME)
    seconds = F.col("event_ts").cast("double")
    silence = seconds - F.lag(seconds).over(by_user)
    is_first = (silence.isNull() | (silence > gap.total_seconds())).cast("int")
    return events.withColumn("_first", is_first).withColumn("session_no", F.sum("_first").over(by_user).cast("int")).drop("_first")


def flag_bots(events: DataFrame, config: QualityConfig) -> DataFrame:
    """Add is_bot to timed rows: on this day the user looked at more than a person can.

    Purchases do not count: a wholesaler's order of 500 lines arrives in one second. Nor are carts counted by the minute, which
    he fills as fast, nor minutes with nothing but views on the very quarter of an hour: a log of days, or of hours, has no other
    times. The flag depends on its own day only, so that later days change nothing.
    """
    looked = F.when(~F.col("event").isin("purchase", "return"), 1)
    leafed = F.col("event").isin("view", "favourite")
    is_fine = F.col("event_ts").cast("double") % _QUARTER != 0  # zones differ by quarters of an hour at least
    day, minute = (Window.partitionBy("user_id", "event_date", *more) for more in ((), ("_minute",)))
    told = F.count(F.when(leafed & is_fine, 1)).over(minute) > 0
    counted = events.withColumn("_looks", F.when(told, F.count(F.when(leafed, 1)).over(minute)).otherwise(0))
    too_many = F.count(looked).over(day) > config.bot_events_per_day
    too_fast = F.max("_looks").over(day) > config.bot_events_per_minute
    return counted.withColumn("is_bot", too_many | too_fast).drop("_looks")


def net_returns(events: DataFrame) -> DataFrame:
    """The purchases that a later return of the same user, product and quantity took back.

    A return that names the order in which the user bought the product takes back what that order holds, and nothing else does
    so. Of all others the latest open purchase is taken back first. The purchase stays an event: before cancelled_ts it was one,
    and whoever asks for an earlier moment must see it. A return that fits no purchase stays a return and cancels nothing.
    Takes   rows as `deduplicate` does.
    Returns user_id, event_id, event_ts, event_date, _minute, cancelled_ts, cancelled_known_ts: one row per such purchase.
    """
    same = ("user_id", "product_id", "quantity", "_order")
    lines = _lines(events).withColumn("_step", F.when(F.col("event") == "return", -1).otherwise(1))
    order = ("event_ts", F.col("_step").desc(), "event_id")  # in the same second the purchase comes first
    line = Window.partitionBy(*same).orderBy(*order)
    balanced = lines.withColumn("_balance", F.sum("_step").over(line))
    before = line.rowsBetween(Window.unboundedPreceding, -1)
    floored = balanced.withColumn("_floor", F.least(F.lit(0), F.coalesce(F.min("_balance").over(before), F.lit(0))))
    placed = floored.withColumn("_depth", _depth())
    pair = Window.partitionBy(*same, "_depth").orderBy(*order)
    taken_back = (F.col("event") == "purchase") & (F.lead("event").over(pair) == "return")
    known = F.greatest("known_ts", F.lead("known_ts").over(pair))
    found = placed.select(
        "user_id",
        *_IN_TIME,
        F.when(taken_back, F.lead("event_ts").over(pair)).alias("cancelled_ts"),
        F.when(taken_back, known).alias("cancelled_known_ts"),
    )
    return found.where("cancelled_ts IS NOT NULL")


def _lines(events: DataFrame) -> DataFrame:
    """Purchases and returns, each once and as it arrived first: only of what a user returned, which is seldom.

    `_order` is the order that a return and a purchase of the product both name, else null.
    """
    of = ("user_id", "product_id")
    said = (*of, "quantity", "order_id", "event", *_IN_TIME)
    lines = events.select(*said, *_ARRIVAL).where("event IN ('purchase', 'return')")
    returned = lines.where("event = 'return'").select(*of).distinct()
    arrival = F.struct(F.col("ingested_ts").isNull(), *_ARRIVAL)  # the unknown last
    once = lines.join(returned, list(of), "left_semi").groupBy(*said).agg(F.min_by("known_ts", arrival).alias("known_ts"))
    is_both = F.min("event").over(Window.partitionBy(*of, "order_id")) != F.max("event").over(Window.partitionBy(*of, "order_id"))
    return once.withColumn("_order", F.when(is_both, F.col("order_id")))


def _depth() -> Column:
    """How many purchases are open: a return closes the one of its own depth, as a bracket does."""
    is_unmatched = (F.col("event") == "return") & (F.col("_balance") < F.col("_floor"))
    open_now = F.col("_balance") - F.least(F.col("_floor"), F.col("_balance"))
    return F.when(is_unmatched, F.lit(-1)).when(F.col("event") == "return", open_now + 1).otherwise(open_now)
