"""The page that a person reads: what came in, how good the scores are, what they rest on. One HTML file, no network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from propensity_spark.judge import closer, gains, plots
from propensity_spark.judge.markup import UNKNOWN, number, share, table
from propensity_spark.judge.metrics import Metrics
from propensity_spark.judge.ranking import RankingMetrics

_STYLE = Path(__file__).with_name("report.css")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One scorer in one period. `truth_gap`: 0 is as good as the simulator's truth, 1 as the best baseline."""

    name: str
    label: str
    is_model: bool
    metrics: Metrics
    ranking: RankingMetrics
    repeat: Metrics | None = None
    new: Metrics | None = None
    truth_gap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A matured as_of and what all scorers did on it; the champion comes first.

    `sure`: the ends of the champion's intervals and its leads (see intervals.told); `slices`: what they are by -> slice ->
    scorer -> figures by name; `rules`: how each threshold was chosen, in words.
    """

    name: str
    as_of: str
    about: str
    scorers: tuple[Scored, ...]
    sure: Mapping[str, float | None] = field(default_factory=dict)
    slices: closer.Slices = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """A table with a heading and a line about it; the cells are text."""

    title: str
    about: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the report says. `problem`: why nothing could be scored; results are left out then.

    `intake`: source, step, reason, rows. `labels`: as_of, use, candidate rows, bought, rate. `importance`: model ->
    (feature, plain words, share). `groups`: what each group of features brings, the first set first, as of
    `groups_as_of`. `listed`: further tables. `scores`: a header row and a sample. `facts` and `timings`: name, value.
    """

    shop: str
    as_of: str
    horizon_days: int
    made_at: str
    verdict: str
    problem: str = ""
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    intake: tuple[tuple[str, str, str, int], ...] = ()
    labels: tuple[tuple[str, str, int, int | None, float | None], ...] = ()
    periods: tuple[Period, ...] = ()
    importance: Mapping[str, tuple[tuple[str, str, float], ...]]
    groups: tuple[gains.Brought, ...] = ()
    groups_as_of: str = ""
    listed: tuple[Listed, ...] = ()
    scores: tuple[tuple[str, ...], ...] = ()
    timings: tuple[tuple[str, float], ...] = ()


def render(page: Page) -> str:
    """The page as one complete HTML document."""
    title = f"Purchase propensities of {page.shop}, as of {page.as_of}"
    body = [f"<h1>{escape(title)}</h1>", _headline(page), _intake(page.intake), _labels(page.labels)]
    body += [_period(period) for period in page.periods]
    body += [
        _importance(page.importance),
        gains.section(page.groups, page.groups_as_of),
        *(_listed(each) for each in page.listed),
        _scores(page.scores),
        _facts(page),
        _glossary() if page.periods else "",
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _headline(page: Page) -> str:
    problem = f'<p class="problem"><b>Nothing was scored.</b> {escape(page.problem[:1].upper() + page.problem[1:])}</p>'
    if not page.verdict:
        return problem
    notes = "".join(f"<li>{escape(note)}</li>" for note in page.notes)
    about = f"Probability that a user buys a product within {page.horizon_days} days from {page.as_of}."
    words = '<a href="#words">Words</a> are explained at the end.' if page.periods else ""
    listed = f'<ul class="notes">{notes}</ul>' if notes else ""
    return f'{problem if page.problem else ""}<p class="verdict">{escape(page.verdict)}</p><p>{escape(about)} {words}</p>{listed}'


def _intake(rows: Sequence[tuple[str, str, str, int]]) -> str:
    if not rows:
        return ""
    received = {source: count for source, step, _, count in rows if step == "received"}
    lines = [
        (source, step, reason, f"{count:,}", share(count / received[source]) if received.get(source) else UNKNOWN)
        for source, step, reason, count in rows
        if count or step in ("received", "accepted")
    ]
    about = "A refused row carries every reason that applies, so that reasons may add up to more than the refused rows."
    header = ("source", "step", "reason", "rows", "share of received")
    return f"<h2>What came in, and what was refused</h2>{table(header, lines)}<p>{about} The rows: silver.events_rejected.</p>"


def _labels(rows: Sequence[tuple[str, str, int, int | None, float | None]]) -> str:
    if not rows:
        return ""
    lines = [(day, use, f"{n:,}", number(bought, ",d"), number(rate, ".3%")) for day, use, n, bought, rate in rows]
    header = ("as of", "used to", "candidate pairs", "bought", "rate")
    return f"<h2>Labels</h2>{table(header, lines)}<p>Sampled negatives are counted by what they stand for.</p>"


@dataclass(frozen=True, slots=True)
class _Figure:
    """A column of the comparison: how to read it from a scorer, how to print it, which end is good (0: neither)."""

    title: str
    read: Callable[[Scored], float | None]
    style: str = ".4f"
    good: int = 1


_FIGURES = (
    _Figure("ROC-AUC", lambda s: s.metrics.roc_auc),
    _Figure("PR-AUC", lambda s: s.metrics.pr_auc),
    _Figure("log loss", lambda s: s.metrics.log_loss, ".5f", -1),
    _Figure("Brier", lambda s: s.metrics.brier, ".5f", -1),
    _Figure("ECE", lambda s: s.metrics.ece, ".5f", -1),
    _Figure("predicted / observed", lambda s: s.metrics.flat()["predicted_over_observed"], ".3f", 0),
)
_LISTS = (
    _Figure("recall", lambda s: s.ranking.recall),
    _Figure("NDCG", lambda s: s.ranking.ndcg),
    _Figure("hit rate", lambda s: s.ranking.hit_rate),
    _Figure("MAP", lambda s: s.ranking.map),
    _Figure("MRR", lambda s: s.ranking.mrr),
    _Figure("catalogue", lambda s: s.ranking.catalogue_coverage, ".1%", 0),
    _Figure("novelty, bits", lambda s: s.ranking.novelty, ".2f", 0),
)
_GAP = _Figure("gap to truth", lambda s: s.truth_gap, ".3f", 0)


def _compare(scorers: Sequence[Scored], figures: Sequence[_Figure]) -> str:
    best = {}
    for x, figure in enumerate(figures):
        values = [(v * figure.good, y) for y, s in enumerate(scorers) if s.name != "truth" and (v := figure.read(s)) is not None]
        best[x + 1] = max(values)[1] if values and figure.good else None
    rows = [(s.label, *(number(f.read(s), f.style) for f in figures)) for s in scorers]
    return table(("scorer", *(f.title for f in figures)), rows, lambda y, x: x > 0 and best[x] == y)


def _probabilities(scorers: Sequence[Scored]) -> str:
    return _compare(scorers, (*_FIGURES, _GAP) if any(s.truth_gap is not None for s in scorers) else _FIGURES)


def _lists(scorers: Sequence[Scored]) -> str:
    return f"<h3>Each user's {scorers[0].ranking.k} best</h3>{_compare(scorers, _LISTS)}"


def _period(period: Period) -> str:
    first, models = period.scorers[0], [s for s in period.scorers if s.is_model]
    ceiling = (
        f"{first.ranking.users:,} users bought in the window. The candidates hold {number(first.ranking.coverage, '.1%')} of what "
        f"they bought; no list of {first.ranking.k} can have a recall above {number(first.ranking.recall_ceiling, '.3f')}. "
        f"Probabilities are judged on {first.metrics.rows:,} pairs, {number(first.metrics.base_rate, '.3%')} of them bought."
    )
    curves = {s.label: s.metrics.roc for s in period.scorers if s.metrics.roc}
    precision = {s.label: s.metrics.precision_recall for s in period.scorers if s.metrics.precision_recall}
    figures = [
        plots.reliability({s.label: s.metrics.reliability for s in models}),
        plots.curve(curves, "ROC", "share of not bought pairs", "share of bought pairs", diagonal=True),
        plots.curve(precision, "Precision and recall", "recall", "precision"),
        plots.columns(first.metrics.lift, f"Lift by decile: {first.label}", "decile, best scores first", "rate / mean rate"),
    ]
    shown = "".join(f"<figure>{figure}</figure>" for figure in figures)
    return (
        f"<h2>{escape(period.name)}, as of {escape(period.as_of)}</h2><p>{escape(period.about)}</p>{_probabilities(period.scorers)}"
        f'{_lists(period.scorers)}<p>{ceiling}</p><div class="plots">{shown}</div>'
        f"{_closer(period)}{_repeat_and_new(period.scorers)}"
    )


def _closer(period: Period) -> str:
    """The champion alone: how sure it is, from where on to act on it, and in which parts of the shop it fails."""
    first = period.scorers[0]
    return (
        closer.how_sure(first.label, {**first.metrics.flat(), **first.ranking.flat()}, period.sure, first.ranking.k)
        + closer.thresholds(first.label, first.metrics, period.rules)
        + closer.captured(first.label, first.metrics)
        + closer.slices(first.name, first.label, period.slices, first.ranking.k)
    )


def _repeat_and_new(scorers: Sequence[Scored]) -> str:
    rows = []
    for scorer in scorers:
        for what, found in (("bought before", scorer.repeat), ("never bought", scorer.new)):
            if found is not None:
                figures = (found.base_rate, found.mean_predicted, found.roc_auc, found.pr_auc, found.log_loss)
                rows.append((scorer.label, what, f"{found.rows:,}", *(number(f, ".4f") for f in figures)))
    header = ("scorer", "pairs", "rows", "bought", "predicted", "ROC-AUC", "PR-AUC", "log loss")
    return f"<h3>Repeat and new products apart</h3>{table(header, rows)}" if rows else ""


def _importance(importance: Mapping[str, Sequence[tuple[str, str, float]]]) -> str:
    if not importance:
        return ""
    most = max((value for rows in importance.values() for _, _, value in rows), default=1.0)  # one scale for all models
    shown = [f"<figure>{_used(model, rows, most)}</figure>" for model, rows in importance.items()]
    about = "The share of what each model uses that a feature has: of what the splits on it gain, or of the weights."
    return f'<h2>The strongest features</h2><p>{about}</p><div class="plots">{"".join(shown)}</div>'


def _used(model: str, rows: Sequence[tuple[str, str, float]], most: float) -> str:
    """The features of a model, strongest first: a bar each, with its name, its share and what it means."""
    lines = [
        f'<dt>{escape(name)} <span>{value:.1%}</span></dt><dd><i style="width:{100 * value / most:.1f}%"></i>{escape(words)}</dd>'
        for name, words, value in rows
    ]
    return f'<h4>{escape(model)}</h4><dl class="used">{"".join(lines)}</dl>'


def _listed(listed: Listed) -> str:
    return f"<h2>{escape(listed.title)}</h2><p>{escape(listed.about)}</p>{table(listed.header, listed.rows)}"


def _scores(scores: Sequence[Sequence[str]]) -> str:
    about = (
        "The list of the user with the highest propensity. Rank follows ranking_score, in which the champion and a model of "
        "orders within lists have a say each: so a propensity need not fall from each rank to the next."
    )
    return f"<h2>A sample of gold.propensity</h2>{table(scores[0], scores[1:])}<p>{about}</p>" if scores else ""


def _facts(page: Page) -> str:
    rows = [*page.facts, ("this page was made at", page.made_at)]
    timings = table(("stage", "seconds"), [(name, f"{seconds:,.1f}") for name, seconds in page.timings]) if page.timings else ""
    return f"<h2>Where it comes from</h2>{table(('what', 'value'), rows)}{timings}"


_WORDS = {
    "pair": "a user and a product that the candidates name for her, at a date; each has a probability",
    "baseline": "what a shop could do without a model; its scores were calibrated as a model's are",
    "ROC-AUC": "how often a bought pair scores above one that was not: 0.5 is chance, 1 perfect",
    "PR-AUC": "mean precision over all depths of the list: the base rate is chance, 1 perfect",
    "log loss": "the price of a probability in nats per pair, smaller is better",
    "Brier": "mean squared error of the probability, smaller is better",
    "ECE": "mean distance of predicted from observed rates over 20 bins of equal size",
    "predicted / observed": "mean probability over the rate that came true: 1 is right",
    "recall": "share of what a user bought that is in her list",
    "NDCG": "the same, where early places count more",
    "hit rate": "share of the buyers with at least one hit in their lists",
    "MAP": "mean precision of a buyer's list down to each of its hits, of the purchases that could be in it",
    "MRR": "mean of 1 / place of the first hit of a buyer's list",
    "catalogue": "share of all products known at the date that are in anybody's list",
    "novelty": "mean of -log2 of a listed product's share of all that was lately bought: 1 more is half as usual",
    "lift": "a tenth's rate of purchases over the mean rate",
    "captured": "share of the purchases that lie in the best so many of the pairs",
    "precision": "share of the pairs above a threshold that were bought; of a list, share of its products that were",
    "F1": "harmonic mean of precision and recall above a threshold, where recall is the share of all bought pairs",
    "covers": "share of what the users bought that lies among the pairs: what is not there cannot be found",
    "gap to truth": "log loss between the simulator's true probabilities (0) and the best baseline (1)",
}


def _glossary() -> str:
    parts = "".join(f"<dt>{escape(word)}</dt><dd>{escape(words)}</dd>" for word, words in _WORDS.items())
    return f'<h2 id="words">Words</h2><dl>{parts}</dl>'
