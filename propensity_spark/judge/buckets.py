"""Score buckets, the small table that every calibration is fitted from: Spark sums it in one pass for all scorers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.judge import intervals, segments
from propensity_spark.judge.calibrator import axis
from propensity_spark.judge.isotonic import Vector
from propensity_spark.judge.segments import Keys
from propensity_spark.judge.slices import ACTIVITY, EXISTS
from propensity_spark.judge.task import Task
from propensity_spark.settle import settle
from propensity_spark.trainset.sampling import uniform

WIDTH = 0.01  # of a score bucket, on the axis of `axis`
COARSE = 0.05  # where there may be many segments
COARSEST = 0.1  # of blocks of users
EVERYONE = -1  # in place of a block's number: all users
_FEW = ("", EXISTS, ACTIVITY)
MOST_KEYS = 100  # of a kind of segments, those with the most purchases: a shop may have thousands of categories
_SALT = 2
_CELL = ("name", "by", "key", "block", "half", "bucket")
_SUMS = ("weight", "positives", "value", "priced", "moment")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Score buckets of two halves of the users and of segments: weight, positives and the mean of the axis, as arrays."""

    half: npt.NDArray[np.int64]
    bucket: npt.NDArray[np.int64]
    keys: Keys
    weight: Vector
    positives: Vector
    x: Vector

    def part(self, half: int) -> "Buckets":
        """One half's."""
        mine = self.half == half
        return Buckets(*(getattr(self, name)[mine] for name in self.__slots__))

    @property
    def points(self) -> tuple[Vector, Vector, Vector]:
        """x, weight and positives, a bucket of both halves as one: a score must not be two points, a rounding error apart."""
        _, place = np.unique(self.bucket, return_inverse=True)
        weight = np.bincount(place, self.weight).astype(np.float64)
        positives = np.bincount(place, self.positives).astype(np.float64)
        return np.bincount(place, self.x * self.weight) / weight, weight, positives


def width(by: str) -> float:
    """Of the buckets by such segments."""
    return WIDTH if by in _FEW else COARSE


def of_task(rows: pd.DataFrame, name: str, by: str = "") -> Buckets:
    """A scorer's buckets, of what `collect` found: of all rows, or of each of the segments `by`."""
    mine = of_everyone(rows, name, by)
    columns = (mine[c].to_numpy(dtype=np.float64) for c in ("weight", "positives", "x"))
    half, bucket = (mine[c].to_numpy(dtype=np.int64) for c in ("half", "bucket"))
    return Buckets(half, bucket, mine["key"].to_numpy(dtype=np.str_), *columns)


def of_everyone(rows: pd.DataFrame, name: str, by: str) -> pd.DataFrame:
    """The rows that `of_task` reads."""
    return rows[(rows["name"] == name) & (rows["by"] == by) & (rows["block"] == EVERYONE)]


def in_blocks(rows: pd.DataFrame, name: str, by: str) -> pd.DataFrame:
    """A scorer's coarse buckets by block of users: of each of the segments `by`, or of all rows (by empty; key empty)."""
    mine = rows[(rows["name"] == name) & (rows["block"] != EVERYONE)]
    told: pd.DataFrame = mine[mine["by"] == (by or mine["by"].min())]
    return told if by else told.assign(key=segments.NONE)


def collect(scored: DataFrame, tasks: Mapping[str, Task], price: Column | None = None) -> pd.DataFrame:
    """The buckets of every task (name), of all rows and of the segments that it tries (by, key), where the rows tell them.

    Returns per half of the users and bucket of the axis: weight, positives, their value by `price`, how many of them have a price
            (priced), and the mean x; of tasks with blocks once more by block, in wider buckets of both halves. Where there are
            more than MOST_KEYS segments of a kind the others are in none.
    """
    worth = F.lit(0.0) if price is None else F.coalesce(price.cast("double"), F.lit(0.0))
    keys = _keys(scored, tasks)
    entries = F.explode(F.array(*_entries(tasks, keys))).alias("s")
    long = scored.select("weight", "label", worth.alias("price"), entries).select("weight", "label", "price", "s.*")
    w, y = F.col("weight"), F.col("label")
    cells = long.groupBy(*_CELL[:-1], F.floor(F.col("x") / F.col("width")).alias("bucket")).agg(
        F.sum("weight").alias("weight"),
        F.sum(w * y).alias("positives"),
        F.sum(w * y * F.col("price")).alias("value"),
        F.sum(F.when(F.col("price") > 0, w * y).otherwise(0.0)).alias("priced"),
        F.sum(F.col("x") * w).alias("moment"),
    )
    grouped = _bounded(cells) if any(by not in _FEW for by in keys) else cells
    mean = (F.col("moment") / F.col("weight")).alias("x")
    return grouped.select(*_CELL, *_SUMS[:-1], mean).toPandas().sort_values(list(_CELL))


def _keys(scored: DataFrame, tasks: Mapping[str, Task]) -> dict[str, Column]:
    """The segment of a row by each kind that the rows tell, as text."""
    tried = [by for by in dict.fromkeys(by for task in tasks.values() for by in task.by) if segments.READS[by] in scored.columns]
    return {by: segments.key(by) for by in tried}


def _bounded(cells: DataFrame) -> DataFrame:
    """The cells, where segments of a kind beyond those with the most purchases are none. The rows themselves are read once."""
    settled = settle(cells)
    many = settled.where(~F.col("by").isin(list(_FEW)) & (F.col("block") == EVERYONE))
    bought = many.groupBy("by", "key").agg(F.sum("positives").alias("bought"))
    place = F.row_number().over(Window.partitionBy("by").orderBy(F.col("bought").desc(), "key"))
    others = bought.select("by", "key", (place > MOST_KEYS).alias("beyond")).where("beyond")
    told = settled.join(others, on=["by", "key"], how="left")
    key = F.when(F.col("beyond"), segments.NONE).otherwise(F.col("key"))
    return told.withColumn("key", key).groupBy(*_CELL).agg(*(F.sum(name).alias(name) for name in _SUMS))


def _entries(tasks: Mapping[str, Task], keys: Mapping[str, Column]) -> Iterator[Column]:
    """A row's entries: one per scorer and way to part the rows."""
    half, everyone = (uniform(_SALT, "user_id") < 0.5).cast("int"), F.lit(segments.NONE)
    for name, task in tasks.items():
        x, tried = axis(F.col(task.score), task.kind), [by for by in task.by if by in keys]
        for by in ("", *tried):
            yield _entry(name, by, keys.get(by, everyone), F.lit(EVERYONE), half, width(by), x)
        for by in (tried or [""]) if task.blocks else []:
            yield _entry(name, by, keys.get(by, everyone), intervals.block(task.blocks), F.lit(0), COARSEST, x)


def _entry(name: str, by: str, key: Column, block: Column, half: Column, wide: float, x: Column) -> Column:
    parts = {"name": F.lit(name), "by": F.lit(by), "key": key, "block": block, "half": half, "width": F.lit(wide), "x": x}
    return F.struct(*(part.alias(n) for n, part in parts.items()))
