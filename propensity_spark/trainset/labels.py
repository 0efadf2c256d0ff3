"""What happened after as_of: a purchase within `[as_of, as_of + horizon)` that was not taken back within it."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.ingest.events import midnight

KEYS = ("as_of", "user_id", "product_id")


def bought(events: DataFrame, as_of: DataFrame, horizon_days: int, time_zone: str, scored: date) -> DataFrame:
    """The pairs bought within the horizon: distinct as_of, user_id, product_id.

    Takes   silver.events; `as_of` dates with as_of DATE. Only matured dates make sense: see split.
            For dates before `scored` only what was known when `scored` began: a model could learn from nothing else. The
            labels of `scored` itself judge, so everything counts that is known now.
    """
    until = F.date_add("as_of", horizon_days)
    inside = (F.col("event_date") >= F.col("as_of")) & (F.col("event_date") < until)
    taken_back = (F.col("cancelled_ts") < midnight(until, time_zone)) & _known("cancelled_known_ts", scored, time_zone)
    purchases = events.where((F.col("event") == "purchase") & ~F.col("is_bot"))
    counted = _known("known_ts", scored, time_zone) & ~F.coalesce(taken_back, F.lit(False))
    return purchases.join(F.broadcast(as_of), on=inside, how="inner").where(counted).select(*KEYS).distinct()


def _known(when: str, scored: date, time_zone: str) -> Column:
    judges = F.col("as_of") >= F.lit(scored)
    return judges | (F.col(when) < midnight(F.lit(scored), time_zone))
