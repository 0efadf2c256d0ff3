"""What numeric columns hold, the same to the last bit however the rows are ordered and spread.

Sums of doubles depend on their order, so they are taken of whole numbers: values are brought to [-1, 1] by their least and
largest, and counted in steps as fine as a 64-bit sum allows (finer than a billionth of the range up to 10^9 rows).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from propensity_spark.features.encoding.values import known

WEIGHT_STEPS = 2**20  # of a weight's unit: whole weights are exact, and 8e12 rows can be counted
QUARTILES = (0.25, 0.5, 0.75)
EXACT_ROWS = 200_000  # up to here quartiles are exact; beyond, they are those of about as many rows, chosen by a hash
_KEYS = ("as_of", "user_id", "product_id")
_SUM_BITS = 61  # a sum stays below 2^62


@dataclass(frozen=True, slots=True)
class Summary:
    """A column's known values, by weight; all 0 where nothing is known. The quartiles are 0 where nobody asked for them."""

    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    lower: float = 0.0
    median: float = 0.0
    upper: float = 0.0


@dataclass(frozen=True, slots=True)
class _Range:
    """A column's least and largest value, and the weight of its known values."""

    low: float
    high: float
    weight: float

    @property
    def half(self) -> float:
        return self.high / 2 - self.low / 2

    @property
    def middle(self) -> float:
        return self.high / 2 + self.low / 2

    @property
    def steps(self) -> float:
        """Into how many steps 1 is cut, so that the sum of all weights fits 64 bits."""
        return 2.0 ** min(50, _SUM_BITS - math.ceil(math.log2(max(self.weight, 1.0))))


def fixed_weight() -> Column:
    """The row's weight as a whole number of 1 / WEIGHT_STEPS."""
    return F.floor(F.col("weight") * F.lit(float(WEIGHT_STEPS)) + F.lit(0.5))


def summarise(rows: DataFrame, columns: Sequence[str], quartiles: Collection[str]) -> dict[str, Summary]:
    """Two aggregations of all columns at once; the quartiles of those in `quartiles` only.

    Takes   as_of, user_id, product_id (where there is one), weight DOUBLE and the columns.
    Quartiles interpolate as numpy does; a weight counts as the nearest whole number of rows, at least one.
    """
    if not columns:
        return {}
    count, ranges = _ranges(rows, columns)
    known_ones = [column for column in columns if ranges[column] is not None]
    wanted = [part for c in known_ones for part in _sums(c, ranges[c]) + (_quartiles(c, rows, count) if c in quartiles else [])]
    found = rows.agg(*wanted).collect()[0].asDict() if wanted else {}
    return {column: _summary(column, ranges[column], found) for column in columns}


def _ranges(rows: DataFrame, columns: Sequence[str]) -> tuple[int, dict[str, Any]]:
    parts = [
        part
        for column in columns
        for part in (
            F.min(known(column)).alias(f"low_{column}"),
            F.max(known(column)).alias(f"high_{column}"),
            F.sum(F.when(known(column).isNotNull(), fixed_weight())).alias(f"weight_{column}"),
        )
    ]
    found = rows.agg(F.count(F.lit(1)).alias("rows"), *parts).collect()[0]
    return int(found["rows"]), {column: _range(found, column) for column in columns}


def _range(found: Row, column: str) -> _Range | None:
    """None where nothing is known, or only with weight 0."""
    if not found[f"weight_{column}"]:
        return None
    low, high = float(found[f"low_{column}"]), float(found[f"high_{column}"])
    return _Range(low, high, int(found[f"weight_{column}"]) / WEIGHT_STEPS)


def _sums(column: str, seen: _Range) -> list[Column]:
    if seen.half == 0.0:
        return []
    place = (known(column) - F.lit(seen.middle)) / F.lit(seen.half)
    weighted = F.col("weight") * F.lit(seen.steps)
    return [
        F.sum(F.floor(part * weighted + F.lit(0.5))).alias(f"{name}_{column}")
        for name, part in (("first", place), ("second", place * place))
    ]


def _quartiles(column: str, rows: DataFrame, count: int) -> list[Column]:
    value = known(column)
    if count > EXACT_ROWS:
        keys = [key for key in _KEYS if key in rows.columns]
        value = F.when(F.pmod(F.xxhash64(*keys), F.lit(count)) < EXACT_ROWS, value)
    times = F.greatest(F.floor(F.col("weight") + F.lit(0.5)), F.lit(1))
    return [F.percentile(value, list(QUARTILES), times).alias(f"quartiles_{column}")]


def _summary(column: str, seen: _Range | None, found: dict[str, Any]) -> Summary:
    if seen is None:
        return Summary()
    lower, median, upper = found.get(f"quartiles_{column}") or (0.0, 0.0, 0.0)
    if seen.half == 0.0:
        return Summary(seen.low, seen.high, seen.low, 0.0, lower, median, upper)
    mean, square = (found[f"{part}_{column}"] / seen.steps / seen.weight for part in ("first", "second"))
    deviation = math.sqrt(max(square - mean * mean, 0.0))
    return Summary(seen.low, seen.high, seen.middle + mean * seen.half, deviation * seen.half, lower, median, upper)
