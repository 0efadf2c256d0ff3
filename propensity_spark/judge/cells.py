"""Scored rows summed into cells of a view, a scorer and a narrow range of probabilities: one pass for all figures.

A figure of merit is then arithmetic on a small table (see metrics, intervals), for all rows, a slice or a block of users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Vector = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Cuts = Mapping[str, Sequence[float]]  # scorer -> thresholds
SUMS = ("rows", "positive_rows", "weight", "positives", "predicted", "squares", "loss", "value")
FINE, COARSE = 0.002, 0.02  # of a cell, in logits
_EDGE = 1e-12


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at the rows: the value of `key` (text) parts them, for these scorers (name -> column)."""

    name: str
    key: Column
    scorers: Mapping[str, str]
    width: float = FINE


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one scorer, best probabilities first: SUMS as columns, and how many of its cuts each cell lies above."""

    sums: Vector
    above: Ints

    def of(self, name: str) -> Vector:
        """One column."""
        column: Vector = self.sums[:, SUMS.index(name)]
        return column


def collect(scored: DataFrame, views: Sequence[View], cuts: Cuts | None = None, price: Column | None = None) -> pd.DataFrame:
    """The cells of all views: view, key, scorer, bucket, above and SUMS. One pass and one shuffle of the sums.

    Takes   label INT (0, 1), weight (pairs that a row stands for) and the scorers' probabilities; `cuts`: thresholds at which
            cells end, so that counts above them are exact; `price`: what a bought pair is worth (null: unknown, counts 0).
    """
    worth = F.lit(0.0) if price is None else F.coalesce(price.cast("double"), F.lit(0.0))
    p = F.least(F.greatest(F.col("s.p"), F.lit(_EDGE)), F.lit(1 - _EDGE))
    long = scored.select("label", "weight", worth.alias("price"), F.explode(_entries(views, cuts or {})).alias("s")).select(
        "label", "weight", "price", "s.view", "s.key", "s.scorer", "s.width", "s.above", p.alias("p"), F.log(p / (1 - p)).alias("x")
    )
    found = long.groupBy("view", "key", "scorer", F.floor(F.col("x") / F.col("width")).alias("bucket"), "above").agg(*_sums())
    return found.toPandas()


def _entries(views: Sequence[View], cuts: Cuts) -> Column:
    """A row's entries: one per view and scorer."""
    made = []
    for view in views:
        for scorer, column in view.scorers.items():
            above = sum((F.col(column) >= F.lit(cut)).cast("int") for cut in cuts.get(scorer, ())) + F.lit(0)
            named = {"view": F.lit(view.name), "key": view.key.cast("string"), "scorer": F.lit(scorer), "width": F.lit(view.width)}
            parts = {**named, "above": above, "p": F.col(column).cast("double")}
            made.append(F.struct(*(part.alias(name) for name, part in parts.items())))
    return F.array(*made)


def _sums() -> list[Column]:
    w, y, q = F.col("weight"), F.col("label"), F.col("p")
    return [
        F.count(F.lit(1)).alias("rows"),
        F.sum("label").alias("positive_rows"),
        F.sum("weight").alias("weight"),
        F.sum(w * y).alias("positives"),
        F.sum(w * q).alias("predicted"),
        F.sum(w * (q - y) * (q - y)).alias("squares"),
        F.sum(-w * F.log(F.when(y == 1, q).otherwise(1 - q))).alias("loss"),
        F.sum(w * y * F.col("price")).alias("value"),
    ]


def of_scorer(rows: pd.DataFrame, scorer: str) -> Cells:
    """The scorer's cells in these rows of `collect`, keys together, best first."""
    mine = rows[rows["scorer"] == scorer].groupby(["bucket", "above"])[list(SUMS)].sum().sort_index(ascending=False)
    above = mine.index.get_level_values("above").to_numpy(dtype=np.int64)
    return Cells(np.asarray(mine.to_numpy(dtype=np.float64)), above)
