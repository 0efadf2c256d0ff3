"""What judging found, as plain values: read again as metrics, flattened to named numbers, and written."""

from datetime import date
from typing import Any

from pyspark.sql import SparkSession

from propensity_spark import tables
from propensity_spark.judge import metrics, ranking
from propensity_spark.judge.baselines import BASELINES
from propensity_spark.judge.slices import NEW, REPEAT
from propensity_spark.schemas import CANDIDATE_SOURCES, METRIC_SLICES, METRICS

TRUTH = "truth"
INTERVALS, SLICES, SOURCES = "intervals", "slices", "sources"
Judged = dict[str, dict[str, dict[str, Any]]]


def typed(judged: Judged) -> dict[str, dict[str, Any]]:
    """What `judge` returned, as Metrics and RankingMetrics again; what older runs lack (intervals, slices, sources) stays plain."""
    made: dict[str, dict[str, Any]] = {part: judged.get(part, {}) for part in (INTERVALS, SLICES, SOURCES)}
    for part, each in judged.items():
        if part in made:
            continue
        kind = ranking.RankingMetrics if part == "ranking" else metrics.from_plain
        made[part] = {name: kind(**values) for name, values in each.items()}
    return made


def of_scorers(judged: Judged) -> dict[str, dict[str, float | None]]:
    """Scorer -> every single number about it; those of repeat and new pairs carry the part as a prefix."""
    results, made = typed(judged), dict[str, dict[str, float | None]]()
    for name, result in results["metrics"].items():
        flat = {**result.flat(), **results["ranking"][name].flat(), **results[INTERVALS].get(name, {})}
        for part in (REPEAT, NEW):
            if name in results[part]:
                flat |= {f"{part}_{metric}": value for metric, value in results[part][name].flat().items()}
        made[name] = flat
    if TRUTH in made:
        _hold_against_truth(made)
    return made


def _hold_against_truth(figures: dict[str, dict[str, float | None]]) -> None:
    """Add truth_gap: 0 is as good as the truth, 1 as good as the best baseline, in log loss."""
    losses = {name: flat["log_loss"] for name, flat in figures.items()}
    known = {name: loss for name, loss in losses.items() if loss is not None}
    baselines = [known[name] for name in BASELINES if name in known]
    if TRUTH not in known or not baselines or min(baselines) <= known[TRUTH]:
        return
    reach = min(baselines) - known[TRUTH]
    for name, loss in known.items():
        figures[name]["truth_gap"] = (loss - known[TRUTH]) / reach


def write(spark: SparkSession, judged: Judged, as_of: date, period: str, run_id: str) -> None:
    """Replace the period's rows of gold.metric_slices and gold.metrics, and the date's of gold.candidate_sources."""
    _write_slices(spark, judged, as_of, period, run_id)
    _write_sources(spark, judged, as_of, run_id)
    rows = [
        (as_of, period, scorer, metric, None if value is None else float(value), run_id)
        for scorer, flat in of_scorers(judged).items()
        for metric, value in flat.items()
    ]
    frame = spark.createDataFrame(rows, METRICS.ddl).coalesce(1)
    tables.replace(frame, METRICS.name, f"as_of = DATE'{as_of}' AND period = '{period}'")


def _write_slices(spark: SparkSession, judged: Judged, as_of: date, period: str, run_id: str) -> None:
    rows = [
        (as_of, period, scorer, by, key, metric, None if value is None else float(value), run_id)
        for by, each in judged[SLICES].items()
        for key, scorers in each.items()
        for scorer, flat in scorers.items()
        for metric, value in flat.items()
    ]
    frame = spark.createDataFrame(rows, METRIC_SLICES.ddl).coalesce(1)
    tables.replace(frame, METRIC_SLICES.name, f"as_of = DATE'{as_of}' AND period = '{period}'")


def _write_sources(spark: SparkSession, judged: Judged, as_of: date, run_id: str) -> None:
    columns = CANDIDATE_SOURCES.columns[2:-1]
    rows = [(as_of, name, *(source[column] for column in columns), run_id) for name, source in judged[SOURCES].items()]
    frame = spark.createDataFrame(rows, CANDIDATE_SOURCES.ddl).coalesce(1)
    tables.replace(frame, CANDIDATE_SOURCES.name, f"as_of = DATE'{as_of}'")


def logged(judged: Judged, period: str) -> dict[str, float]:
    """The numbers as MLflow metrics: <period>_<scorer>_<metric>; unknown ones are left out."""
    return {
        f"{period}_{scorer}_{metric}": float(value)
        for scorer, flat in of_scorers(judged).items()
        for metric, value in flat.items()
        if value is not None
    }
