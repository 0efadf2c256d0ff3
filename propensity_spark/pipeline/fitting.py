"""One procedure's fits: models without the users who calibrate, calibrated on those, and the same models fitted on everybody.

The newest labels are worth the most, so that who calibrates shall teach as well. Where train.refit is on, each family is fitted
once more, on all rows, and takes the curve of the first fit: same settings, same design, a tenth more rows or so. That the curve
fits the second as well as the first is not taken for granted: the rehearsal's test judges the second with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from pyspark.sql import DataFrame

from propensity_spark.config import Config
from propensity_spark.errors import FitRefused, NothingLearnt, TrainingFailed
from propensity_spark.features import encoders
from propensity_spark.judge import band, buckets, calibrate, intervals, thresholds
from propensity_spark.judge.baselines import KINDS
from propensity_spark.judge.calibrator import Calibrator
from propensity_spark.judge.task import Task
from propensity_spark.models import watchdog
from propensity_spark.models.contract import Fitted
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.fast import Scorer
from propensity_spark.models.ranker import fit_ranker
from propensity_spark.pipeline import judging, learning
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.parts import Parts
from propensity_spark.progress import Progress
from propensity_spark.trainset.assemble import inputs


@dataclass(frozen=True, slots=True)
class Trained:
    """One procedure's encoders, models and ranker, all scorers' calibrators, and the champion's thresholds by rule.

    `odds`: how many times as high balancing made the odds in the rows that the models learnt from. `failed`: the families that
    could not be fitted, and why.
    """

    encoders: encoders.Fitted
    models: dict[str, Fitted]
    ranker: Scorer | None
    odds: float
    calibrators: dict[str, Calibrator]
    thresholds: dict[str, float]
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def scorers(self) -> list[Scorer]:
        """The models as values, the ranker last."""
        return [*(fitted.scorer for fitted in self.models.values()), *([self.ranker] if self.ranker else [])]


@dataclass(frozen=True, slots=True)
class Fits:
    """The same models fitted twice, not calibrated yet: `apart` without the users who calibrate, `whole` on all rows, with the
    ranker. Where train.refit is off `whole` is `apart` with the ranker."""

    apart: Trained
    whole: Trained

    @property
    def failed(self) -> Mapping[str, str]:
        """The families that neither holds, since one of both fits could not be made, and why."""
        return {**self.apart.failed, **self.whole.failed}


def fit(config: Config, moment: Moment, parts: Parts, what: str, progress: Progress, needed: str = "") -> Fits:
    """The procedure's encoders, models and ranker; `what` names it in the progress.

    A ranker learns from all rows in any case: its scores are not calibrated. Where lists have nothing to tell it (a shop of one
    product) there is none, and the champion orders them.

    A family that cannot be fitted is told and left out. Raises TrainingFailed where none can be, or the one that is `needed`;
    FitRefused where a setting of any is at fault.
    """
    apart = _fit(config, moment, parts, parts.train, f"{what}, some users left out", progress, needed)
    whole = apart
    if config.train.refit:
        whole = _fit(config.with_only(apart.models), moment, parts, parts.rows, what, progress, needed)
        apart = replace(apart, models={family: apart.models[family] for family in whole.models})
    if not config.models.ranker.rounds:
        return Fits(apart, whole)
    with progress.stage("fit ranker") as stage:
        made = (*inputs(moment.features), *whole.encoders.features)
        try:
            ranker = fit_ranker(whole.encoders.out_of_fold(parts.rows), made, config.models, config.train.seed)
        except NothingLearnt:
            ranker, stage.note = None, "none: within the users' lists nothing tells what is bought; the champion orders them"
    return Fits(apart, replace(whole, ranker=ranker))


def _fit(config: Config, moment: Moment, parts: Parts, taught: DataFrame, what: str, progress: Progress, needed: str) -> Trained:
    models, failed, dates = dict[str, Fitted](), dict[str, TrainingFailed](), parts.procedure.train
    learnt = fit_encoders(config, taught, dates, progress)
    made = (*inputs(moment.features), *learnt.features)
    balanced = learning.balanced(config, taught, learnt, made, progress)
    for family in config.models.families:
        try:
            with progress.stage(f"fit {family}") as stage:
                models[family] = FAMILIES[family](balanced.rows, made, config.models, config.train.seed)
                stage.note = "; ".join([f"{what}: {', '.join(map(str, dates))}", *filter(None, [models[family].note])])
        except FitRefused:
            raise
        except TrainingFailed as problem:
            if family == needed:
                raise
            failed[family] = problem
            progress.say(f"  fit {family} failed, {what}: {_in_one_line(problem)}")
    if not models:
        raise next(iter(failed.values()))
    told = {family: _in_one_line(problem) for family, problem in failed.items()}
    return Trained(learnt, models, None, balanced.odds, {}, {}, told)


def _in_one_line(problem: TrainingFailed) -> str:
    return watchdog.beginning(str(problem)).rstrip(".")


def fit_encoders(config: Config, taught: DataFrame, dates: Sequence[date], progress: Progress) -> encoders.Fitted:
    """The configured encoders, learnt from the rows of these dates that the models learn from."""
    if not config.encoders:
        return encoders.Fitted()
    with progress.stage("fit encoders") as stage:
        learnt = encoders.fit(taught, config.encoders, dates, config.train.seed)
        stage.note = f"{len(learnt.features)} columns from {', '.join(encoder.column for encoder in config.encoders)}"
    return learnt


def calibrated(config: Config, fits: Fits, parts: Parts, popular: float, progress: Progress) -> Trained:
    """What scores: the whole fit, with the curves and the thresholds that the users left out gave the other one."""
    with progress.stage("calibrate") as stage:
        told = _calibrate(config, fits.apart, parts, popular)
        stage.note = ", ".join(f"{name} by {told.calibrators[name].described}" for name in told.models)
    tasks = _tasks(config, fits.whole)
    curves = {name: handed_on(curve, tasks[name]) for name, curve in told.calibrators.items()}
    return replace(fits.whole, calibrators=curves, thresholds=told.thresholds)


def handed_on(curve: Calibrator, task: Task) -> Calibrator:
    """The curve that one fit was given for another of the same design, on other rows: `task` is the other one's.

    What balancing did to the odds is undone exactly, and it may have done more or less to other rows. Not so of a margin: it
    weighs both classes itself, and has no odds that balancing could move.
    """
    return curve if task.is_margin else replace(curve, shift=task.shift)


def _calibrate(config: Config, trained: Trained, parts: Parts, popular: float) -> Trained:
    tasks = _tasks(config, trained)
    pairs = judging.with_segment(config, parts.calibrate, parts.procedure.calibrate)
    scored = judging.scored(trained.encoders.transform(pairs), trained.scorers, popular)
    found = buckets.collect(scored, tasks, judging.price(scored))
    calibrators, champion = calibrate.fit_buckets(found, tasks), config.models.champion
    levels = thresholds.levels(found, champion, calibrators[champion])
    if tasks[champion].blocks:
        times = intervals.drawn(tasks[champion].blocks, config.calibration.draws, config.train.seed)
        calibrators[champion] = band.fit(
            found, champion, calibrators[champion], tasks[champion], times, config.calibration.interval
        )
    return replace(trained, calibrators=calibrators, thresholds=thresholds.choose(levels, config.judge, parts.share))


def _tasks(config: Config, trained: Trained) -> dict[str, Task]:
    """What to calibrate: models and baselines; of the champion it is asked as well how sure its levels are."""
    families, tasks = list(trained.models), dict[str, Task]()
    for name, column in judging.score_columns(families).items():
        if name in families:
            tasks[name] = learning.task_of(config, config.models, trained.models[name].scorer, trained.odds)
        else:
            tasks[name] = Task(score=column, kind=KINDS[name])
    if config.calibration.draws:
        tasks[config.models.champion] = replace(tasks[config.models.champion], blocks=config.judge.blocks)
    return tasks
