"""Weighted logistic regression of grouped rows by Newton's method: what parametric calibrations are fitted with."""

import numpy as np

from propensity_spark.judge.isotonic import Vector

_ROUNDS, _HALVINGS, _CLOSE = 100, 40, 1e-9


def logistic(design: Vector, weight: Vector, positives: Vector, start: Vector, ridge: Vector, cost: Vector | float = 0.0) -> Vector:
    """The coefficients of the logit of the share `positives` / `weight` on the columns of `design`.

    What is made least is the log loss, and half the quadratic form `cost` of the coefficients. A step that would raise it is
    halved until it does not; `ridge` keeps a column that says nothing from ruining the rest.
    """
    quadratic = np.zeros((len(start), len(start))) + cost

    def total(beta: Vector) -> float:
        return loss(design @ beta, weight, positives) + float(beta @ quadratic @ beta) / 2

    beta = start
    least = total(beta)
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -35, 35)))
        curved = (design.T * (weight * p * (1 - p))) @ design + np.diag(ridge) + quadratic
        step = np.linalg.solve(curved, design.T @ (positives - weight * p) - quadratic @ beta)
        for _ in range(_HALVINGS):
            tried = total(beta + step)
            if tried <= least:
                break
            step = step / 2
        else:
            break  # nothing is gained any more: the last digits of the loss
        beta, least = beta + step, tried
        if np.abs(step).max() < _CLOSE:
            break
    return beta


def loss(margin: Vector, weight: Vector, positives: Vector) -> float:
    """The log loss of logits, summed."""
    return float((weight * np.logaddexp(0, margin) - positives * margin).sum())
