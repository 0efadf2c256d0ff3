"""Totals kept current: what a day changes is added to what stands, and parts and changes merge exactly when they are read.

A total at a later moment differs from one at an earlier moment by the rows that became known in between, those that were
corrected, and those that left its window: no other row is read. A row that arrives late counts from the day it was known.
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.errors import ConfigError
from propensity_spark.features.kernel import DAY, Calendar
from propensity_spark.features.totals import ENTITIES, Total, contributions
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
    """What the totals as of `after` add to those as of `before`: rows of `totals.schema`, one per entity and key that changed.

    Takes   silver.events, as `totals.contributions` does. Sums are differences; first and last are of the rows newly known.
    Raises  ConfigError where a total cannot be advanced.
    """
    check(declared)
    old, new = days.midnight(before), days.midnight(after)
    touched = events.where(_touched(declared, before, after, days))
    seen = f"(CAST(known < {new}L AND until >= {new}L AS INT) - CAST(known < {old}L AND until >= {old}L AS INT))"
    made = [f"CAST(sum({seen}) AS BIGINT) AS seen"]
    for total in declared:
        made += [f"{_change(total, w, before, after, days)} AS {name}" for name, w in total.columns.items()]
    spark = events.sparkSession
    return spark.sql(
        f"""SELECT DATE'{after}' AS as_of,
          CASE grouping_id(user_id, product_id) WHEN 0 THEN 'pair' WHEN 1 THEN 'user' ELSE 'product' END AS entity,
          user_id, product_id, {", ".join(made)}
        FROM {{added}} GROUP BY GROUPING SETS ((user_id, product_id), (user_id), (product_id))""",
        added=contributions(touched, declared),
    )


def _touched(declared: Sequence[Total], before: date, after: date, days: Calendar) -> Column:
    """The events that can make a difference, in terms that files can be skipped by."""
    old, new = days.midnight(before), days.midnight(after)
    kept = _between("known_ts", old, new) | _between("cancelled_known_ts", old, new)
    for width in sorted({w for total in declared for w in total.windows if w is not None}):
        kept = kept | _between("event_ts", *(days.window_start(day, width) for day in (before, after)))
    return kept


def _between(column: str, start: int, end: int) -> Column:
    return (F.col(column) >= F.timestamp_micros(F.lit(start))) & (F.col(column) < F.timestamp_micros(F.lit(end)))


def _change(total: Total, window: int | None, before: date, after: date, days: Calendar) -> str:
    old, new = days.midnight(before), days.midnight(after)
    if total.op in ("first", "last"):
        newly = f"IF({total.name} != 0 AND known >= {old}L AND known < {new}L, ts, NULL)"
        return f"timestamp_micros({'min' if total.op == 'first' else 'max'}({newly}))"
    counts = [f"(known < {at}L AND until >= {at}L{_inside(window, day, days)})" for at, day in ((old, before), (new, after))]
    weight = f"(CAST({counts[1]} AS INT) - CAST({counts[0]} AS INT))"
    if total.op == "decayed":
        fading = f"pow(0.5D, ({new}L - ts) / {float(DAY) * total.half_life_days}D)"
        return f"coalesce(sum({total.name} * {weight} * {fading}), 0.0D) / {total.scale}"
    return f"CAST(sum({total.name} * {weight}) AS BIGINT)"


def _inside(window: int | None, day: date, days: Calendar) -> str:
    return "" if window is None else f" AND ts >= {days.window_start(day, window)}L"


def merge(rows: DataFrame, declared: Sequence[Total], entity: str, as_of: date, days: Calendar) -> DataFrame:
    """Parts and changes up to as_of as one row per key: the entity's keys, seen, and the totals.

    Takes   rows of `totals.schema` of one entity: all parts as of one date, and the changes since. A key of which nothing is
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
        return F.sum(F.col(column) * F.pow(F.lit(0.5), passed))
    return F.sum(column)
