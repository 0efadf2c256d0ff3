"""Tables of the report that other jobs left in gold: what candidates and groups bring, families, ways of balancing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.judge.gains import Brought, Change
from propensity_spark.judge.report import Listed
from propensity_spark.pipeline import families, imbalance
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.shown import Shown
from propensity_spark.schemas import CANDIDATE_SOURCES, FAMILY_TRIALS, FEATURE_GAINS, IMBALANCE_TRIALS, Table


@dataclass(frozen=True, slots=True)
class _Listing:
    """A table in gold as a table of the page."""

    table: Table
    title: str
    about: str
    columns: tuple[Shown, ...]
    order: tuple[str, ...] = ("place",)  # SQL


_SOURCES = _Listing(
    CANDIDATE_SOURCES,
    "Where candidates come from",
    "Pairs of the test date by source, and the share of all purchases of the scored users that each covers; alone: what no other "
    "source has, and would be lost without it.",
    (
        Shown("source", "source"),
        Shown("pairs", "pairs", ",d"),
        Shown("pairs_alone", "pairs alone", ",d"),
        Shown("purchases", "bought", ",d"),
        Shown("purchases_alone", "bought alone", ",d"),
        Shown("covered", "covers", ".1%"),
        Shown("covered_alone", "covers alone", ".1%"),
    ),
    ("source != 'all'", "-purchases", "source"),
)
_FAMILIES = _Listing(
    FAMILY_TRIALS,
    "Model families",
    "Each family fitted on the same rows, calibrated and tested alike (propensity families); lists by the family alone.",
    (*families.SHOWN, Shown("problem", "problem")),
)
_BALANCING = _Listing(
    IMBALANCE_TRIALS,
    "Ways of balancing the training rows",
    "The champion with each way (propensity imbalance): what sampling and balancing added to the odds is undone exactly "
    "(corrected), then calibrated.",
    (*imbalance.SHOWN, Shown("problem", "problem")),
)


def found(spark: SparkSession, moment: Moment) -> tuple[Listed, ...]:
    """Those that have rows for the moment's date, in order; the sources are those of its test date."""
    sources = f"as_of = DATE'{moment.timeline.rehearsal.score}'"
    wanted = ((_SOURCES, sources), (_FAMILIES, _tried(moment)), (_BALANCING, _tried(moment)))
    return tuple(listed for shown, where in wanted if (listed := _listed(spark, shown, where)) is not None)


def _tried(moment: Moment) -> str:
    """Which rows are of the date's trials, in SQL: the date of the test too, for those of another horizon were tested elsewhere."""
    return f"as_of = DATE'{moment.timeline.as_of}' AND test_as_of = DATE'{moment.timeline.rehearsal.score}'"


def _listed(spark: SparkSession, shown: _Listing, where: str) -> Listed | None:
    if not tables.exists(spark, shown.table.name):
        return None
    rows = tables.read(spark, shown.table.name, where).orderBy(*map(F.expr, shown.order)).collect()  # a few
    header = [column.heading for column in shown.columns]
    empty = dict.fromkeys(shown.table.columns)  # a table that an earlier version wrote may lack some of them
    lines = [[column.cell({**empty, **row.asDict()}) for column in shown.columns] for row in rows]
    return Listed(shown.title, shown.about, header, lines) if lines else None


def groups(spark: SparkSession, moment: Moment) -> tuple[Brought, ...]:
    """What `propensity groups` found for the date, where it ran."""
    if not tables.exists(spark, FEATURE_GAINS.name):
        return ()
    rows = tables.read(spark, FEATURE_GAINS.name, _tried(moment)).orderBy("place")
    return tuple(_brought(row.asDict()) for row in rows.collect())  # a row per group


def _brought(row: Mapping[str, Any]) -> Brought:
    return Brought(
        name=row["feature_set"],
        features=row["features"],
        pr_auc=row["pr_auc"],
        log_loss=row["log_loss"],
        roc_auc=row["roc_auc"],
        recall=row["recall_at_10"],
        ndcg=row["ndcg_at_10"],
        ece=row["ece"],
        seconds=row["fit_seconds"],
        problem=row.get("problem") or "",  # a table that an earlier version wrote may lack it
        pr_auc_gain=_change(row, "pr_auc_gain"),
        ndcg_gain=_change(row, "ndcg_gain"),
    )


def _change(row: Mapping[str, Any], gain: str) -> Change | None:
    value, low, high = (row[f"{gain}{end}"] for end in ("", "_low", "_high"))
    return None if value is None else Change(value=value, low=low, high=high)
