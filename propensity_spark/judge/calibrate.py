"""From scores to probabilities: the exact prior correction, then Platt or isotonic calibration, fitted on their own period.

Everything is fitted from one small table of score buckets that Spark aggregates, and applied by built-in expressions.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.errors import InsufficientData
from propensity_spark.judge import isotonic
from propensity_spark.judge.isotonic import EDGE, Vector
from propensity_spark.models import focal
from propensity_spark.trainset.sampling import uniform

WIDTH = 0.01  # of a score bucket, on the axis of `axis`
_SALT = 2
PROBABILITY, COUNT, REAL = "probability", "count", "real"
_STEEP = 1000.0  # how much finer than 1 a real score is told apart


def axis(score: Column, kind: str) -> Column:
    """The axis on which scores are calibrated: the logit of a probability, log(1 + x) of a count or rate, +-log(1 + 1000 |x|) of
    a real score: its scale and its sign may be any, and it is told apart by 1 % of itself, down to thousandths.
    """
    if kind == REAL:
        return F.signum(score) * F.log1p(F.abs(score) * _STEEP)
    if kind == COUNT:
        return F.log1p(F.greatest(score, F.lit(0.0)))
    inside = F.least(F.greatest(score, F.lit(EDGE**2)), F.lit(1 - 1e-12))
    return F.log(inside / (1 - inside))


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """A monotone map from scores to probabilities.

    On the axis of its `kind`, through the inverse link of the focal loss where there is a `focal_gamma`, moved by `shift` (the
    prior): Platt is sigmoid(intercept + slope x), isotonic the line through its knots, none the sigmoid. `log_losses` holds
    what `auto` compared on users that it had not fitted.
    """

    kind: str
    method: str
    shift: float = 0.0
    intercept: float = 0.0
    slope: float = 1.0
    knots: tuple[tuple[float, float], ...] = ()
    log_losses: tuple[tuple[str, float], ...] = ()
    focal_gamma: float = 0.0

    def apply(self, score: Column) -> Column:
        """The calibrated probability of a score, strictly inside (0, 1)."""
        x = focal.logit_column(axis(score, self.kind), self.focal_gamma) + self.shift
        if self.method == "isotonic":
            return isotonic.segments(x, self.knots)
        margin = x * self.slope + self.intercept
        return F.least(F.greatest(1 / (1 + F.exp(-margin)), F.lit(EDGE)), F.lit(1 - EDGE))

    def on(self, x: Vector) -> Vector:
        """The same map on numbers of the (unmoved) axis."""
        moved = self.moved(x)
        if self.method == "isotonic":
            at, value = np.array(self.knots).T
            return np.asarray(np.interp(moved, at, value))
        return np.clip(1 / (1 + np.exp(-(moved * self.slope + self.intercept))), EDGE, 1 - EDGE)

    def moved(self, x: Vector) -> Vector:
        """The axis through the link and moved by the prior: where it is fitted."""
        return focal.logit_of(x, self.focal_gamma) + self.shift

    @property
    def corrected(self) -> "Calibrator":
        """The same without what was fitted: the prior and the loss undone, exactly, and no more."""
        return Calibrator(kind=self.kind, method="none", shift=self.shift, focal_gamma=self.focal_gamma)

    def to_json(self) -> str:
        """The calibrator as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Calibrator":
        """The calibrator that `to_json` wrote."""
        parts: dict[str, Any] = json.loads(text)
        parts["knots"] = tuple((float(x), float(y)) for x, y in parts["knots"])
        parts["log_losses"] = tuple((str(n), float(v)) for n, v in parts["log_losses"])
        return cls(**parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to calibrate: the column, how, what its model learnt from, and the kind of score.

    `negative_rate`: the share of the pairs not bought that were among the rows; `odds`: how many times as high balancing
    made the odds in them (trainset.balance); `focal_gamma`: that of the loss which it minimised (0: log loss).
    """

    score: str
    method: str = "auto"
    negative_rate: float = 1.0
    odds: float = 1.0
    focal_gamma: float = 0.0
    kind: str = PROBABILITY

    @property
    def shift(self) -> float:
        """What undoes both: minus the logarithm of the factor by which the model's odds exceed those of all pairs."""
        return math.log(self.negative_rate) - math.log(self.odds) if self.kind == PROBABILITY else 0.0

    @property
    def corrected(self) -> Calibrator:
        """The prior and the loss undone, exactly, and nothing fitted."""
        return Calibrator(kind=self.kind, method="none", shift=self.shift, focal_gamma=self.focal_gamma)


def fit(scored: DataFrame, score: str, method: str, negative_rate: float = 1.0, kind: str = PROBABILITY) -> Calibrator:
    """Calibrate the column `score` on matured labels: see `fit_all`."""
    task = Task(score=score, method=method, negative_rate=negative_rate, kind=kind)
    return fit_all(scored, {score: task})[score]


def fit_all(scored: DataFrame, tasks: Mapping[str, Task]) -> dict[str, Calibrator]:
    """Calibrate several columns on matured labels, in one pass over the rows.

    Takes   user_id, label (0, 1), weight (pairs that a row stands for) and the columns. A COUNT or REAL is made isotonic by `auto`.
    Raises  InsufficientData where only one class is there.
    """
    return fit_buckets(buckets(scored, tasks), tasks)


def fit_buckets(rows: pd.DataFrame, tasks: Mapping[str, Task]) -> dict[str, Calibrator]:
    """As `fit_all`, from what `buckets` found."""
    return {name: _calibrated(_buckets(rows, name), task) for name, task in tasks.items()}


def _calibrated(found: "_Buckets", task: Task) -> Calibrator:
    if not found.positives.sum() or found.positives.sum() >= found.weight.sum():
        raise InsufficientData("calibration needs bought and not bought pairs; its period has only one of them.")
    plain, method = task.corrected, task.method
    if method == "auto":
        method, compared = _choose(found, plain) if task.kind == PROBABILITY else ("isotonic", ())
        plain = replace(plain, log_losses=compared)
    return _fit(found.all(), plain, method)


@dataclass(frozen=True, slots=True)
class _Buckets:
    """Score buckets of two halves of the users: weight, positives and the mean of the axis, as arrays."""

    half: npt.NDArray[np.int64]
    bucket: npt.NDArray[np.int64]
    weight: Vector
    positives: Vector
    x: Vector

    def part(self, half: int) -> tuple[Vector, Vector, Vector]:
        """One half's x, weight, positives."""
        mine = self.half == half
        return self.x[mine], self.weight[mine], self.positives[mine]

    def all(self) -> tuple[Vector, Vector, Vector]:
        """Both halves, a bucket of both as one: the same score must not be two points, a rounding error apart."""
        _, place = np.unique(self.bucket, return_inverse=True)
        weight = np.bincount(place, self.weight).astype(np.float64)
        positives = np.bincount(place, self.positives).astype(np.float64)
        return np.bincount(place, self.x * self.weight) / weight, weight, positives


def buckets(scored: DataFrame, tasks: Mapping[str, Task], price: Column | None = None) -> pd.DataFrame:
    """Per task (name), half of the users and bucket of the axis: weight, positives, their value by `price`, and the mean x."""
    worth = F.lit(0.0) if price is None else F.coalesce(price.cast("double"), F.lit(0.0))
    axes = [F.struct(F.lit(n).alias("name"), axis(F.col(t.score), t.kind).alias("x")) for n, t in tasks.items()]
    half = (uniform(_SALT, "user_id") < 0.5).cast("int").alias("half")
    long = scored.select("weight", "label", worth.alias("price"), half, F.explode(F.array(*axes)).alias("s"))
    x = F.col("s.x")
    grouped = long.groupBy(F.col("s.name").alias("name"), "half", F.floor(x / WIDTH).alias("bucket")).agg(
        F.sum("weight").alias("weight"),
        F.sum(F.col("weight") * F.col("label")).alias("positives"),
        F.sum(F.col("weight") * F.col("label") * F.col("price")).alias("value"),
        (F.sum(x * F.col("weight")) / F.sum("weight")).alias("x"),
    )
    return grouped.toPandas().sort_values(["name", "half", "bucket"])


def _buckets(rows: pd.DataFrame, name: str) -> _Buckets:
    mine = rows[rows["name"] == name]
    columns = (mine[c].to_numpy(dtype=np.float64) for c in ("weight", "positives", "x"))
    half, bucket = (mine[c].to_numpy(dtype=np.int64) for c in ("half", "bucket"))
    return _Buckets(half, bucket, *columns)


def _choose(found: _Buckets, plain: Calibrator) -> tuple[str, tuple[tuple[str, float], ...]]:
    """The method with the lower log loss on the half that it was not fitted on."""
    held = found.part(1)
    if not found.part(0)[2].sum() or not held[2].sum():
        return "platt", ()
    losses = [(name, _log_loss(_fit(found.part(0), plain, name), *held)) for name in ("platt", "isotonic")]
    return min(losses, key=lambda pair: pair[1])[0], tuple(losses)


def _log_loss(calibrator: Calibrator, x: Vector, weight: Vector, positives: Vector) -> float:
    p = calibrator.on(x)
    return float(-(positives * np.log(p) + (weight - positives) * np.log1p(-p)).sum() / weight.sum())


def _fit(part: tuple[Vector, Vector, Vector], plain: Calibrator, method: str) -> Calibrator:
    x, weight, positives = part
    if method == "platt":
        intercept, slope = _platt(plain.moved(x), weight, positives)
        return replace(plain, method="platt", intercept=intercept, slope=slope)
    if method == "isotonic":
        return replace(plain, method="isotonic", knots=isotonic.knots(plain.moved(x), weight, positives))
    return plain


def _platt(x: Vector, weight: Vector, positives: Vector) -> tuple[float, float]:
    """Newton's method for the weighted logistic regression of the label on x, with a slope that stays positive."""
    beta = np.array([0.0, 1.0])
    design = np.column_stack([np.ones_like(x), x])
    ridge = np.diag([1e-9, 1e-6])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -35, 35)))
        step = np.linalg.solve((design.T * (weight * p * (1 - p))) @ design + ridge, design.T @ (positives - weight * p))
        beta = beta + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[0]), float(max(beta[1], EDGE))
