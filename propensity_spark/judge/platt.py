"""Platt scaling: the logit of the probability is a line through the score's logit.

Source  Platt, Probabilistic Outputs for Support Vector Machines (1999).
"""

import numpy as np

from propensity_spark.judge import newton
from propensity_spark.judge.isotonic import EDGE, Vector


def fit(x: Vector, weight: Vector, positives: Vector) -> tuple[float, float]:
    """Intercept and slope; the slope stays positive."""
    design, start = np.column_stack([np.ones_like(x), x]), np.array([0.0, 1.0])
    ridge = np.array([1e-9, 1e-6])
    intercept, slope = newton.logistic(design, weight, positives, start, ridge)
    if slope < EDGE:  # the loss is convex: the best line that does not fall is level
        slope, (intercept,) = EDGE, newton.logistic(design[:, :1], weight, positives, start[:1], ridge[:1])
    return float(intercept), float(slope)
