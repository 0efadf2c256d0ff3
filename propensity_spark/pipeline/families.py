"""Job: what each model family reaches, on the rehearsal of a date: one fit per family, judged alike, with the baselines."""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import SparkSession

from propensity_spark.config import FAMILIES, Config
from propensity_spark.config.checks import one_of
from propensity_spark.judge.baselines import BASELINES
from propensity_spark.judge.metrics import Metrics
from propensity_spark.judge.ranking import RankingMetrics
from propensity_spark.models.families import installed
from propensity_spark.pipeline import build_features, trials
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.shown import Shown, figures, head, line, named
from propensity_spark.pipeline.trials import Fit, Trial
from propensity_spark.progress import Progress
from propensity_spark.schemas import FAMILY_TRIALS

Row = tuple[object, ...]


def names(chosen: str) -> tuple[str, ...]:
    """The families of a list such as "lightgbm,logistic"; of an empty one all that are installed.

    Raises ConfigError where one is not a family.
    """
    if not chosen:
        return installed()
    asked = tuple(dict.fromkeys(name.strip() for name in chosen.split(",")))
    for name in asked:
        one_of("--families", name, FAMILIES)
    return asked


def run(spark: SparkSession, config: Config, as_of: date, families: Sequence[str], progress: Progress) -> list[Row]:
    """Write the as_of's rows of gold.family_trials, in place of those of an earlier run, print and return them.

    A family that cannot be fitted is a row that says why. Lists are ordered by each family alone, without a ranker.
    Raises InsufficientData where the purchases cannot carry a model.
    """
    moment = build_features.prepare(spark, config, as_of)
    build_features.run(spark, config, moment, progress)
    rehearsal = trials.rehearse(spark, config, moment, progress, families)
    asked = [Trial(name=name, family=name, models=config.models, features=rehearsal.features) for name in families]
    fits, problems = trials.fit_what_can_be(rehearsal, asked, progress)
    with progress.stage("calibrate"):
        calibrators = trials.calibrated(rehearsal, fits, tuple(BASELINES))
    with progress.stage("test") as stage, trials.scored(spark, rehearsal, fits, calibrators) as scored:
        good, lists = scored.judged()
        stage.note = f"as of {moment.timeline.rehearsal.score}"
    written = _rows(moment, (*families, *BASELINES), fits, problems, good, lists)
    trials.write(spark, written, FAMILY_TRIALS, as_of)
    progress.say(told(written))
    return written


def _rows(
    moment: Moment,
    names: Sequence[str],
    fits: Mapping[str, Fit],
    problems: Mapping[str, str],
    good: Mapping[str, Metrics],
    lists: Mapping[str, RankingMetrics],
) -> list[Row]:
    """The rows of gold.family_trials."""
    timeline, made = moment.timeline, list[Row]()
    for place, name in enumerate(names):
        found: list[float | None] = [None] * len(_REACHED)
        if name in good:
            reached = {**good[name].flat(), **lists[name].flat()}
            found = [reached[key] for key in _REACHED]
        took = (fits[name].seconds, fits[name].peak_gib) if name in fits else (None, None)
        numbers = (None if value is None else float(value) for value in (*found, *took))
        dates = (timeline.as_of, timeline.rehearsal.score)
        made.append((*dates, place, name, *numbers, problems.get(name), moment.features.version))
    return made


_REACHED = ("roc_auc", "pr_auc", "log_loss", "ece", "predicted_over_observed", "recall_at_10", "ndcg_at_10")
SHOWN = (
    Shown("family", "family", width=12),
    *figures(*_REACHED),
    Shown("fit_seconds", "fit s", ".1f"),
    Shown("peak_gib", "peak GiB", ".2f"),
)


def told(written: Sequence[Row]) -> str:
    """The rows as a table for people."""
    return "\n".join([head(SHOWN), *map(_line, named(FAMILY_TRIALS, written))])


def told_together(shops: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """The rows of several shops, each by its name, as one table for people."""
    whose = Shown("shop", "shop", width=max(len(name) for name, _ in shops) + 2)
    lines = [f"{whose.placed(name)}{_line(row)}" for name, written in shops for row in named(FAMILY_TRIALS, written)]
    return "\n".join([head([whose, *SHOWN]), *lines])


def _line(row: Mapping[str, object]) -> str:
    """Nothing of a baseline is fitted."""
    return line({**row, "fit_seconds": "", "peak_gib": ""} if row["family"] in BASELINES else row, SHOWN)
