"""How sure the level of a calibrated score is: the calibration refitted on samples of its users.

Users are hashed into blocks (see intervals), whose coarse score buckets lie beside those that the calibrator is fitted from. Blocks
are drawn with replacement, the chosen method and the segments' offsets are fitted anew, and of these curves the inner share is kept
at a few knots. It is the level that such scores have on average that is meant, not what a single purchase may do, and
what differs between the calibration date and the scored one is no part of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity_spark.judge import buckets, calibrate, segments
from propensity_spark.judge.calibrator import Calibrator
from propensity_spark.judge.isotonic import Vector
from propensity_spark.judge.segments import NONE, Keys
from propensity_spark.judge.task import Task

KNOTS = 30
_LEAST = 20  # curves: of fewer nothing is said
_BEYOND = 3.0  # how far behind the outer scores, in logits, a curve is still followed


@dataclass(frozen=True, slots=True)
class _Samples:
    """Cells of a segment (`keys`) and a coarse bucket of the axis: their weight, positives and sum of the axis in each sample."""

    keys: Keys
    bucket: npt.NDArray[np.int64]
    weight: Vector
    positives: Vector
    moment: Vector

    def of(self, sample: int) -> buckets.Buckets:
        """The cells that the sample has."""
        mine = self.weight[sample] > 0
        weight, positives, moment = (sums[sample][mine] for sums in (self.weight, self.positives, self.moment))
        nobody = np.zeros(len(weight), dtype=np.int64)
        return buckets.Buckets(nobody, self.bucket[mine], self.keys[mine], weight, positives, moment / weight)


def fit(rows: pd.DataFrame, name: str, made: Calibrator, task: Task, times: Vector, interval: float) -> Calibrator:
    """The scorer's calibrator with the ends between which the share `interval` of the samples put its curve.

    Takes   what buckets.collect found for a task with blocks; `times`: how often each block counts in each sample, of which the
            first is no sample (intervals.drawn).
    """
    if made.method == "none":
        return made  # nothing was fitted
    samples = _samples(buckets.in_blocks(rows, name, made.by), times)
    at = _knots(samples.of(0))
    found = [_curves(samples.of(n), made, task, at) for n in range(1, len(times))]
    curves = [curve for curve in found if curve]
    if len(curves) < _LEAST:
        return made
    outside = 50 * (1 - interval)
    ends = {key: np.percentile([curve[key] for curve in curves], [outside, 100 - outside], axis=0) for key in curves[0]}
    moved = made.moved(at)
    band = tuple((key, tuple(zip(moved.tolist(), *end.tolist(), strict=True))) for key, end in ends.items())
    return replace(made, band=band, interval=interval)


def _samples(rows: pd.DataFrame, times: Vector) -> _Samples:
    cells = rows.groupby(["key", "bucket"]).ngroup().to_numpy()
    first = rows.assign(cell=cells).drop_duplicates("cell").sort_values("cell")

    def summed(values: Vector) -> Vector:
        dense = np.zeros((times.shape[1], len(first)))
        np.add.at(dense, (rows["block"].to_numpy(dtype=np.int64), cells), values)
        return np.asarray(times @ dense)

    weight, positives, x = (rows[column].to_numpy(dtype=np.float64) for column in ("weight", "positives", "x"))
    keys, bucket = first["key"].to_numpy(dtype=np.str_), first["bucket"].to_numpy(dtype=np.int64)
    return _Samples(keys, bucket, summed(weight), summed(positives), summed(weight * x))


def _knots(everyone: buckets.Buckets) -> Vector:
    """Quantiles of the scores, of bought pairs as of all: few scores are high, and those matter most. Both ends lie farther out."""
    x, weight, positives = everyone.points
    mass = np.cumsum(weight / weight.sum() + positives / max(positives.sum(), 1.0))
    inner = np.interp(np.linspace(mass[0], mass[-1], KNOTS - 2), mass, x)
    return np.unique(np.concatenate([[x[0] - _BEYOND], inner, [x[-1] + _BEYOND]]))


def _curves(sample: buckets.Buckets, made: Calibrator, task: Task, at: Vector) -> Mapping[str, Vector]:
    """The logits at the knots, by segment (NONE: in none); nothing where the sample has one class only."""
    if not 0 < sample.positives.sum() < sample.weight.sum():
        return {}
    again = calibrate.fit_points(sample.points, made.corrected, made.method)
    p = again.on(at)
    curve = np.log(p / (1 - p))
    if not made.by:
        return {NONE: curve}
    mine = [key for key, _ in made.offsets]  # a sample's own largest may be others
    offsets = dict(segments.fit(again.on(sample.x), sample.weight, sample.positives, sample.keys, task.shrinkage, mine))
    return {NONE: curve, **{key: curve + offsets.get(key, 0.0) for key in mine}}
