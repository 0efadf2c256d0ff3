"""Beta calibration: the logit bends, with a slope of its own for low scores and for high ones.

logit p = c + a ln s - b ln(1 - s)  of a score s = sigmoid(x), a and b not below 0: it never falls. With a = b it is Platt's line.
Far down ln s is x and the other logarithm nothing, so that a is the slope there; far up b is. Where purchases are rare hardly a
score is so high that it tells b: a bend costs something, so that the line goes on straight as far as nothing says otherwise.
Source  Kull, Silva Filho and Flach, Beta calibration (2017).
"""

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.judge import newton, platt
from propensity_spark.judge.isotonic import Vector

_RIDGE = np.array([1e-9, 1e-6, 1e-6])
_BEND = 0.5  # the spread of b - a that scores have, by their slope; a hundred purchases at high scores outweigh it
_COST = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, -1.0, 1.0]]) / _BEND**2
_FLATTEST = 0.2  # slope that the spread goes by
_KEPT = ((0, 1), (0, 2), (0,))  # columns that stay where a slope would be negative: only a, only b, neither


def fit(x: Vector, weight: Vector, positives: Vector) -> tuple[float, float, float]:
    """c, a and b of least log loss, a bend counted in, among those that do not fall."""
    design, start = np.column_stack([np.ones_like(x), *_logs(x)]), np.array([0.0, 1.0, 1.0])
    cost = _COST / max(platt.fit(x, weight, positives)[1], _FLATTEST) ** 2  # a margin's slope may be any
    best = newton.logistic(design, weight, positives, start, _RIDGE, cost)
    if best[1:].min() < 0:  # the loss is convex: the best allowed one lies where a slope is 0
        tried = [_without(design, weight, positives, cost, kept) for kept in _KEPT]
        best = min(
            (t for t in tried if t[1:].min() >= 0), key=lambda t: newton.loss(design @ t, weight, positives) + t @ cost @ t / 2
        )
    return float(best[0]), float(best[1]), float(best[2])


def _without(design: Vector, weight: Vector, positives: Vector, cost: Vector, kept: tuple[int, ...]) -> Vector:
    """The fit of some columns, the others' coefficients 0."""
    at, made = list(kept), np.zeros(3)
    made[at] = newton.logistic(design[:, at], weight, positives, np.zeros(len(at)), _RIDGE[at], cost[np.ix_(at, at)])
    return made


def _logs(x: Vector) -> tuple[Vector, Vector]:
    """ln s and -ln(1 - s), exact at both ends."""
    return -np.logaddexp(0, -x), np.logaddexp(0, x)


def margin(x: Vector, c: float, a: float, b: float) -> Vector:
    """The logit of the probability."""
    low, high = _logs(x)
    return np.asarray(c + a * low + b * high)


def margin_column(x: Column, c: float, a: float, b: float) -> Column:
    """`margin` of a column."""
    rest = F.log1p(F.exp(-F.abs(x)))
    low, high = F.least(x, F.lit(0.0)) - rest, F.greatest(x, F.lit(0.0)) + rest
    return c + a * low + b * high
