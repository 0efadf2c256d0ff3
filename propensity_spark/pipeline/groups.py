"""Job: what each group of features brings, on the rehearsal of a date: one fit per set of features, judged alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from propensity_spark.config import FEATURE_GROUPS, Config
from propensity_spark.errors import TrainingFailed
from propensity_spark.features.spec import FIRST, SERIES, Feature
from propensity_spark.judge import bootstrap, ranking
from propensity_spark.judge.bootstrap import Interval
from propensity_spark.judge.metrics import Metrics
from propensity_spark.judge.ranking import RankingMetrics
from propensity_spark.pipeline import build_features, trials
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.shown import Shown, head, line, named
from propensity_spark.pipeline.trials import Fit, Scored, Trial
from propensity_spark.progress import Progress
from propensity_spark.schemas import FEATURE_GAINS
from propensity_spark.trainset.assemble import inputs
from propensity_spark.trainset.sampling import uniform

ALL = "all"
_DRAWS = 300  # samples of users
_ROWS = 3_000_000  # that are brought to the driver for them; beyond, a share of the users
_SALT = 4


@dataclass(frozen=True, slots=True)
class Result:
    """What a set of features reached, and its gains over the first set (None for that one)."""

    fit: Fit
    metrics: Metrics
    ranking: RankingMetrics
    pr_auc: Interval | None
    ndcg: Interval | None


def run(spark: SparkSession, config: Config, as_of: date, progress: Progress) -> None:
    """Write the as_of's rows of gold.feature_gains, and print them; lists are ordered by the champion alone, without a ranker.

    Features of all groups are built, once; the next run of another job builds those that are chosen anew. A set that cannot be
    fitted is a row that says why. Raises InsufficientData where the purchases cannot carry a model, TrainingFailed where none
    can be fitted on the first set, against which gains are.
    """
    config = replace(config, features=replace(config.features, groups=FEATURE_GROUPS))
    moment = build_features.prepare(spark, config, as_of)
    build_features.run(spark, config, moment, progress)
    rehearsal = trials.rehearse(spark, config, moment, progress)
    asked = _trials(rehearsal)
    fits, problems = trials.fit_what_can_be(rehearsal, asked, progress)
    if FIRST not in fits:
        raise TrainingFailed(f"{config.models.champion} cannot be fitted on the first set of features: {problems[FIRST]}")
    with progress.stage("calibrate"):
        calibrators = trials.calibrated(rehearsal, fits)
    with progress.stage("test") as stage, trials.scored(spark, rehearsal, fits, calibrators) as scored:
        results = _judge(scored, fits, config.train.seed)
        stage.note = f"as of {moment.timeline.rehearsal.score}"
    written = _rows(moment, asked, results, problems)
    trials.write(spark, written, FEATURE_GAINS, as_of)
    progress.say(told(written))


def sets(features: Sequence[Feature]) -> dict[str, tuple[Feature, ...]]:
    """The sets of features to be fitted, by the scorer's name: the first, that with each group that adds any, and all."""
    present = {feature.group for feature in features}
    with_each = {group: {FIRST, group} for group in (*FEATURE_GROUPS, SERIES) if group in present}
    wanted = {FIRST: {FIRST}, **with_each, ALL: present}
    return {name: tuple(f for f in features if f.group in groups) for name, groups in wanted.items()}


def title(name: str) -> str:
    """What a set is called in tables."""
    return name if name in (FIRST, ALL) else f"{FIRST} + {name}"


def _trials(rehearsal: trials.Rehearsal) -> list[Trial]:
    """The champion on each set of features, and on what is encoded."""
    models, learnt = rehearsal.config.models, rehearsal.encoders.features
    chosen = sets(inputs(rehearsal.moment.features))
    return [Trial(name=n, family=models.champion, models=models, features=(*own, *learnt)) for n, own in chosen.items()]


def _judge(scored: Scored, fits: Mapping[str, Fit], seed: int) -> dict[str, Result]:
    good, placed = scored.judged()
    pr_auc, ndcg = _intervals(scored, seed)
    return {name: Result(f, good[name], placed[name], pr_auc.get(name), ndcg.get(name)) for name, f in fits.items()}


def _intervals(scored: Scored, seed: int) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """How sure the gains in PR-AUC and NDCG are; of more than _ROWS rows, by a share of the users."""
    ready, truth, probabilities = scored.rows, scored.truth, scored.probabilities
    some = uniform(_SALT, "user_id") < _ROWS / max(ready.count(), 1)
    pairs = _fetched(ready.where(some).select("user_id", "label", *probabilities.values()))
    each = _fetched(ranking.ndcg_of_each(ready.where(some), truth.where(some), scored.raw))
    people = pd.Index(pairs["user_id"].unique())
    user, label = people.get_indexer(pairs["user_id"]), pairs["label"].to_numpy(np.int64)
    buyer = people.get_indexer(each["user_id"])
    curves = {n: bootstrap.average_precision(user, label, pairs[p].to_numpy()) for n, p in probabilities.items()}
    lists = {name: bootstrap.mean_of(buyer, each[name].to_numpy()) for name in scored.raw}
    return tuple(bootstrap.paired(found, FIRST, len(people), _DRAWS, seed) for found in (curves, lists))  # type: ignore[return-value]


def _fetched(rows: DataFrame) -> pd.DataFrame:
    """The rows by Arrow's way: as Python objects, millions of them would not fit."""
    conf, key = rows.sparkSession.conf, "spark.sql.execution.arrow.pyspark.enabled"
    before = conf.get(key) or "false"
    conf.set(key, "true")
    try:
        return rows.toPandas()
    finally:
        conf.set(key, before)


Row = tuple[object, ...]


def _rows(moment: Moment, asked: Sequence[Trial], results: Mapping[str, Result], problems: Mapping[str, str]) -> list[Row]:
    """The rows of gold.feature_gains."""
    dates, made = (moment.timeline.as_of, moment.timeline.rehearsal.score), list[Row]()
    for place, trial in enumerate(asked):
        found = _numbers(results[trial.name], results[FIRST]) if trial.name in results else {}
        numbers = (None if (value := found.get(column)) is None else float(value) for column in _NUMBERS)
        features = results[trial.name].fit.features if trial.name in results else len(trial.features)
        told = (title(trial.name), features, *numbers, problems.get(trial.name))
        made.append((*dates, place, *told, moment.features.version))
    return made


_NUMBERS = FEATURE_GAINS.columns[5:-2]  # of a set


def _numbers(result: Result, first: Result) -> dict[str, float | None]:
    """Column -> what the set reached, and what that is more than on the first set."""
    good, lists = result.metrics, result.ranking
    reached = {**good.flat(), **lists.flat(), "fit_seconds": result.fit.seconds}
    gains = {
        "pr_auc_gain": _gain(good.pr_auc, first.metrics.pr_auc, result.pr_auc),
        "ndcg_gain": _gain(lists.ndcg, first.ranking.ndcg, result.ndcg),
    }
    ends = ("", "_low", "_high")
    return reached | {f"{gain}{end}": value for gain, found in gains.items() for end, value in zip(ends, found, strict=True)}


def _gain(mine: float | None, first: float | None, sure: Interval | None) -> tuple[float | None, float | None, float | None]:
    if mine is None or first is None or sure is None:
        return (None, None, None)
    return (mine - first, sure.low, sure.high)


_SHOWN = (
    Shown("feature_set", "", width=25),
    Shown("features", "n", "d", 5),
    Shown("pr_auc", "PR-AUC", ".4f", 9),
    Shown("ndcg_at_10", "NDCG@10", ".4f", 9),
    Shown("recall_at_10", "recall@10", ".4f"),
    Shown("log_loss", "log loss", ".5f"),
)


def told(written: Sequence[Row]) -> str:
    """The rows as a table for people."""
    lines = [f"{head(_SHOWN)}  {'gain PR-AUC (95 %)':<29}gain NDCG@10 (95 %)"]
    for row in named(FEATURE_GAINS, written):
        gains = (_between(row, "pr_auc_gain"), _between(row, "ndcg_gain"))
        lines.append(f"{line(row, _SHOWN)}  {gains[0]:<29}{gains[1]}".rstrip())
    return "\n".join(lines)


def _between(row: Mapping[str, object], gain: str) -> str:
    values = [row[gain], row[f"{gain}_low"], row[f"{gain}_high"]]
    if any(value is None for value in values):
        return ""
    middle, low, high = (format(value, "+.4f") for value in values)
    return f"{middle} [{low}, {high}]"
