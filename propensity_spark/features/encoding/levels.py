"""Encoders that learn a table of a column's values: index, one-hot, frequency and target.

Values beyond the most frequent ones, and values never seen, are one: `other`. A missing value is a value of its own.
index      0, 1, ... by falling frequency (ties by value); other is the number of levels, missing one more.
one_hot    1 in the level's column, in that of other values, or in that of missing ones; 0 elsewhere.
frequency  the level's share of the training rows; other is 0.
target     how often its rows were bought, shrunk; other is the rate of the values beyond the table, and the overall rate
           where there are none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import EncoderConfig
from propensity_spark.features.encoding import target
from propensity_spark.features.encoding.counting import Counted
from propensity_spark.features.encoding.summary import WEIGHT_STEPS
from propensity_spark.features.encoding.values import Values, Vector, level, level_of
from propensity_spark.features.spec import Feature

_KEY = "_level"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A target encoding of the rows that it was learnt from: per fold of users, from the labels of all other folds."""

    seed: int
    values: dict[str, tuple[float, ...]]
    other: tuple[float, ...]
    missing: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """A number per level, by falling frequency. `held_out` serves the training alone and is not stored."""

    column: str
    how: str
    name: str
    values: dict[str, float]
    other: float
    missing: float
    held_out: HeldOut | None = field(default=None, compare=False, repr=False)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The new columns."""
        if self.how != "one_hot":
            what, unit = _MEANING[self.how]
            return (Feature(name=self.name, expression=self.name, description=f"{what} {self.column}", unit=unit),)
        parts = [(str(place), repr(value)) for place, value in enumerate(self.values, start=1)]
        parts += [("other", "any other value"), ("missing", "missing")]
        return tuple(
            Feature(name=f"{self.name}_{end}", expression=f"{self.name}_{end}", description=f"{self.column} is {what}", unit="flag")
            for end, what in parts
        )

    @property
    def number(self) -> str:
        """The column in which `look_up` leaves the level's number."""
        return f"_number_{self.name}"

    def columns(self) -> Sequence[Column]:
        """The new columns' values, never null; on rows from `look_up`."""
        number = F.col(self.number)
        if self.how != "one_hot":
            return [number]
        return [F.when(number == F.lit(float(place)), 1.0).otherwise(0.0) for place in range(len(self.features))]

    def encode(self, values: Values) -> Sequence[Vector]:
        """What `columns` gives, from values."""
        levels = (level_of(value) for value in values)
        numbers = np.array(
            [self.missing if name is None else self.values.get(name, self.other) for name in levels], dtype=np.float64
        )
        if self.how != "one_hot":
            return [numbers]
        return [(numbers == place).astype(np.float64) for place in range(len(self.features))]


_MEANING = {
    "index": ("the place by frequency of", "code"),
    "frequency": ("the share of rows with the same", "share"),
    "target": ("how often rows were bought with the same", "rate"),
}


def fit(declared: EncoderConfig, counted: Counted, seed: int) -> Levels:
    """The declared encoder by what was counted."""
    held_out = None
    if declared.how == "target":
        full, others = target.encode(counted.weight, counted.bought, declared.shrinkage, float(WEIGHT_STEPS))
        *values, other, missing = full.tolist()
        *by_level, other_folds, missing_folds = (tuple(each) for each in others.tolist())
        held_out = HeldOut(seed, dict(zip(counted.levels, by_level, strict=True)), other_folds, missing_folds)
    elif declared.how == "frequency":
        weight = counted.weight.sum(axis=1)
        *values, _, missing = (weight / weight.sum()).tolist()
        other = 0.0
    else:
        *values, other, missing = map(float, range(len(counted.levels) + 2))
    table = dict(zip(counted.levels, values, strict=True))
    return Levels(declared.column, declared.how, declared.title, table, other, missing, held_out)


def look_up(frame: DataFrame, encoders: Iterable[Levels], out_of_fold: bool) -> DataFrame:
    """The frame plus each encoder's number of the row's level, in its column `number`.

    One broadcast join per encoded column, which keeps the rows' order; a literal map would be searched from its start for
    every row. `out_of_fold` takes the target encodings that the row's own user had no part in.
    """
    by_column = sorted(encoders, key=lambda encoder: encoder.column)
    for column, mine in groupby(by_column, key=lambda encoder: encoder.column):
        views = [_view(encoder, out_of_fold) for encoder in mine]
        table = F.broadcast(_table(frame.sparkSession, views))
        joined = frame.join(table, level(column) == F.col(_KEY), "left")
        frame = joined.select(*frame.columns, *(_number(view, place, column) for place, view in enumerate(views)))
    return frame


@dataclass(frozen=True, slots=True)
class _View:
    """An encoder's numbers as they are looked up: several per level, of which `pick` (from 1) says the row's."""

    name: str
    values: dict[str, tuple[float, ...]]
    other: tuple[float, ...]
    missing: tuple[float, ...]
    pick: Column


def _view(encoder: Levels, out_of_fold: bool) -> _View:
    held = encoder.held_out if out_of_fold else None
    if held is not None:
        pick = target.fold(held.seed, len(held.other)) + 1
        return _View(encoder.number, held.values, held.other, held.missing, pick)
    single: dict[str, tuple[float, ...]] = {name: (value,) for name, value in encoder.values.items()}
    return _View(encoder.number, single, (encoder.other,), (encoder.missing,), F.lit(1))


def _table(spark: SparkSession, views: Sequence[_View]) -> DataFrame:
    """A row per level of any of the encoders: its numbers, null where an encoder does not have the level."""
    names = dict.fromkeys(name for view in views for name in view.values)
    rows = [(name, *(view.values.get(name) for view in views)) for name in names]
    numbers = ", ".join(f"{_KEY}_{place} ARRAY<DOUBLE>" for place in range(len(views)))
    return spark.createDataFrame(rows, f"{_KEY} STRING, {numbers}")


def _number(view: _View, place: int, column: str) -> Column:
    def picked(numbers: Column) -> Column:
        return F.element_at(numbers, view.pick)

    other, missing = (F.array(*(F.lit(number) for number in numbers)) for numbers in (view.other, view.missing))
    found = F.coalesce(picked(F.col(f"{_KEY}_{place}")), picked(other))
    return F.when(F.col(column).isNull(), picked(missing)).otherwise(found).alias(view.name)
