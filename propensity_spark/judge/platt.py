"""Platt scaling: the logit of the probability is a line through the score's logit.

Source  Platt, Probabilistic Outputs for Support Vector Machines (1999).
"""

import numpy as np

from propensity_spark.judge import newton, segments
from propensity_spark.judge.isotonic import Vector

_LEVEL = 1e-6  # a slope that rises hardly
_SPREAD = 0.25  # of slopes that models have: forty purchases tell a slope to a tenth


def fit(x: Vector, weight: Vector, positives: Vector) -> tuple[float, float]:
    """Intercept and slope; the slope stays positive."""
    design, start = np.column_stack([np.ones_like(x), x]), np.array([0.0, 1.0])
    ridge = np.array([1e-9, 1e-6])
    intercept, slope = newton.logistic(design, weight, positives, start, ridge)
    if slope < _LEVEL:  # the loss is convex: the best line that does not fall is level
        slope, (intercept,) = _LEVEL, newton.logistic(design[:, :1], weight, positives, start[:1], ridge[:1])
    return float(intercept), float(slope)


def shrunk(x: Vector, weight: Vector, positives: Vector) -> tuple[float, float]:
    """Intercept and slope of few purchases: the slope is held near 1, the better the less they say of it."""
    from scipy.optimize import minimize_scalar

    bought = float(positives.sum())

    def cost(slope: float) -> float:
        margin = slope * x + segments.level(slope * x, weight, bought)
        return newton.loss(margin, weight, positives) + ((slope - 1) / _SPREAD) ** 2 / 2

    slope = float(minimize_scalar(cost, bounds=(_SPREAD / 10, 1 + 10 * _SPREAD), method="bounded").x)
    return segments.level(slope * x, weight, bought), slope
