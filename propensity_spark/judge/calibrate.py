"""From scores to probabilities: the exact prior correction, then Platt, beta or isotonic calibration, fitted on their own period.

Everything is fitted from one small table of score buckets that Spark aggregates, and applied by built-in expressions.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from propensity_spark.errors import InsufficientData
from propensity_spark.judge import beta, buckets, isotonic, platt, segments
from propensity_spark.judge.buckets import Buckets
from propensity_spark.judge.calibrator import PROBABILITY, Calibrator
from propensity_spark.judge.isotonic import Vector
from propensity_spark.judge.task import Task

COMPARED = ("platt", "beta", "isotonic")  # by `auto`; of equals the first
SHRUNK = "shrunk"  # what `auto` does with few purchases: Platt with a slope near 1
FEW = 20  # purchases, of which a shape would be chance


def fit(scored: DataFrame, score: str, method: str, negative_rate: float = 1.0, kind: str = PROBABILITY) -> Calibrator:
    """Calibrate the column `score` on matured labels: see `fit_all`."""
    task = Task(score=score, method=method, negative_rate=negative_rate, kind=kind)
    return fit_all(scored, {score: task})[score]


def fit_all(scored: DataFrame, tasks: Mapping[str, Task]) -> dict[str, Calibrator]:
    """Calibrate several columns on matured labels, in one pass over the rows.

    Takes   user_id, label (0, 1), weight (pairs that a row stands for) and the columns. A COUNT or REAL is made isotonic by `auto`.
    Raises  InsufficientData where only one class is there.
    """
    return fit_buckets(buckets.collect(scored, tasks), tasks)


def fit_buckets(rows: pd.DataFrame, tasks: Mapping[str, Task]) -> dict[str, Calibrator]:
    """As `fit_all`, from what `buckets.collect` found."""
    return {name: _calibrated(rows, name, task) for name, task in tasks.items()}


def _calibrated(rows: pd.DataFrame, name: str, task: Task) -> Calibrator:
    found, plain, method = buckets.of_task(rows, name), task.corrected, task.method
    if not found.positives.sum() or found.positives.sum() >= found.weight.sum():
        raise InsufficientData("calibration needs bought and not bought pairs; its period has only one of them.")
    if method == "auto":
        method, compared = _choose(found, plain, task.is_margin) if task.kind == PROBABILITY else ("isotonic", ())
        plain = replace(plain, log_losses=compared)
    made = fit_points(found.points, plain, method)
    if method == "none" or not task.by or not _both_tell(found):
        return made
    return _in_segments(rows, name, task, made, fit_points(found.part(0).points, plain, method))


def _both_tell(found: Buckets) -> bool:
    """Whether something was bought in both halves."""
    return all(found.part(half).positives.sum() > 0 for half in (0, 1))


def _choose(found: Buckets, plain: Calibrator, is_margin: bool) -> tuple[str, tuple[tuple[str, float], ...]]:
    """The method with the lowest log loss on the half that it was not fitted on; few purchases cannot choose."""
    if found.positives.sum() < FEW or not _both_tell(found):
        return ("platt" if is_margin else SHRUNK), ()
    learnt, held = found.part(0).points, found.part(1)
    losses = [(name, _log_loss(fit_points(learnt, plain, name).on(held.x), held)) for name in COMPARED]
    return min(losses, key=lambda pair: pair[1])[0], tuple(losses)


def _in_segments(rows: pd.DataFrame, name: str, task: Task, made: Calibrator, of_half: Calibrator) -> Calibrator:
    """With offsets by what lowers the log loss most on the half that neither was fitted on, if anything does."""
    views = {by: view for by in task.by if len((view := buckets.of_task(rows, name, by)).x)}
    if not views:
        return made
    gains = {by: _gain(view, of_half, task.shrinkage) for by, view in views.items()}
    held = buckets.of_task(rows, name).part(1)
    without = _log_loss(of_half.on(held.x), held)
    losses = (("none", without), *((by, without - gain) for by, gain in gains.items()))
    best = max(gains, key=lambda by: gains[by])
    if gains[best] <= 0:
        return replace(made, segment_losses=losses)
    return replace(made, segment_losses=losses, by=best, offsets=_offsets(views[best], made, task.shrinkage))


def _gain(view: Buckets, overall: Calibrator, shrinkage: float) -> float:
    """By how much the log loss falls on the half that neither was fitted on."""
    held = view.part(1)
    moved = replace(overall, offsets=_offsets(view.part(0), overall, shrinkage))
    return _log_loss(overall.on(held.x), held) - _log_loss(moved.on(held.x, held.keys), held)


def _offsets(view: Buckets, overall: Calibrator, shrinkage: float) -> segments.Offsets:
    return segments.fit(overall.on(view.x), view.weight, view.positives, view.keys, shrinkage)


def _log_loss(p: Vector, held: Buckets) -> float:
    y = held.positives
    return float(-(y * np.log(p) + (held.weight - y) * np.log1p(-p)).sum() / held.weight.sum())


def fit_points(points: tuple[Vector, Vector, Vector], plain: Calibrator, method: str) -> Calibrator:
    """The method fitted to x, weight and positives."""
    x, weight, positives = points
    if method == "platt":
        intercept, slope = platt.fit(plain.moved(x), weight, positives)
        return replace(plain, method="platt", intercept=intercept, slope=slope)
    if method == "beta":
        intercept, low, high = beta.fit(plain.moved(x), weight, positives)
        return replace(plain, method="beta", intercept=intercept, slope=low, slope_high=high)
    if method == SHRUNK:
        intercept, slope = platt.shrunk(plain.moved(x), weight, positives)
        return replace(plain, method=SHRUNK, intercept=intercept, slope=slope)
    if method == "isotonic":
        return replace(plain, method="isotonic", knots=isotonic.knots(plain.moved(x), weight, positives))
    return plain
