"""Keys that hold more than their share of the events (a bot, a wholesale user): their rows are divided among tasks.

A task has all rows of its keys, so one heavy key would hold up the stage that it is in. What its parts find merges exactly.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StructType

from propensity_spark.features.declared import ENTITIES

_FRACTION = 1 / 1000  # of the events are looked at
_LEAST = 1000  # with fewer looked at there is nothing to hold up
_SHARE = 0.5  # of a task's mean rows: a key with more is heavy, and no part of it is to have more
_SEED = 7


@dataclass(frozen=True, slots=True)
class Heavy:
    """The heavy keys, and into how many parts each is to be divided."""

    keys: tuple[str, ...]
    parts: Mapping[tuple[str, ...], int]

    def light(self, rows: DataFrame) -> DataFrame:
        """The rows of all other keys."""
        return rows.join(F.broadcast(self._listed(rows)), on=list(self.keys), how="left_anti")

    def divided(self, rows: DataFrame) -> DataFrame:
        """The rows of the heavy keys, each in one part, which is a key of its own."""
        return self._parted(self._of(rows), F.pmod(F.monotonically_increasing_id(), F.col("_parts")))

    def repeated(self, rows: DataFrame) -> DataFrame:
        """The rows of the heavy keys, once in every part."""
        return self._parted(self._of(rows), F.explode(F.sequence(F.lit(0), F.col("_parts") - 1)))

    def _parted(self, rows: DataFrame, part: Column) -> DataFrame:
        numbered, key = rows.withColumn("_part", part), self.keys[0]
        return numbered.withColumn(key, F.concat_ws("#", key, "_part")).drop("_part", "_parts")

    def _of(self, rows: DataFrame) -> DataFrame:
        for place, key in enumerate(self.keys):  # in terms that pages can be skipped by
            rows = rows.where(F.col(key).isin(sorted({named[place] for named in self.parts})))
        return rows.join(F.broadcast(self._listed(rows)), on=list(self.keys), how="inner")

    def _listed(self, rows: DataFrame) -> DataFrame:
        schema = StructType([rows.schema[key] for key in self.keys]).add("_parts", IntegerType())
        return rows.sparkSession.createDataFrame([(*named, count) for named, count in self.parts.items()], schema)


@contextmanager
def sampled(rows: DataFrame) -> Iterator[DataFrame]:
    """The users and products of some of the rows, kept as long as heavy keys are looked for."""
    some = rows.select(*ENTITIES["pair"]).sample(_FRACTION, seed=_SEED).persist()
    try:
        yield some
    finally:
        some.unpersist()


def find(some: DataFrame, keys: Sequence[str], tasks: int, divisible: bool) -> Heavy | None:
    """The keys that a sample of the rows (see `sampled`) shows to be heavy among so many tasks; None where there are none.

    `divisible`: whether what parts find can be merged. Where it cannot, heavy keys are only kept out of other keys' way.
    """
    total = some.count()
    if total < _LEAST:
        return None
    most = _SHARE * total / tasks
    found = some.groupBy(*keys).count().where(F.col("count") > most).collect()
    parts = {tuple(row[key] for key in keys): math.ceil(row["count"] / most) if divisible else 1 for row in found}
    return Heavy(tuple(keys), parts) if parts else None
