"""Totals kept current: what a day changes is added to what stands, and parts and changes merge exactly when they are read.

A total at a later moment differs from one at an earlier moment by the rows that became known in between, those that were
corrected, and those that left its window: no other row is read. A row that arrives late counts from the day it was known.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.errors import ConfigError
from propensity_spark.features.declared import ENTITIES, Total
from propensity_spark.features.kernel import DAY, Calendar
from propensity_spark.features.merging import merged
from propensity_spark.features.parts import Step
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


def changes(events: DataFrame, declared: Sequence[Total], base: date, before: date, after: date, days: Calendar) -> DataFrame:
    """What `after` adds to the totals as of `before`, which stand on those as of `base`: rows of `declared.changes_schema`.

    Takes   silver.events, as `totals.contributions` does.
    Raises  ConfigError where a total cannot be advanced.
    """
    check(declared)
    step = Step(base, before, after, tuple(day for day in leaving(declared, base, before, after) if day >= days.first))
    touched = events.where(_touched(step, days))
    touched = touched.coalesce(slots(events.sparkSession))  # a day's rows are few, and so are their parts
    return between(contributions(touched, declared), declared, step, days)


def leaving(declared: Sequence[Total], base: date, before: date, after: date) -> list[date]:
    """Days before the base that a window leaves behind by `after`, and none did by `before`.

    Those that a narrower window has left behind have been told by then, and days behind the base are told when they begin.
    """
    widths = {width for total in declared for width in total.windows if width is not None}
    return sorted(_left_by(after, base, widths) - _left_by(before, base, widths))


def _left_by(at: date, base: date, widths: Iterable[int]) -> set[date]:
    """Days before the base that some window which ended there held, and does not hold any more."""
    return {base - timedelta(days=width - n) for width in widths for n in range(min((at - base).days, width))}


def _touched(step: Step, days: Calendar) -> Column:
    """The events that can make a difference, in terms that files and pages can be skipped by."""
    old, new = days.midnight(step.before), days.midnight(step.after)
    kept = _between("known_ts", old, new) | _between("cancelled_known_ts", old, new)
    for first, last in _runs(step.leaving):
        kept = kept | _between("event_ts", days.midnight(first), days.midnight(last + timedelta(days=1)))
    return kept


def _runs(dates: Sequence[date]) -> list[tuple[date, date]]:
    """Dates in order as runs of days: (first, last)."""
    opens = [day for day in dates if day - timedelta(days=1) not in dates]
    closes = [day for day in dates if day + timedelta(days=1) not in dates]
    return list(zip(opens, closes, strict=True))


def _between(column: str, start: int, end: int) -> Column:
    return (F.col(column) >= F.timestamp_micros(F.lit(start))) & (F.col(column) < F.timestamp_micros(F.lit(end)))


def in_windows(changes: DataFrame, declared: Sequence[Total], base: date, as_of: date) -> DataFrame:
    """Changes since the base, up to as_of, as rows of `declared.schema`: what each adds to the windows that end there.

    They are of pairs, and say of users and products what changes as well: `merge` adds them up by the keys that it is asked for.
    """
    added = [_in_window(total, days, base, as_of).alias(name) for total in declared for name, days in total.columns.items()]
    return changes.select("as_of", "entity", "user_id", "product_id", "seen", *added)


def _in_window(total: Total, days: int | None, base: date, as_of: date) -> Column:
    value = F.col(total.change)
    if days is None:
        return F.when(~F.col("leaving"), value)
    start, at_base = (F.lit(day - timedelta(days=days)) for day in (as_of, base))
    left_behind = F.col("leaving") & (F.col("day") >= at_base) & (F.col("day") < start)
    return F.when(~F.col("leaving") & (F.col("day") >= start), value).when(left_behind, -value)


def merge(rows: DataFrame, declared: Sequence[Total], entity: str, as_of: date, days: Calendar) -> DataFrame:
    """Parts and changes up to as_of as one row per key: the entity's keys, seen, and the totals.

    Takes   rows of `declared.schema`: all parts of the entity as of one date, and the changes since, from `in_windows`. A key
            of which nothing is known has no row: all that was known of it has been corrected away.
    """
    values = [_merged(total, name, as_of, days).alias(name) for total in declared for name in total.columns]
    grouped = rows.groupBy(*ENTITIES[entity]).agg(F.sum("seen").alias("seen"), *values)
    return grouped.where("seen > 0")


def _merged(total: Total, column: str, as_of: date, days: Calendar) -> Column:
    if total.op != "decayed":
        return merged(total, column)
    made = F.unix_micros(midnight(F.col("as_of"), days.time_zone))
    passed = (F.lit(days.midnight(as_of)) - made) / F.lit(float(DAY) * total.half_life_days)
    return F.coalesce(F.sum(F.col(column) * F.pow(F.lit(0.5), passed)), F.lit(0.0))
