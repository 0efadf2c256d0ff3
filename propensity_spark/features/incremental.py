"""Totals kept current: what a day changes is added to what stands, and parts and changes merge exactly when they are read.

A total at a later moment differs from one at an earlier moment by the rows that became known in between, those that were
corrected, and those that left its window: no other row is read. A row that arrives late counts from the day it was known.
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.errors import ConfigError
from propensity_spark.features.declared import ENTITIES, Total
from propensity_spark.features.kernel import DAY, Calendar
from propensity_spark.features.totals import between, contributions, slots
from propensity_spark.ingest.events import midnight


def check(declared: Sequence[Total]) -> None:
    """Refuse totals that do not follow from their value of the day before.

    Raises ConfigError naming them.
    """
    fixed = [total.name for total in declared if not total.advances]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} cannot be advanced by a day: only sums, decayed sums, and first and last of the whole past can. "
            "Ask for the others at the moments themselves."
        )


def changes(events: DataFrame, declared: Sequence[Total], before: date, after: date, days: Calendar) -> DataFrame:
    """What the totals as of `after` add to those as of `before`: rows of `declared.schema`, parts per key that changed.

    Takes   silver.events, as `totals.contributions` does. Sums are differences; first and last are of the rows newly known.
    Raises  ConfigError where a total cannot be advanced.
    """
    check(declared)
    touched = events.where(_touched(declared, before, after, days))
    touched = touched.coalesce(slots(events.sparkSession))  # a day's rows are few, and so are their parts
    return between(contributions(touched, declared), declared, before, after, days)


def _touched(declared: Sequence[Total], before: date, after: date, days: Calendar) -> Column:
    """The events that can make a difference, in terms that files can be skipped by."""
    old, new = days.midnight(before), days.midnight(after)
    kept = _between("known_ts", old, new) | _between("cancelled_known_ts", old, new)
    for width in sorted({w for total in declared for w in total.windows if w is not None}):
        kept = kept | _between("event_ts", *(days.window_start(day, width) for day in (before, after)))
    return kept


def _between(column: str, start: int, end: int) -> Column:
    return (F.col(column) >= F.timestamp_micros(F.lit(start))) & (F.col(column) < F.timestamp_micros(F.lit(end)))


def merge(rows: DataFrame, declared: Sequence[Total], entity: str, as_of: date, days: Calendar) -> DataFrame:
    """Parts and changes up to as_of as one row per key: the entity's keys, seen, and the totals.

    Takes   rows of `declared.schema` of one entity: all parts as of one date, and the changes since. A key of which nothing is
            known has no row: all that was known of it has been corrected away.
    """
    merged = [_merged(total, name, as_of, days).alias(name) for total in declared for name in total.columns]
    grouped = rows.groupBy(*ENTITIES[entity]).agg(F.sum("seen").alias("seen"), *merged)
    return grouped.where("seen > 0")


def _merged(total: Total, column: str, as_of: date, days: Calendar) -> Column:
    if total.op in ("first", "min"):
        return F.min(column)
    if total.op in ("last", "max"):
        return F.max(column)
    if total.op == "decayed":
        made = F.unix_micros(midnight(F.col("as_of"), days.time_zone))
        passed = (F.lit(days.midnight(as_of)) - made) / F.lit(float(DAY) * total.half_life_days)
        return F.coalesce(F.sum(F.col(column) * F.pow(F.lit(0.5), passed)), F.lit(0.0))
    return F.coalesce(F.sum(column), F.lit(0))
