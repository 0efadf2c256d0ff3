"""Score buckets, the small table that every calibration is fitted from: Spark sums it in one pass for all scorers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.judge.calibrator import axis
from propensity_spark.judge.isotonic import Vector
from propensity_spark.judge.task import Task
from propensity_spark.trainset.sampling import uniform

WIDTH = 0.01  # of a score bucket, on the axis of `axis`
_SALT = 2


@dataclass(frozen=True, slots=True)
class Buckets:
    """Score buckets of two halves of the users: weight, positives and the mean of the axis, as arrays."""

    half: npt.NDArray[np.int64]
    bucket: npt.NDArray[np.int64]
    weight: Vector
    positives: Vector
    x: Vector

    def part(self, half: int) -> tuple[Vector, Vector, Vector]:
        """One half's x, weight, positives."""
        mine = self.half == half
        return self.x[mine], self.weight[mine], self.positives[mine]

    def all(self) -> tuple[Vector, Vector, Vector]:
        """Both halves, a bucket of both as one: the same score must not be two points, a rounding error apart."""
        _, place = np.unique(self.bucket, return_inverse=True)
        weight = np.bincount(place, self.weight).astype(np.float64)
        positives = np.bincount(place, self.positives).astype(np.float64)
        return np.bincount(place, self.x * self.weight) / weight, weight, positives


def of_task(rows: pd.DataFrame, name: str) -> Buckets:
    """A scorer's buckets, of what `collect` found."""
    mine = rows[rows["name"] == name]
    columns = (mine[c].to_numpy(dtype=np.float64) for c in ("weight", "positives", "x"))
    half, bucket = (mine[c].to_numpy(dtype=np.int64) for c in ("half", "bucket"))
    return Buckets(half, bucket, *columns)


def collect(scored: DataFrame, tasks: Mapping[str, Task], price: Column | None = None) -> pd.DataFrame:
    """Per task (name), half of the users and bucket of the axis: weight, positives, their value by `price`, and the mean x."""
    worth = F.lit(0.0) if price is None else F.coalesce(price.cast("double"), F.lit(0.0))
    axes = [F.struct(F.lit(n).alias("name"), axis(F.col(t.score), t.kind).alias("x")) for n, t in tasks.items()]
    half = (uniform(_SALT, "user_id") < 0.5).cast("int").alias("half")
    long = scored.select("weight", "label", worth.alias("price"), half, F.explode(F.array(*axes)).alias("s"))
    x = F.col("s.x")
    grouped = long.groupBy(F.col("s.name").alias("name"), "half", F.floor(x / WIDTH).alias("bucket")).agg(
        F.sum("weight").alias("weight"),
        F.sum(F.col("weight") * F.col("label")).alias("positives"),
        F.sum(F.col("weight") * F.col("label") * F.col("price")).alias("value"),
        (F.sum(x * F.col("weight")) / F.sum("weight")).alias("x"),
    )
    return grouped.toPandas().sort_values(["name", "half", "bucket"])
