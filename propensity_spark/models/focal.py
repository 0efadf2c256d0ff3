"""The focal loss, which counts pairs less that a model is sure of, and the exact way back from its scores to probabilities.

Loss of a score q = sigmoid(z):  bought  -alpha (1 - q)^gamma log q,  not bought  -(1 - alpha) q^gamma log(1 - q).
Its minimiser is not the probability p unless gamma is 0 and alpha 1/2. Where the expected loss is least its derivative is 0:
p alpha L1'(q) + (1 - p)(1 - alpha) L0'(q) = 0, so that p / (1 - p) = (1 - alpha) L0'(q) / (-alpha L1'(q)), and in z

    logit p = log((1 - alpha) / alpha) + (gamma - 1) z + log(gamma log(1 + e^z) + e^z) - log(gamma log(1 + e^-z) + e^-z).

It rises with z for every gamma >= 0, so that no order changes.
Source  Lin et al., Focal Loss for Dense Object Detection (2017); Charoenphakdee et al., On Focal Loss for Class-Posterior
        Probability Estimation (2021), for the fact that its scores need a transform.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

Vector = npt.NDArray[np.float64]


def logit_of(z: Vector, gamma: float, alpha: float = 0.5) -> Vector:
    """The logit of the probability where the least expected focal loss is at the score sigmoid(z)."""
    if gamma == 0:
        return z + math.log((1 - alpha) / alpha)
    up, down = _half(z, gamma), _half(-z, gamma)
    return np.asarray(math.log((1 - alpha) / alpha) + (gamma - 1) * z + up - down)


def _half(z: Vector, gamma: float) -> Vector:
    """log(gamma log(1 + e^z) + e^z): with e^z taken out, which may be too large or too small for a number."""
    return np.asarray(z + np.log1p(gamma * _share(z)))


def _share(z: Vector) -> Vector:
    """log(1 + e^z) / e^z, in (0, 1]."""
    inside = np.clip(z, -30, 500)  # below it is 1
    return np.asarray(np.where(z < -30, 1.0, np.logaddexp(0, inside) * np.exp(-inside)))


def logit_column(z: Column, gamma: float) -> Column:
    """`logit_of` of a column, at alpha 1/2."""
    if gamma == 0:
        return z

    def half(x: Column) -> Column:
        inside = F.least(F.greatest(x, F.lit(-30.0)), F.lit(500.0))
        share = F.when(x < -30, 1.0).otherwise((F.greatest(inside, F.lit(0.0)) + F.log1p(F.exp(-F.abs(inside)))) * F.exp(-inside))
        return x + F.log1p(gamma * share)

    return (gamma - 1) * z + half(z) - half(-z)


def z_of(logit: float, gamma: float) -> float:
    """The score's z for a probability's logit, at alpha 1/2: `logit_of` turned round, by bisection."""
    low, high = -abs(logit) - 1.0, abs(logit) + 1.0  # focal scores are less extreme than probabilities
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if float(logit_of(np.array(middle), gamma)) < logit else (low, middle)
    return (low + high) / 2


def gradient(z: Vector, label: Vector, gamma: float) -> tuple[Vector, Vector]:
    """First and second derivative in z of (1 - q)^gamma times the log loss, q being the score of what happened."""
    sign = np.where(label > 0, 1.0, -1.0)
    q, loss = 1 / (1 + np.exp(-np.clip(sign * z, -500, 500))), np.logaddexp(0, -sign * z)
    off = np.exp(-np.logaddexp(0, sign * z))  # 1 - q, exact where it is small
    first = -(off**gamma) * (gamma * q * loss + off)
    second = off**gamma * q * (gamma * loss * (gamma * q - off) + (2 * gamma + 1) * off)
    return np.asarray(sign * first), np.asarray(second)


def objective(gamma: float) -> Callable[[Any, Any], tuple[Vector, Vector]]:
    """The focal loss as LightGBM's objective, weights counted.

    Far on the wrong side the loss bends down. A step there goes by the bend of the log loss, weighted alike: a smaller step.
    """

    def derivatives(z: Any, data: Any) -> tuple[Vector, Vector]:
        z, weight = np.asarray(z, dtype=np.float64), data.get_weight()
        label = np.asarray(data.get_label(), dtype=np.float64)
        first, second = gradient(z, label, gamma)
        signed = np.where(label > 0, z, -z)
        off, q = np.exp(-np.logaddexp(0, signed)), np.exp(-np.logaddexp(0, -signed))
        second = np.maximum(second, off ** (gamma + 1) * q)
        return (first, second) if weight is None else (first * weight, second * weight)

    return derivatives
