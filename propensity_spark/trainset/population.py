"""Who is scored at a moment."""

from pyspark.sql import DataFrame

from propensity_spark.config import PopulationConfig


def population(seen: DataFrame, config: PopulationConfig) -> DataFrame:
    """Users with such an event within `config.days` before as_of: one row per as_of, user_id.

    Takes   events as seen at their as_of (features.compute.as_seen), with age in days.
    """
    recent = seen.where(f"age <= {config.days}")
    if config.event != "any":
        recent = recent.where(recent["event"] == config.event)
    return recent.select("as_of", "user_id").distinct()
