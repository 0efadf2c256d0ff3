"""Segments of rows with a level of their own: what is bought there may lie above or below what the score alone says.

After the overall calibration each segment gets a logit offset that brings its predicted purchases to the observed ones, shrunk
towards none: predicted x (observed + shrinkage) / (predicted + shrinkage), the gamma-Poisson mean. A segment never seen has none.
"""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.judge import slices
from propensity_spark.judge.isotonic import EDGE, Vector

Keys = npt.NDArray[np.str_]
Offsets = tuple[tuple[str, float], ...]
READS = {slices.EXISTS: "pair_orders", slices.ACTIVITY: "user_orders", slices.SEGMENT: "segment", slices.CATEGORY: "category"}
NONE = ""  # the key of a row that is in no segment
MOST = 20  # segments, those with the most purchases to be expected
_FARTHEST, _HALVINGS = 15.0, 60  # of an offset, and of the search for it


def key(by: str) -> Column:
    """The segment of a row as text."""
    made = {slices.EXISTS: slices.exists(), slices.ACTIVITY: slices.activity()}
    return F.coalesce(made[by] if by in made else F.col(by), F.lit(NONE))


def fit(
    p: Vector, weight: Vector, positives: Vector, keys: Keys, shrinkage: float, asked: Collection[str] | None = None
) -> Offsets:
    """The offset of each of the MOST segments, by key; or of those that are `asked` for."""
    names, place = np.unique(keys, return_inverse=True)
    predicted, observed = (np.bincount(place, sums).astype(np.float64) for sums in (weight * p, positives))
    target = predicted * (observed + shrinkage) / (predicted + shrinkage)
    found = _solved(np.log(p / (1 - p)), weight, place, target)
    if asked is None:
        most = [at for at in np.argsort(-predicted, kind="stable") if names[at] != NONE][:MOST]
    else:
        most = [at for at, name in enumerate(names) if name in asked]
    return tuple((str(names[at]), float(found[at])) for at in sorted(most))


def _solved(logit: Vector, weight: Vector, place: npt.NDArray[np.int64], target: Vector) -> Vector:
    """Each segment's offset where its predicted purchases are the target, by bisection of all at once."""
    low, high = np.full_like(target, -_FARTHEST), np.full_like(target, _FARTHEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        predicted = np.bincount(place, weight / (1 + np.exp(-(logit + middle[place]))), minlength=len(target))
        low, high = np.where(predicted < target, middle, low), np.where(predicted < target, high, middle)
    return np.asarray((low + high) / 2)


def level(logit: Vector, weight: Vector, bought: float) -> float:
    """The offset of all at which they predict as much as was bought."""
    return float(_solved(logit, weight, np.zeros(len(logit), dtype=np.int64), np.array([bought]))[0])


def moved(p: Vector, keys: Keys, offsets: Offsets) -> Vector:
    """The probabilities of rows of these segments."""
    by_key: Mapping[str, float] = dict(offsets)
    names, place = np.unique(keys, return_inverse=True)
    odds = np.exp(np.array([by_key.get(str(name), 0.0) for name in names]))[place]
    return np.asarray(np.clip(1 / (1 + (1 / p - 1) / odds), EDGE, 1 - EDGE))


def moved_column(p: Column, by: str, offsets: Offsets) -> Column:
    """`moved` of a column, in rows that have the column which READS names."""
    odds = of_key(by, {name: F.lit(float(np.exp(offset))) for name, offset in offsets}, F.lit(1.0))
    return F.least(F.greatest(1 / (1 + (1 / p - 1) / odds), F.lit(EDGE)), F.lit(1 - EDGE))


def of_key(by: str, values: Mapping[str, Column], otherwise: Column) -> Column:
    """What belongs to a row's segment."""
    mine, made = key(by), otherwise
    for name, value in values.items():
        made = F.when(mine == name, value).otherwise(made)
    return made
