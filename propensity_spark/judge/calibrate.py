"""From scores to probabilities: the exact prior correction, then Platt, beta or isotonic calibration, fitted on their own period.

Everything is fitted from one small table of score buckets that Spark aggregates, and applied by built-in expressions.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from propensity_spark.errors import InsufficientData
from propensity_spark.judge import beta, buckets, isotonic, platt
from propensity_spark.judge.buckets import Buckets
from propensity_spark.judge.calibrator import PROBABILITY, Calibrator
from propensity_spark.judge.isotonic import Vector
from propensity_spark.judge.task import Task

COMPARED = ("platt", "beta", "isotonic")  # by `auto`; of equals the first


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
    return {name: _calibrated(buckets.of_task(rows, name), task) for name, task in tasks.items()}


def _calibrated(found: Buckets, task: Task) -> Calibrator:
    if not found.positives.sum() or found.positives.sum() >= found.weight.sum():
        raise InsufficientData("calibration needs bought and not bought pairs; its period has only one of them.")
    plain, method = task.corrected, task.method
    if method == "auto":
        method, compared = _choose(found, plain) if task.kind == PROBABILITY else ("isotonic", ())
        plain = replace(plain, log_losses=compared)
    return _fit(found.all(), plain, method)


def _choose(found: Buckets, plain: Calibrator) -> tuple[str, tuple[tuple[str, float], ...]]:
    """The method with the lower log loss on the half that it was not fitted on."""
    held = found.part(1)
    if not found.part(0)[2].sum() or not held[2].sum():
        return "platt", ()
    losses = [(name, _log_loss(_fit(found.part(0), plain, name), *held)) for name in COMPARED]
    return min(losses, key=lambda pair: pair[1])[0], tuple(losses)


def _log_loss(calibrator: Calibrator, x: Vector, weight: Vector, positives: Vector) -> float:
    p = calibrator.on(x)
    return float(-(positives * np.log(p) + (weight - positives) * np.log1p(-p)).sum() / weight.sum())


def _fit(part: tuple[Vector, Vector, Vector], plain: Calibrator, method: str) -> Calibrator:
    x, weight, positives = part
    if method == "platt":
        intercept, slope = platt.fit(plain.moved(x), weight, positives)
        return replace(plain, method="platt", intercept=intercept, slope=slope)
    if method == "beta":
        intercept, low, high = beta.fit(plain.moved(x), weight, positives)
        return replace(plain, method="beta", intercept=intercept, slope=low, slope_high=high)
    if method == "isotonic":
        return replace(plain, method="isotonic", knots=isotonic.knots(plain.moved(x), weight, positives))
    return plain
