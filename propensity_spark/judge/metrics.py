"""Figures of merit of probabilities: one pass of Spark over all scorers, then arithmetic on a small table.

Scores are bucketed finely on the logit axis for the curves; log loss, Brier and means are exact sums.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Vector = npt.NDArray[np.float64]
_WIDTH = 0.002  # of a bucket, in logits
_EDGE = 1e-12
_CURVE_POINTS = 200
CALIBRATION_BINS = 20
DECILES = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of about equal score: how many, what was predicted, what happened."""

    weight: float
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """How good a scorer's probabilities are. None: unknown (no rows, or only one class)."""

    rows: int
    positives: int
    base_rate: float | None
    mean_predicted: float | None
    roc_auc: float | None
    pr_auc: float | None
    log_loss: float | None
    brier: float | None
    ece: float | None
    reliability: tuple[Bin, ...] = ()
    lift: tuple[float, ...] = ()
    roc: tuple[tuple[float, float], ...] = ()
    precision_recall: tuple[tuple[float, float], ...] = ()

    def flat(self) -> dict[str, float | None]:
        """The single numbers, by name."""
        names = ("base_rate", "mean_predicted", "roc_auc", "pr_auc", "log_loss", "brier", "ece")
        ratio = self.mean_predicted / self.base_rate if self.mean_predicted and self.base_rate else None
        return {
            "rows": float(self.rows),
            "positives": float(self.positives),
            **{name: getattr(self, name) for name in names},
            "predicted_over_observed": ratio,
            "top_decile_lift": self.lift[0] if self.lift else None,
        }


def from_plain(**values: Any) -> Metrics:
    """Metrics from `dataclasses.asdict` of it, or from that as JSON."""
    bins = tuple(Bin(**bin_) for bin_ in values["reliability"])
    curves = {name: tuple(map(tuple, values[name])) for name in ("roc", "precision_recall")}
    return Metrics(**{**values, **curves, "reliability": bins, "lift": tuple(values["lift"])})


ALL = "all"
_COLUMNS = ("rows", "positive_rows", "weight", "positives", "predicted", "squares", "loss")


def evaluate(scored: DataFrame, scorers: Mapping[str, str]) -> dict[str, Metrics]:
    """Judge several probability columns on the same rows.

    Takes   label INT (0, 1), weight (pairs that a row stands for) and the columns; `scorers`: name -> column.
    Returns the metrics by name. ECE has 20 bins of equal mass; of equal scores each pair counts half in ROC-AUC.
    """
    return evaluate_parts(scored, scorers, F.lit(ALL))[ALL]


def evaluate_parts(scored: DataFrame, scorers: Mapping[str, str], part: Column) -> dict[str, dict[str, Metrics]]:
    """The same for each value of `part` (text) and for all rows together (under `all`), in one pass."""
    each = F.explode(F.array(*(F.struct(F.lit(n).alias("scorer"), F.col(c).alias("p")) for n, c in scorers.items())))
    p = F.least(F.greatest(F.col("s.p"), F.lit(_EDGE)), F.lit(1 - _EDGE))
    long = scored.select("label", "weight", part.alias("part"), each.alias("s")).select(
        "label", "weight", "part", "s.scorer", p.alias("p"), F.log(p / (1 - p)).alias("logit")
    )
    w, y, q = F.col("weight"), F.col("label"), F.col("p")
    rows = (
        long.groupBy("part", "scorer", F.floor(F.col("logit") / _WIDTH).alias("bucket"))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum("label").alias("positive_rows"),
            F.sum("weight").alias("weight"),
            F.sum(w * y).alias("positives"),
            F.sum(w * q).alias("predicted"),
            F.sum(w * (q - y) * (q - y)).alias("squares"),
            F.sum(-w * F.log(F.when(y == 1, q).otherwise(1 - q))).alias("loss"),
        )
        .toPandas()
    )
    parts = [ALL, *sorted(set(rows["part"]) - {ALL})]
    return {name: {s: _metrics(_table(rows, s, name)) for s in scorers} for name in parts}


def _table(rows: pd.DataFrame, scorer: str, part: str) -> Vector:
    """A scorer's buckets of one part (or of all), best scores first."""
    mine = rows[rows["scorer"] == scorer]
    if part != ALL:
        mine = mine[mine["part"] == part]
    merged = mine.groupby("bucket")[list(_COLUMNS)].sum().sort_index(ascending=False)
    return np.asarray(merged.to_numpy(dtype=np.float64))


def _metrics(table: Vector) -> Metrics:
    """From buckets, best scores first: rows, positive rows, weight, positives, predicted, squares, loss."""
    if not len(table):
        return _NOTHING
    rows, positive_rows, _, _, predicted, squares, loss = table.sum(axis=0)
    weight, positives = table[:, 2], table[:, 3]
    total, hits = weight.sum(), positives.sum()
    both = 0 < hits < total
    return Metrics(
        rows=int(rows),
        positives=int(positive_rows),
        base_rate=hits / total,
        mean_predicted=predicted / total,
        roc_auc=_roc_auc(positives, weight - positives) if both else None,
        pr_auc=_average_precision(positives, weight) if both else None,
        log_loss=loss / total,
        brier=squares / total,
        ece=_ece(table),
        reliability=tuple(_bins(table, CALIBRATION_BINS)),
        lift=tuple(b.observed * total / hits for b in _bins(table, DECILES)) if both else (),
        roc=_curve(positives / hits, (weight - positives) / (total - hits)) if both else (),
        precision_recall=_precision_recall(positives, weight) if both else (),
    )


_NOTHING = Metrics(
    rows=0, positives=0, base_rate=None, mean_predicted=None, roc_auc=None, pr_auc=None, log_loss=None, brier=None, ece=None
)


def _roc_auc(positives: Vector, negatives: Vector) -> float:
    below = negatives.sum() - np.cumsum(negatives)  # negatives with a lower score
    return float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))


def _average_precision(positives: Vector, weight: Vector) -> float:
    precision = np.cumsum(positives) / np.cumsum(weight)
    return float((precision * positives).sum() / positives.sum())


def _bins(table: Vector, count: int) -> list[Bin]:
    """Bins of equal mass, highest scores first; a bucket on a boundary is shared out."""
    weight, positives, predicted = table[:, 2], table[:, 3], table[:, 4]
    ends = np.concatenate([[0.0], np.cumsum(weight)])
    cuts = np.linspace(0.0, ends[-1], count + 1)
    part = [np.diff(np.interp(cuts, ends, np.concatenate([[0.0], np.cumsum(c)]))) for c in (weight, predicted, positives)]
    return [Bin(float(w), float(p / w), float(o / w)) for w, p, o in zip(*part, strict=True) if w > 0]


def _ece(table: Vector) -> float:
    bins = _bins(table, CALIBRATION_BINS)
    total = sum(b.weight for b in bins)
    return float(sum(b.weight * abs(b.predicted - b.observed) for b in bins) / total)


def _curve(up: Vector, along: Vector) -> tuple[tuple[float, float], ...]:
    x = np.concatenate([[0.0], np.cumsum(along)])
    y = np.concatenate([[0.0], np.cumsum(up)])
    at = np.unique(np.linspace(0, len(x) - 1, _CURVE_POINTS).astype(int))
    return tuple((float(x[i]), float(y[i])) for i in at)


def _precision_recall(positives: Vector, weight: Vector) -> tuple[tuple[float, float], ...]:
    recall = np.cumsum(positives) / positives.sum()
    precision = np.cumsum(positives) / np.cumsum(weight)
    at = np.unique(np.searchsorted(recall, np.linspace(recall[0], 1, _CURVE_POINTS)).clip(0, len(recall) - 1))
    return tuple((float(recall[i]), float(precision[i])) for i in at)
