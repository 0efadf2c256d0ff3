"""Target encoding: how often a level's rows were bought, shrunk towards the overall rate; out of fold for training rows."""

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.features.encoding.values import Vector

Counts = npt.NDArray[np.int64]  # exact: what is left after a fold is taken away holds no trace of it
_LEAST, _MOST = 1.0, 1e9  # rows that the overall rate may count for, where it is estimated


def fold(seed: int, folds: int) -> Column:
    """The fold of the row's user, INT: all rows of a user, of all dates, are in one."""
    return F.pmod(F.xxhash64(F.lit(seed), F.col("user_id")), F.lit(folds)).cast("int")


def encode(weight: Counts, bought: Counts, shrinkage: float, unit: float) -> tuple[Vector, npt.NDArray[np.float64]]:
    """The encodings of levels.

    Takes   weight and bought, [level, fold] in 1 / `unit` rows: of all rows and of those with label 1.
    Returns [level] from all folds, and [level, fold] from all other folds. Everything that a fold's encoding is made of,
            the overall rate and an estimated shrinkage too, comes from the other folds.
    """
    all_weight, all_bought = weight.sum(axis=1), bought.sum(axis=1)
    full = shrink(all_weight / unit, all_bought / unit, shrinkage)
    others = [
        shrink((all_weight - weight[:, one]) / unit, (all_bought - bought[:, one]) / unit, shrinkage)
        for one in range(weight.shape[1])
    ]
    return full, np.column_stack(others)


def shrink(rows: Vector, bought: Vector, shrinkage: float) -> Vector:
    """(bought + m * prior) / (rows + m) per level: `prior` is the overall rate, m the `shrinkage` (0: estimated).

    A level without rows gets the prior; where there are no rows at all, everything is 0.
    """
    total = float(rows.sum())
    prior = float(bought.sum()) / total if total else 0.0
    m = shrinkage or estimate(rows, bought)
    return np.asarray((bought + m * prior) / (rows + m), dtype=np.float64)


def estimate(rows: Vector, bought: Vector) -> float:
    """How many rows the overall rate counts for: the variance within levels over the variance between them.

    Both by moments (analysis of variance of unequal groups); where levels differ no more than by chance, as much as allowed.
    """
    seen = rows > 0
    n, rate = rows[seen], bought[seen] / rows[seen]
    total, groups = float(n.sum()), len(n)
    if groups < 2 or total <= groups:
        return _MOST
    prior = float((n * rate).sum()) / total
    between = float((n * (rate - prior) ** 2).sum())
    within = max(total * prior * (1 - prior) - between, 0.0) / (total - groups)
    spread = (between - (groups - 1) * within) / (total - float((n * n).sum()) / total)
    return float(np.clip(within / spread, _LEAST, _MOST)) if spread > 0 else _MOST
