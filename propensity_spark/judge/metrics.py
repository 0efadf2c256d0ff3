"""Figures of merit of probabilities: one pass of Spark over all scorers (see cells), then arithmetic on a small table.

Scores are bucketed finely on the logit axis for the curves; log loss, Brier, means and counts above a threshold are exact sums.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.judge import cells
from propensity_spark.judge.cells import Cells, Vector, View

_CURVE_POINTS = 200
CALIBRATION_BINS = 20
DECILES = 10
TOP = (0.01, 0.05, 0.1, 0.2)  # shares of the pairs, best first
Thresholds = Mapping[str, Mapping[str, float]]  # scorer -> rule -> probability


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of about equal score: how many, what was predicted, what happened."""

    weight: float
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What lies at or above a threshold that `rule` chose: the share of the pairs, and how right and how complete it is."""

    rule: str
    threshold: float
    share: float
    precision: float | None
    recall: float | None
    f1: float | None

    def flat(self) -> dict[str, float | None]:
        """The numbers by name, with the rule."""
        names = ("threshold", "share", "precision", "recall", "f1")
        return {f"{self.rule}_cut_{name}": getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """How good a scorer's probabilities are. None: unknown (no rows, or only one class).

    `captured`: the share of the bought pairs, `value_captured`: of their prices, in the best TOP shares of the pairs.
    """

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
    captured: tuple[float, ...] = ()
    value_captured: tuple[float, ...] = ()
    cuts: tuple[Cut, ...] = ()

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
            **_by_share("captured", self.captured),
            **_by_share("value_captured", self.value_captured),
            **{name: value for cut in self.cuts for name, value in cut.flat().items()},
        }


def _by_share(what: str, values: tuple[float, ...]) -> dict[str, float | None]:
    return {f"{what}_top_{share:.0%}".rstrip("%"): value for share, value in zip(TOP, values, strict=False)}


def from_plain(**values: Any) -> Metrics:
    """Metrics from `dataclasses.asdict` of it, or from that as JSON; older ones lack what came later."""
    bins = tuple(Bin(**bin_) for bin_ in values["reliability"])
    curves = {name: tuple(map(tuple, values[name])) for name in ("roc", "precision_recall")}
    shares = {name: tuple(values.get(name, ())) for name in ("lift", "captured", "value_captured")}
    cuts = tuple(Cut(**cut) for cut in values.get("cuts", ()))
    return Metrics(**{**values, **curves, **shares, "reliability": bins, "cuts": cuts})


ALL = "all"


def evaluate(scored: DataFrame, scorers: Mapping[str, str], price: Column | None = None) -> dict[str, Metrics]:
    """Judge several probability columns on the same rows.

    Takes   label INT (0, 1), weight (pairs that a row stands for) and the columns; `scorers`: name -> column; `price`: what a
            bought pair is worth.
    Returns the metrics by name. ECE has 20 bins of equal mass; of equal scores each pair counts half in ROC-AUC.
    """
    rows = cells.collect(scored, [View(ALL, F.lit(ALL), scorers)], price=price)
    return {scorer: of_cells(cells.of_scorer(rows, scorer)) for scorer in scorers}


def of_all(rows: pd.DataFrame, view: str, scorers: Mapping[str, str], cuts: Thresholds | None = None) -> dict[str, Metrics]:
    """The metrics of all rows, from what `cells.collect` found for a view."""
    mine, thresholds = rows[rows["view"] == view], cuts or {}
    return {scorer: of_cells(cells.of_scorer(mine, scorer), thresholds.get(scorer)) for scorer in scorers}


def of_keys(
    rows: pd.DataFrame, view: str, scorers: Mapping[str, str], cuts: Thresholds | None = None
) -> dict[str, dict[str, Metrics]]:
    """The metrics of each key of a view."""
    mine = rows[rows["view"] == view]
    return {str(key): of_all(part, view, scorers, cuts) for key, part in mine.groupby("key")}


def of_cells(found: Cells, cuts: Mapping[str, float] | None = None) -> Metrics:
    """The metrics of one scorer's cells, which end at `cuts` (rule -> threshold)."""
    if not len(found.sums):
        return _NOTHING
    rows, positive_rows, total, hits, predicted, squares, loss, value = found.sums.sum(axis=0)
    weight, positives = found.of("weight"), found.of("positives")
    both = 0 < hits < total
    return Metrics(
        rows=int(rows),
        positives=int(positive_rows),
        base_rate=hits / total,
        mean_predicted=predicted / total,
        roc_auc=_roc_auc(positives, weight - positives) if both else None,
        pr_auc=average_precision(positives, weight) if both else None,
        log_loss=loss / total,
        brier=squares / total,
        ece=ece(weight, positives, found.of("predicted")),
        reliability=tuple(_bins(weight, positives, found.of("predicted"), CALIBRATION_BINS)),
        lift=tuple(b.observed * total / hits for b in _bins(weight, positives, found.of("predicted"), DECILES)) if both else (),
        roc=_curve(positives / hits, (weight - positives) / (total - hits)) if both else (),
        precision_recall=_precision_recall(positives, weight) if both else (),
        captured=_captured(weight, positives) if both else (),
        value_captured=_captured(weight, found.of("value")) if both and value > 0 else (),
        cuts=_cuts(found, cuts or {}),
    )


def _cuts(found: Cells, cuts: Mapping[str, float]) -> tuple[Cut, ...]:
    """A threshold that n others are not above has its pairs in the cells above more than that."""
    weight, positives = found.of("weight"), found.of("positives")
    made = []
    for rule, threshold in cuts.items():
        inside = found.above >= sum(other <= threshold for other in cuts.values())
        chosen, hits, bought = weight[inside].sum(), positives[inside].sum(), positives.sum()
        precision, recall = hits / chosen if chosen else None, hits / bought if bought else None
        f1 = 2 * hits / (chosen + bought) if bought else None
        share = chosen / weight.sum()
        made.append(Cut(rule=rule, threshold=threshold, share=share, precision=precision, recall=recall, f1=f1))
    return tuple(made)


def _captured(weight: Vector, what: Vector) -> tuple[float, ...]:
    """The share of `what` in the best shares of the weight; a cell on a boundary is shared out."""
    ends = np.concatenate([[0.0], np.cumsum(weight)])
    reached = np.interp(np.array(TOP) * ends[-1], ends, np.concatenate([[0.0], np.cumsum(what)]))
    return tuple(float(share) for share in reached / what.sum())


_NOTHING = Metrics(
    rows=0, positives=0, base_rate=None, mean_predicted=None, roc_auc=None, pr_auc=None, log_loss=None, brier=None, ece=None
)


def _roc_auc(positives: Vector, negatives: Vector) -> float:
    below = negatives.sum() - np.cumsum(negatives)  # negatives with a lower score
    return float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))


def average_precision(positives: Vector, weight: Vector) -> float:
    """PR-AUC of cells, best first; a cell is one step of the curve, and an empty one none. NaN where nothing was bought."""
    hits, above, bought = np.cumsum(positives), np.cumsum(weight), positives.sum()
    precision = np.divide(hits, above, out=np.zeros(len(above)), where=above > 0)
    return float((precision * positives).sum() / bought) if bought else float("nan")


def _bins(weight: Vector, positives: Vector, predicted: Vector, count: int) -> list[Bin]:
    """Bins of equal mass, highest scores first; a cell on a boundary is shared out."""
    ends = np.concatenate([[0.0], np.cumsum(weight)])
    cuts = np.linspace(0.0, ends[-1], count + 1)
    part = [np.diff(np.interp(cuts, ends, np.concatenate([[0.0], np.cumsum(c)]))) for c in (weight, predicted, positives)]
    return [Bin(float(w), float(p / w), float(o / w)) for w, p, o in zip(*part, strict=True) if w > 0]


def ece(weight: Vector, positives: Vector, predicted: Vector) -> float:
    """Mean distance of what is predicted from what is observed, over CALIBRATION_BINS bins of cells, best first; NaN of no rows."""
    bins = _bins(weight, positives, predicted, CALIBRATION_BINS)
    total = sum(b.weight for b in bins)
    return float(sum(b.weight * abs(b.predicted - b.observed) for b in bins) / total) if total else float("nan")


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
