"""The report's closer look at the champion: how sure, from where on to act, what the best pairs capture, and in which slices."""

from collections.abc import Mapping
from html import escape

from propensity_spark.judge import intervals, plots, ranking
from propensity_spark.judge.baselines import REFERENCE
from propensity_spark.judge.markup import number, share, table
from propensity_spark.judge.metrics import DECILES, TOP, Metrics

Figures = Mapping[str, float | None]
Slices = Mapping[str, Mapping[str, Mapping[str, Figures]]]
_WORDS = {
    "pr_auc": ("PR-AUC", ".4f"),
    "log_loss": ("log loss", ".5f"),
    "ece": ("ECE", ".4f"),
    "predicted_over_observed": ("predicted / observed", ".3f"),
    "recall": ("recall", ".4f"),
    "ndcg": ("NDCG", ".4f"),
}
_SLICED = {
    "exists": "bought before, or never",
    "activity": "the user's orders",
    "users": "users by history",
    "products": "products by history",
    "category": "category",
    "segment": "segment",
}


def how_sure(label: str, figures: Figures, sure: Figures, k: int) -> str:
    """Each figure with its interval, and the lead over the baseline that is best in it; empty where no interval was made."""
    rows = []
    for figure, (words, style) in _WORDS.items():
        name = ranking.with_k(figure, k)
        if f"{name}_low" in sure:
            lead = _between(sure.get(f"{name}_gain"), sure, f"{name}_gain", f"+{style}") if f"{name}_gain" in sure else ""
            rows.append((words, _between(figures.get(name), sure, name, style), lead, _verdict(figure, name, sure)))
    about = (
        "In brackets: where 95 of 100 samples of users lie (blocks of them, drawn with replacement, the same for all scorers). "
        "The lead is over the baseline that is best in the figure of its row."
    )
    header = ("figure", f"{label}", "less the best baseline", "")
    return f"<h3>How sure these figures are</h3>{table(header, rows)}<p>{about}</p>" if rows else ""


def _between(value: float | None, ends: Figures, name: str, style: str) -> str:
    low, high = ends.get(f"{name}_low"), ends.get(f"{name}_high")
    shown = number(value, style)
    return shown if low is None or high is None else f"{shown} [{low:{style}}, {high:{style}}]"


def _verdict(figure: str, name: str, sure: Figures) -> str:
    """Whether the lead is a lead in nearly all samples; of the mean prediction, whether it is off in nearly all."""
    if figure == "predicted_over_observed":
        return _off(sure.get(f"{name}_low"), sure.get(f"{name}_high"))
    low, high, good = sure.get(f"{name}_gain_low"), sure.get(f"{name}_gain_high"), {**intervals.PAIRS, **intervals.LISTS}[figure]
    if low is None or high is None or not good:
        return ""
    least, most = (low, high) if good > 0 else (-high, -low)
    return "surely better" if least > 0 else "surely worse" if most < 0 else "not sure"


def _off(low: float | None, high: float | None) -> str:
    """What an interval of predicted over observed says."""
    if low is None or high is None:
        return ""
    return "surely too high" if low > 1 else "surely too low" if high < 1 else "1 is within"


def thresholds(label: str, metrics: Metrics, rules: Mapping[str, str]) -> str:
    """What lies above each threshold; `rules` says in words how each was chosen."""
    rows = [
        (rules.get(cut.rule, cut.rule), f"{cut.threshold:.4f}", share(cut.share), *(number(v, ".3f") for v in found))
        for cut in metrics.cuts
        for found in [(cut.precision, cut.recall, cut.f1)]
    ]
    about = (
        "Chosen on the calibration period, whose labels were known before these rows, and applied as they stand: "
        "so more or fewer pairs than were meant may lie above one. Costs and budget are settings (judge.cost_missed, "
        "judge.cost_false_positive, judge.budget_share, judge.budget_contacts)."
    )
    header = ("act on pairs by", "from probability", "share of pairs", "precision", "recall", "F1")
    return f"<h3>From where on to act: {escape(label)}</h3>{table(header, rows)}<p>{about}</p>" if rows else ""


def captured(label: str, metrics: Metrics) -> str:
    """The gain: how much of the purchases, and of their value, the best pairs hold."""
    if not metrics.captured:
        return ""
    value = metrics.value_captured or (None,) * len(TOP)
    rows = [(f"{t:.0%}", f"{c:.1%}", number(v, ".1%")) for t, c, v in zip(TOP, metrics.captured, value, strict=True)]
    series = {"purchases": _gain(metrics, metrics.captured, deciles=metrics.lift)}
    if metrics.value_captured:
        series["their value"] = _gain(metrics, metrics.value_captured, deciles=())
    plot = plots.curve(series, f"Gain: {label}", "share of pairs, best first", "share captured", diagonal=True)
    shares = table(("best pairs", "of the purchases", "of their value"), rows)
    return f'<h3>What the best pairs capture</h3>{shares}<div class="plots"><figure>{plot}</figure></div>'


def _gain(metrics: Metrics, shares: tuple[float, ...], deciles: tuple[float, ...]) -> list[plots.Point]:
    """From nothing to the last share that is known: a line beyond it would be made up."""
    points = {0.0: 0.0, **dict(zip(TOP, shares, strict=True))}
    reached = 0.0
    for number_, lift in enumerate(deciles):
        reached += lift / DECILES
        points[round((number_ + 1) / DECILES, 6)] = reached
    return sorted(points.items())


_SHOWN = (
    ("rows", ",.0f"),
    ("positives", ",.0f"),
    ("predicted_over_observed", ".3f"),
    ("roc_auc", ".4f"),
    ("pr_auc", ".4f"),
    ("log_loss", ".5f"),
    ("ece", ".4f"),
)


def slices(name: str, label: str, found: Slices, k: int) -> str:
    """One table of all slices that opens when asked: the champion, and its reference's PR-AUC and log loss."""
    rows = []
    for by in (*(by for by in _SLICED if by in found), *(by for by in found if by not in _SLICED)):
        for slice_, scorers in sorted(found[by].items()):
            mine, other = scorers.get(name, {}), scorers.get(REFERENCE, {})
            figures = (number(mine.get(figure), style) for figure, style in _SHOWN)
            lists = number(mine[recall], ".4f") if (recall := f"recall_at_{k}") in mine else ""
            beside = (number(other.get(figure), style) for figure, style in (("pr_auc", ".4f"), ("log_loss", ".5f")))
            rows.append((_SLICED.get(by, by), slice_, *figures, lists, *beside))
    header = (
        "sliced by",
        "slice",
        "pairs",
        "bought",
        "predicted / observed",
        "ROC-AUC",
        "PR-AUC",
        "log loss",
        "ECE",
        f"recall@{k}",
    )
    held_against = (f"PR-AUC, {REFERENCE}", f"log loss, {REFERENCE}")
    summary = f"<summary>{escape(label)} in slices: {len(rows)}</summary>"
    return f"<details>{summary}{table((*header, *held_against), rows)}</details>" if rows else ""
