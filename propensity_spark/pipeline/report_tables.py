"""Tables of the report that other jobs left in gold, as text for people: what candidates bring, families, ways of balancing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession

from propensity_spark import tables
from propensity_spark.judge.markup import number
from propensity_spark.judge.report import Listed
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.schemas import CANDIDATE_SOURCES, FAMILY_TRIALS, IMBALANCE_TRIALS, Table


@dataclass(frozen=True, slots=True)
class _Shown:
    """A table in gold as a table of the page: (column, heading, how a number is printed; empty: as text)."""

    table: Table
    title: str
    about: str
    columns: tuple[tuple[str, str, str], ...]
    order: str


_FIGURES = (("roc_auc", "ROC-AUC", ".4f"), ("pr_auc", "PR-AUC", ".4f"), ("log_loss", "log loss", ".5f"))
_SOURCES = _Shown(
    CANDIDATE_SOURCES,
    "Where candidates come from",
    "Pairs of the test date by source, and the share of all purchases of the scored users that each covers; alone: what no other "
    "source has, and would be lost without it.",
    (
        ("source", "source", ""),
        ("pairs", "pairs", ",d"),
        ("pairs_alone", "alone", ",d"),
        ("purchases", "bought", ",d"),
        ("purchases_alone", "alone", ",d"),
        ("covered", "covers", ".1%"),
        ("covered_alone", "alone", ".1%"),
    ),
    "source",
)
_FAMILIES = _Shown(
    FAMILY_TRIALS,
    "Model families",
    "Each family fitted on the same rows, calibrated and tested alike (propensity families); lists by the family alone.",
    (
        ("family", "family", ""),
        *_FIGURES,
        ("ece", "ECE", ".5f"),
        ("predicted_over_observed", "predicted / observed", ".3f"),
        ("recall_at_10", "recall@10", ".4f"),
        ("ndcg_at_10", "NDCG@10", ".4f"),
        ("fit_seconds", "fit, s", ".0f"),
        ("peak_gib", "peak, GiB", ".1f"),
        ("problem", "problem", ""),
    ),
    "place",
)
_BALANCING = _Shown(
    IMBALANCE_TRIALS,
    "Ways of balancing the training rows",
    "The champion with each way (propensity imbalance): what sampling and balancing added to the odds is undone exactly "
    "(corrected), then calibrated.",
    (
        ("method", "method", ""),
        ("odds", "odds x", ".2f"),
        *_FIGURES,
        ("ece_corrected", "ECE corrected", ".5f"),
        ("ece", "ECE calibrated", ".5f"),
        ("predicted_over_observed_corrected", "predicted / observed corrected", ".3f"),
        ("predicted_over_observed", "calibrated", ".3f"),
        ("fit_seconds", "fit, s", ".0f"),
    ),
    "place",
)


def found(spark: SparkSession, moment: Moment) -> tuple[Listed, ...]:
    """Those that have rows for the moment's date, in order; the sources are those of its test date."""
    dates = ((_SOURCES, moment.timeline.rehearsal.score), (_FAMILIES, moment.timeline.as_of), (_BALANCING, moment.timeline.as_of))
    return tuple(listed for shown, day in dates if (listed := _listed(spark, shown, str(day))) is not None)


def _listed(spark: SparkSession, shown: _Shown, day: str) -> Listed | None:
    if not tables.exists(spark, shown.table.name):
        return None
    rows = tables.read(spark, shown.table.name, f"as_of = DATE'{day}'").orderBy(shown.order).collect()  # a few
    header = [heading for _, heading, _ in shown.columns]
    return Listed(shown.title, shown.about, header, [_line(row.asDict(), shown.columns) for row in rows]) if rows else None


def _line(row: Mapping[str, Any], columns: Sequence[tuple[str, str, str]]) -> list[str]:
    return [number(row[name], style) if style else row[name] or "" for name, _, style in columns]
