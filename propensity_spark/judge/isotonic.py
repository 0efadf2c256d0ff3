"""Isotonic calibration as a line through a few knots: fitted in numpy, applied by built-in expressions."""

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

Vector = npt.NDArray[np.float64]
EDGE = 1e-9  # probabilities stay strictly inside (0, 1); a floor that counts would add purchases where few are bought
_KNOTS = 64
_FARTHEST, _HALVINGS = 3.0, 40  # of the offset of a line, and of the search for it


def knots(x: Vector, weight: Vector, positives: Vector) -> tuple[tuple[float, float], ...]:
    """Pool adjacent violators; the knots are the centres of pools of both classes, at most _KNOTS of about equal weight.

    The line through them, not the pools, is what is applied: it is moved as a whole to where it predicts what was bought.
    """
    from sklearn.isotonic import IsotonicRegression

    order = np.argsort(x, kind="stable")
    x, weight, rate = x[order], weight[order], positives[order] / weight[order]
    level = IsotonicRegression(out_of_bounds="clip").fit_transform(x, rate, sample_weight=weight)
    pool = _of_both_classes(np.concatenate([[0], np.cumsum(np.diff(level) > 0)]), level)
    mass = np.bincount(pool, weight).astype(np.float64)
    centre, value = np.bincount(pool, weight * x) / mass, np.bincount(pool, weight * level) / mass
    kept = _thin(mass)
    at, line = centre[kept], _levelled(x, weight, positives.sum(), centre[kept], np.clip(value[kept], EDGE, 1 - EDGE))
    # distinct in exact arithmetic; after merging close pools their order must still be strict
    return tuple((float(a), float(b)) for a, b in zip(at, line, strict=True))


def _levelled(x: Vector, weight: Vector, bought: float, at: Vector, value: Vector) -> Vector:
    """The values by one offset of their logits where the line through them predicts as much as was bought, by bisection."""
    odds, low, high = value / (1 - value), -_FARTHEST, _FARTHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        moved = np.clip(1 / (1 + 1 / (odds * np.exp(middle))), EDGE, 1 - EDGE)
        is_less = (weight * np.interp(x, at, moved)).sum() < bought
        low, high = (middle, high) if is_less else (low, middle)
    return np.asarray(moved)


def _of_both_classes(pool: npt.NDArray[np.int64], level: Vector) -> npt.NDArray[np.int64]:
    """A pool that was never bought, or always, joins its neighbour: a few rows of one class make nothing certain."""
    last = pool[-1]
    if level[0] < EDGE:
        pool = np.maximum(pool, 1)
    if level[-1] > 1 - EDGE:
        pool = np.minimum(pool, last - 1)
    return np.unique(pool, return_inverse=True)[1]


def _thin(mass: Vector) -> npt.NDArray[np.int64]:
    """Which pools stay as knots: all of few; of many the first, the last and those at equal steps of log rank."""
    if len(mass) <= _KNOTS:
        return np.arange(len(mass))
    above = np.log1p(np.cumsum(mass[::-1])[::-1])  # few scores are high, and those matter most
    wanted = np.linspace(above[0], above[-1], _KNOTS)
    return np.unique(np.concatenate([[0], np.searchsorted(-above, -wanted).clip(0, len(mass) - 1), [len(mass) - 1]]))


def segments(x: Column, at: tuple[tuple[float, float], ...]) -> Column:
    """The line through the knots, level beyond the ends, as a balanced tree of conditions."""
    if len(at) == 1:
        return F.lit(at[0][1])
    if len(at) == 2:
        (x0, y0), (x1, y1) = at
        line = y0 + F.greatest((x - x0) / max(x1 - x0, 1e-12), F.lit(0.0)) * (y1 - y0)
        # itself and not y0 + (y1 - y0), which may be the next number below: a threshold at the level would leave all of it out
        return F.when(x >= x1, F.lit(y1)).otherwise(line)
    middle = len(at) // 2
    return F.when(x < at[middle][0], segments(x, at[: middle + 1])).otherwise(segments(x, at[middle:]))
