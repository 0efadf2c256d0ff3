"""Trials: fits that differ in one thing (features, family, training rows), on a date's rehearsal, calibrated and judged alike."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from time import monotonic

from pyspark.sql import DataFrame, SparkSession

from propensity_spark import memory, tables
from propensity_spark.config import BalanceConfig, Config, ModelsConfig
from propensity_spark.errors import PropensityError
from propensity_spark.features import encoders
from propensity_spark.features.spec import Feature
from propensity_spark.judge import calibrate, metrics, ranking
from propensity_spark.judge.baselines import KINDS
from propensity_spark.judge.calibrator import Calibrator
from propensity_spark.judge.metrics import Metrics
from propensity_spark.judge.ranking import RankingMetrics
from propensity_spark.judge.task import Task
from propensity_spark.models import watchdog
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.fast import Scorer
from propensity_spark.pipeline import fitting, judging, learning, rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.parts import Parts, bounded, rehearsed
from propensity_spark.progress import Progress
from propensity_spark.schemas import Table
from propensity_spark.trainset.assemble import inputs
from propensity_spark.trainset.balance import balance

_LONGEST = 300  # characters of a problem


def unchanged(period: DataFrame) -> DataFrame:
    """The training rows as they are."""
    return period


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One fit to be judged: a family on some features.

    `name` is its scorer's: letters, digits and _. `prepare` makes its training rows from those of the rehearsal (label, weight,
    keys and all inputs) and keeps their order, on which a fit may depend: it may leave rows out, add some, or weigh them
    (contract.LEARN_WEIGHT). They are then balanced as `balance` says (None: as configured), by all inputs that there are.
    Rows that calibrate and test stay as they are.
    """

    name: str
    family: str
    models: ModelsConfig
    features: tuple[Feature, ...]
    prepare: Callable[[DataFrame], DataFrame] = unchanged
    balance: BalanceConfig | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """A trial's model, the seconds that it took, and the most memory that this machine's processes of ours held meanwhile.

    `models`: the settings; `odds`: how many times as high balancing made the odds in the rows that it learnt from.
    """

    features: int
    scorer: Scorer
    models: ModelsConfig
    odds: float
    seconds: float
    peak_gib: float | None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What all trials share: the rows of a date's rehearsal and the encoders learnt from them."""

    config: Config
    moment: Moment
    parts: Parts
    encoders: encoders.Fitted

    @property
    def features(self) -> tuple[Feature, ...]:
        """Every input that there is: features and encoded columns."""
        return (*inputs(self.moment.features), *self.encoders.features)


@dataclass(frozen=True, slots=True)
class Scored:
    """All candidates of the test date: per scorer a raw score and a probability, beside what was bought (`truth`)."""

    rows: DataFrame
    truth: DataFrame
    raw: Mapping[str, str]
    probabilities: Mapping[str, str]

    def judged(self) -> tuple[dict[str, Metrics], dict[str, RankingMetrics]]:
        """How good the probabilities and the lists of each scorer are; lists are in the order of its raw score."""
        return metrics.evaluate(self.rows, self.probabilities), ranking.per_user(self.rows, self.truth, self.raw)


def rehearse(
    spark: SparkSession,
    config: Config,
    moment: Moment,
    progress: Progress,
    families: Sequence[str] = (),
    balance: BalanceConfig | None = None,
) -> Rehearsal:
    """The rows that `train` rehearses with, for trials of these families (none named: of the champion).

    `balance`: of the trials the one that makes the most rows (None: all are balanced as train.balance says).
    Raises InsufficientData where the purchases cannot carry a model.
    """
    families = families or (config.models.champion,)
    config = bounded(spark, config, moment, progress, families, balance=balance)
    with progress.stage("training rows") as stage:
        parts = rehearsed(spark, config, moment, families)
        stage.rows_out = parts.rows.count()
    return Rehearsal(config, moment, parts, fitting.fit_encoders(config, parts.train, parts.procedure.train, progress))


def fit_what_can_be(rehearsal: Rehearsal, trials: Sequence[Trial], progress: Progress) -> tuple[dict[str, Fit], dict[str, str]]:
    """The models by name, and of the trials that failed why, in one line."""
    period = rehearsal.encoders.out_of_fold(rehearsal.parts.train)
    fits, problems = dict[str, Fit](), dict[str, str]()
    for trial in trials:
        try:
            fits[trial.name] = _fit(rehearsal, trial, period, progress)
        except Exception as problem:  # whatever it is, the others are worth having
            problems[trial.name] = in_one_line(problem)
            progress.say(f"  fit {trial.name} failed: {problems[trial.name]}")
    return fits, problems


def in_one_line(problem: Exception) -> str:
    """What went wrong, without its trace."""
    kind = problem.code if isinstance(problem, PropensityError) else type(problem).__name__
    line = f"{kind}: {watchdog.beginning(str(problem))}"
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _fit(rehearsal: Rehearsal, trial: Trial, period: DataFrame, progress: Progress) -> Fit:
    settings, learnt = rehearsal.config.train, rehearsal.encoders
    with progress.stage(f"fit {trial.name}") as stage, memory.watched() as peak:
        begun = monotonic()
        how = trial.balance or settings.balance
        balanced = balance(trial.prepare(period), rehearsal.features, how, settings.seed, learnt.together)
        fitted = FAMILIES[trial.family](balanced.rows, trial.features, trial.models, settings.seed)
        scorer = replace(fitted.scorer, name=trial.name)
        made = Fit(len(scorer.inputs), scorer, trial.models, balanced.odds, monotonic() - begun, peak.gib)
        stage.note = f"{made.features} features"
    return replace(made, peak_gib=peak.gib)


def calibrated(rehearsal: Rehearsal, fits: Mapping[str, Fit], baselines: Sequence[str] = ()) -> dict[str, Calibrator]:
    """The calibrators of models and baselines by name, from the held users."""
    tasks = {name: learning.task_of(rehearsal.config, fit.models, fit.scorer, fit.odds) for name, fit in fits.items()}
    tasks |= {name: Task(score=name, kind=KINDS[name]) for name in baselines}
    return calibrate.fit_all(_raw(rehearsal, rehearsal.parts.calibrate, rehearsal.parts.procedure.calibrate, fits), tasks)


def _raw(rehearsal: Rehearsal, period: DataFrame, as_of: date, fits: Mapping[str, Fit]) -> DataFrame:
    popular = judging.most_popular(period.sparkSession)
    pairs = judging.with_segment(rehearsal.config, period, as_of)
    return judging.scored(rehearsal.encoders.transform(pairs), [fit.scorer for fit in fits.values()], popular)


@contextmanager
def scored(
    spark: SparkSession, rehearsal: Rehearsal, fits: Mapping[str, Fit], calibrators: Mapping[str, Calibrator]
) -> Iterator[Scored]:
    """The test date's candidates, scored by every calibrated model and baseline; the rows are kept until the block ends."""
    as_of = rehearsal.moment.timeline.rehearsal.score
    raw = judging.calibrated_columns(calibrators)
    probabilities = {name: f"p_{name}" for name in raw}
    everything = _raw(rehearsal, rows.of_dates(spark, rehearsal.moment, [as_of]), as_of, fits)
    told = judging.with_probabilities(everything, calibrators)
    ready = told.select("user_id", "product_id", "label", "weight", *raw.values(), *probabilities.values()).persist()
    try:
        yield Scored(ready, judging.purchases(spark, rehearsal.config, rehearsal.moment, as_of), raw, probabilities)
    finally:
        ready.unpersist()


def write(spark: SparkSession, written: Sequence[tuple[object, ...]], table: Table, as_of: date) -> None:
    """Put the rows in place of the table's former ones of the date."""
    frame = spark.createDataFrame(list(written), table.ddl).coalesce(1)
    tables.replace(frame, table.name, f"as_of = DATE'{as_of}'")
