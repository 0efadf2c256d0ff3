"""Job: what each way of balancing the training rows does, on the rehearsal of a date: the champion with each, judged alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import BALANCES, BalanceConfig, Config, ModelsConfig
from propensity_spark.errors import TrainingFailed
from propensity_spark.judge import metrics
from propensity_spark.judge.calibrator import Calibrator
from propensity_spark.judge.metrics import Metrics
from propensity_spark.models import trees
from propensity_spark.pipeline import build_features, trials
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.shown import Shown, lines
from propensity_spark.pipeline.trials import Fit, Scored, Trial
from propensity_spark.progress import Progress
from propensity_spark.schemas import IMBALANCE_TRIALS

FOCAL = "focal"
_GAMMA = 2.0  # of the focal loss, where none is configured: that of its source
Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a way of balancing reached: corrected alone, and calibrated as well; `odds`: what there was to correct."""

    odds: float
    seconds: float
    corrected: Metrics
    calibrated: Metrics


def run(spark: SparkSession, config: Config, as_of: date, progress: Progress) -> None:
    """Write the as_of's rows of gold.imbalance_trials, in place of those of an earlier run, and print them.

    A way that cannot be fitted is a row that says why. Raises InsufficientData where the purchases cannot carry a model,
    TrainingFailed where the champion can be fitted in no way.
    """
    moment = build_features.prepare(spark, config, as_of)
    build_features.run(spark, config, moment, progress)
    rehearsal = trials.rehearse(spark, config, moment, progress, balance=way(config.train.balance, "over"))
    asked = _trials(rehearsal)
    fits, problems = trials.fit_what_can_be(rehearsal, asked, progress)
    if not fits:
        name, problem = next(iter(problems.items()))
        raise TrainingFailed(f"{config.models.champion} cannot be fitted with any way of balancing; with {name}: {problem}")
    with progress.stage("calibrate"):
        calibrators = trials.calibrated(rehearsal, fits)
    with progress.stage("test") as stage, trials.scored(spark, rehearsal, fits, calibrators) as scored:
        results = _judge(scored, fits, calibrators, rehearsal.config.train.negative_rate)
        stage.note = f"as of {moment.timeline.rehearsal.score}"
    written = _rows(moment, [trial.name for trial in asked], results, problems)
    trials.write(spark, written, IMBALANCE_TRIALS, as_of)
    progress.say(told(written))


def _trials(rehearsal: trials.Rehearsal) -> list[Trial]:
    """The champion with the log loss on rows balanced in every way, and with the focal loss on rows as they are."""
    config = rehearsal.config
    champion, plain = config.models.champion, with_gamma(config.models, 0.0)
    ways = [(method, way(config.train.balance, method), plain) for method in BALANCES]
    if champion == trees.FAMILY and not config.models.lightgbm.tasks and config.models.lightgbm.engine in ("auto", "native"):
        ways.append((FOCAL, BalanceConfig(), with_gamma(config.models, config.models.lightgbm.focal_gamma or _GAMMA)))
    return [Trial(name=n, family=champion, models=models, features=rehearsal.features, balance=how) for n, how, models in ways]


def way(configured: BalanceConfig, method: str) -> BalanceConfig:
    """A method with what is configured for it."""
    ratio = configured.ratio if method != "none" else 0.0
    return replace(
        BalanceConfig(), method=method, ratio=ratio, **({"neighbours": configured.neighbours} if method == "smote" else {})
    )


def with_gamma(models: ModelsConfig, gamma: float) -> ModelsConfig:
    """The settings with such a focal loss, which one engine alone knows and which stops nothing early; 0: the log loss."""
    alone: dict[str, Any] = {"early_stopping_rounds": 0, "fallback": "none", "engine": "native"} if gamma else {}
    return replace(models, lightgbm=replace(models.lightgbm, focal_gamma=gamma, **alone))


def _judge(scored: Scored, fits: Mapping[str, Fit], calibrators: Mapping[str, Calibrator], rate: float) -> dict[str, Result]:
    good = metrics.evaluate(scored.rows, scored.probabilities)
    before = {name: f"corrected_{name}" for name in fits}
    made = [calibrators[name].corrected.apply(F.col(scored.raw[name])).alias(column) for name, column in before.items()]
    corrected = metrics.evaluate(scored.rows.select("label", "weight", *made), before)
    return {name: Result(fit.odds / rate, fit.seconds, corrected[name], good[name]) for name, fit in fits.items()}


def _rows(moment: Moment, names: Sequence[str], results: Mapping[str, Result], problems: Mapping[str, str]) -> list[Row]:
    """The rows of gold.imbalance_trials."""
    dates, made = (moment.timeline.as_of, moment.timeline.rehearsal.score), list[Row]()
    for place, name in enumerate(names):
        found = _numbers(results[name]) if name in results else {}
        numbers = (None if (value := found.get(column)) is None else float(value) for column in _NUMBERS)
        made.append((*dates, place, name, *numbers, problems.get(name), moment.features.version))
    return made


_NUMBERS = IMBALANCE_TRIALS.columns[4:-2]  # of a way


def _numbers(result: Result) -> dict[str, float | None]:
    """Column -> what the way reached."""
    before, after = result.corrected.flat(), result.calibrated.flat()
    reached = {key: after[key] for key in ("roc_auc", "pr_auc", "log_loss", *_BOTH)}
    corrected = {f"{key}_corrected": before[key] for key in _BOTH}
    return {"odds": result.odds, **reached, **corrected, "fit_seconds": result.seconds}


_BOTH = ("ece", "predicted_over_observed")  # what is told of probabilities that are corrected alone, too


SHOWN = (
    Shown("method", "method", width=8),
    Shown("odds", "odds x", ".2f", 9),
    Shown("roc_auc", "ROC-AUC", ".4f", 9),
    Shown("pr_auc", "PR-AUC", ".4f", 9),
    Shown("log_loss", "log loss", ".5f"),
    Shown("ece_corrected", "ECE corrected", ".5f", 15),
    Shown("ece", "calibrated", ".5f", 12),
    Shown("predicted_over_observed_corrected", "pred/obs corrected", ".3f", 20),
    Shown("predicted_over_observed", "calibrated", ".3f", 12),
)


def told(written: Sequence[Row]) -> str:
    """The rows as a table for people."""
    return lines(IMBALANCE_TRIALS, written, SHOWN)
