"""What happened after as_of: a purchase within `[as_of, as_of + horizon)` that was not taken back within it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

KEYS = ("as_of", "user_id", "product_id")


def bought(events: DataFrame, as_of: DataFrame, horizon_days: int, time_zone: str) -> DataFrame:
    """The pairs bought within the horizon: distinct as_of, user_id, product_id.

    Takes   silver.events; `as_of` dates with as_of DATE. Only matured dates make sense: see split.
    """
    until = F.date_add("as_of", horizon_days)
    until_ts = F.to_utc_timestamp(until.cast("timestamp"), time_zone)
    inside = (F.col("event_date") >= F.col("as_of")) & (F.col("event_date") < until)
    kept = F.col("cancelled_ts").isNull() | (F.col("cancelled_ts") >= until_ts)
    purchases = events.where((F.col("event") == "purchase") & ~F.col("is_bot"))
    return purchases.join(F.broadcast(as_of), on=inside, how="inner").where(kept).select(*KEYS).distinct()
