"""What each group of features brings: a row per set of features, and the gains over the first set with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from propensity_spark.judge import plots
from propensity_spark.judge.markup import number, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A gain over the first set of features, and where it lies in 95 of 100 samples of users."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What a model on one set of features reached, and its gains over the first set (None for that one, or unknown).

    `problem`: why there is no such model, and so nothing that it reached.
    """

    name: str
    features: int
    pr_auc: float | None
    log_loss: float | None
    roc_auc: float | None
    recall: float | None
    ndcg: float | None
    ece: float | None
    seconds: float | None
    pr_auc_gain: Change | None = None
    ndcg_gain: Change | None = None
    problem: str = ""


_REACHED = ("PR-AUC", "NDCG@10", "recall@10", "ROC-AUC", "log loss", "ECE")


def section(groups: Sequence[Brought], as_of: str) -> str:
    """A row per set of features, and the gains with their intervals."""
    if not groups:
        return ""
    about = (
        f"One model per set of features, fitted, calibrated and tested alike as of {as_of}. Gains are against the first set; the "
        "lines hold 95 of 100 samples of users, green where all of it is a gain, red where all of it is a loss."
    )
    header = ("features", "how many", *_REACHED, "gain PR-AUC", "gain NDCG@10", "fit, s", "problem")
    reached = table(header, [_reached(each) for each in groups])
    return f"<h2>What each feature group brings</h2><p>{escape(about)}</p>{reached}{_gains(groups)}"


def _reached(group: Brought) -> tuple[str, ...]:
    shares = (number(value, ".4f") for value in (group.pr_auc, group.ndcg, group.recall, group.roc_auc))
    losses = (number(value, ".5f") for value in (group.log_loss, group.ece))
    gains = (f"{change.value:+.4f}" if change else "" for change in (group.pr_auc_gain, group.ndcg_gain))
    return (group.name, str(group.features), *shares, *losses, *gains, number(group.seconds, ".0f"), group.problem)


def _gains(groups: Sequence[Brought]) -> str:
    shown = []
    for what, changes in (("PR-AUC", [g.pr_auc_gain for g in groups]), ("NDCG@10", [g.ndcg_gain for g in groups])):
        known = [(g.name, c.value, c.low, c.high) for g, c in zip(groups, changes, strict=True) if c]
        if known:
            shown.append(f"<figure>{plots.intervals(known, f'Gain in {what} over the first set')}</figure>")
    return f'<div class="plots">{"".join(shown)}</div>' if shown else ""
