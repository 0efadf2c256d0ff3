"""Scaling: a number brought to a common size, with a number for missing ones and a column that says so.

A value that is null, NaN or infinite is missing. What is learnt is learnt from the known values, by weight:
standard  (x - mean) / standard deviation, over the whole (not n - 1).
min_max   (x - least) / (largest - least), clipped to [0, 1].
robust    (x - median) / (upper - lower quartile); by the standard deviation where the middle half is one value.
log       sign(x) * ln(1 + |x|); divides by nothing, so that a constant stays what it is.
impute    x.
Where all known values are one, standard, min_max and robust give 0. Results are finite: they end at +-1e38, a FLOAT's range.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.config import EncoderConfig
from propensity_spark.features.encoding.summary import Summary
from propensity_spark.features.encoding.values import Values, Vector, known, known_of
from propensity_spark.features.spec import Feature

_LARGEST = 1e38


@dataclass(frozen=True, slots=True)
class Scaled:
    """(x - centre) / (2 * half), within [low, high]; `half` 0 gives 0. Halves, since a range may exceed the largest double."""

    column: str
    how: str
    name: str
    fill: float
    centre: float
    half: float
    low: float
    high: float

    @property
    def features(self) -> tuple[Feature, ...]:
        """The new columns."""
        gone = f"{self.name}_missing"
        return (
            Feature(name=self.name, expression=self.name, description=f"{self.column}, scaled: {self.how}", unit="score"),
            Feature(name=gone, expression=gone, description=f"{self.column} is missing", unit="flag"),
        )

    def columns(self) -> Sequence[Column]:
        """The new columns' values, never null or NaN."""
        value = known(self.column)
        return [self._scale(F.coalesce(value, F.lit(self.fill))), F.when(value.isNull(), 1.0).otherwise(0.0)]

    def _scale(self, value: Column) -> Column:
        if self.how == "log":
            return F.signum(value) * F.log1p(F.abs(value))
        if self.half == 0.0:
            return F.lit(0.0)
        scaled = (value * F.lit(0.5) - F.lit(0.5 * self.centre)) / F.lit(self.half)
        return F.greatest(F.least(scaled, F.lit(self.high)), F.lit(self.low))

    def encode(self, values: Values) -> Sequence[Vector]:
        """What `columns` gives, from values."""
        numbers = known_of(values)
        is_missing = np.isnan(numbers)
        return [self._scale_values(np.where(is_missing, self.fill, numbers)), is_missing.astype(np.float64)]

    def _scale_values(self, numbers: Vector) -> Vector:
        if self.how == "log":
            return np.asarray(np.sign(numbers) * np.log1p(np.abs(numbers)), dtype=np.float64)
        if self.half == 0.0:
            return np.zeros_like(numbers)
        with np.errstate(over="ignore"):  # clipped at once
            scaled = (numbers * 0.5 - 0.5 * self.centre) / self.half
        return np.asarray(np.clip(scaled, self.low, self.high), dtype=np.float64)


def fit(declared: EncoderConfig, seen: Summary) -> Scaled:
    """The declared scaling by what was seen."""
    fill = {"mean": seen.mean, "median": seen.median, "constant": declared.constant}[declared.fill]
    centre, half = _affine(declared.how, seen)
    low, high = (0.0, 1.0) if declared.how == "min_max" else (-_LARGEST, _LARGEST)
    return Scaled(declared.column, declared.how, declared.title, fill, centre, half, low, high)


def _affine(how: str, seen: Summary) -> tuple[float, float]:
    """The centre and half of the scale."""
    if how == "standard":
        return seen.mean, seen.deviation / 2
    if how == "min_max":
        return seen.low, seen.high / 2 - seen.low / 2
    if how == "robust":
        middle = seen.upper / 2 - seen.lower / 2
        return seen.median, middle if middle > 0 else seen.deviation / 2
    return 0.0, 0.5


def needs_quartiles(declared: EncoderConfig) -> bool:
    """Whether the fit reads the median or the quartiles, which cost more than the rest."""
    return declared.how == "robust" or declared.fill == "median"
