"""Job: search a family's settings by time-based validation, each trial an MLflow child run, within a budget; resumable.

Only dates that the rehearsal trains on take part, so that what the run's test judges stays unseen by the search too.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config, ModelsConfig
from propensity_spark.errors import ConfigError, SetupError, TrainingFailed
from propensity_spark.features import encoders
from propensity_spark.features.spec import Feature
from propensity_spark.judge import metrics
from propensity_spark.models import fast
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.spaces import Parameter, present, space, with_values
from propensity_spark.pipeline import learning
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.parts import bounded, learnt_rows
from propensity_spark.progress import Progress
from propensity_spark.schemas import CANDIDATES
from propensity_spark.serve import store
from propensity_spark.trainset.assemble import inputs
from propensity_spark.trainset.balance import Balanced
from propensity_spark.trainset.folds import Fold, folds
from propensity_spark.trainset.sampling import uniform

FILE = "tuned.yaml"
_KEEP = ("label", "weight")
_SALT = 6
_SHOWN = 5
_DIGITS = 9  # characters of a number with four digits that count, as 0.0001234
_LOWER_IS_BETTER = {"log_loss": True, "pr_auc": False}


@dataclass(frozen=True, slots=True)
class Part:
    """A fold's rows, with its own encoders' columns and balanced as configured, and the inputs that models take from them."""

    fold: Fold
    train: Balanced
    validate: DataFrame
    features: tuple[Feature, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched: the family, its settings, and the folds."""

    family: str
    searched: tuple[Parameter, ...]
    parts: tuple[Part, ...]


def check(config: Config) -> None:
    """See that there is something to search, and that it can be kept, before rows are made. Raises as `run` does."""
    _optuna()
    _storage(config)
    space(config.models, family_of(config), config.tune.parameters)


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> None:
    """Search until the budget or the trials are used up, print the best and write them to tuned.yaml in the warehouse.

    Raises SetupError where optuna is absent, InsufficientData where no fold can be cut, ConfigError for an unknown setting
    and where no place is named for the search.
    """
    optuna = _optuna()
    config = bounded(spark, config, moment, progress, [family_of(config)])
    with progress.stage("training rows") as stage:
        search = _search(spark, config, moment)
        stage.note = "; ".join(_named(part.fold) for part in search.parts)
    study = _study(optuna, config, moment, search, _common(spark, config, search))
    _offer_present(study, config, search)
    with progress.stage(f"tune {search.family}") as stage:
        _optimise(optuna, study, config, moment, search)
        given_up = sum(trial.state.name == "PRUNED" for trial in study.trials)
        stage.note = f"{len(_finished(study))} trials on all folds, {given_up} given up after a fold"
    if not _finished(study):
        raise TrainingFailed(
            f"none of {len(study.trials)} trials ended well. Their MLflow runs say why; tune.budget_minutes may be short."
        )
    progress.say(told(study, config, search))
    _write(config, search.family, study.best_params)
    progress.say(f"the best settings: {config.storage.folder / FILE}; use them with --config")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise SetupError("tuning needs optuna: pip install 'propensity_spark[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _search(spark: SparkSession, config: Config, moment: Moment) -> Search:
    tune, family = config.tune, family_of(config)
    width = tune.width if tune.history == "sliding" else None
    cut = folds(moment.timeline.rehearsal.train, config.labels.horizon_days, tune.folds, width)
    searched = space(config.models, family, tune.parameters)
    dates = sorted({day for fold in cut for day in (*fold.train, fold.validate)})
    rows = learnt_rows(spark, config, moment, dates, [family])
    some = rows.where(uniform(config.train.seed + _SALT, "user_id") < tune.share)
    return Search(family, searched, tuple(_part(config, moment, some, fold) for fold in cut))


def family_of(config: Config) -> str:
    return config.tune.family or config.models.champion


def _part(config: Config, moment: Moment, rows: DataFrame, fold: Fold) -> Part:
    learnt, validate = rows.where(F.col("as_of").isin(list(fold.train))), rows.where(F.col("as_of") == fold.validate)
    made = encoders.Fitted()
    if config.encoders:
        made = encoders.fit(learnt, config.encoders, fold.train, config.train.seed)
    features = (*inputs(moment.features), *made.features)
    balanced = learning.balanced(config, learnt, made, features, Progress(quiet=True))
    return Part(fold, balanced, made.transform(validate), features)


def _named(fold: Fold) -> str:
    return f"{fold.validate} after {', '.join(map(str, fold.train))}"


def _common(spark: SparkSession, config: Config, search: Search) -> str:
    """A digest of rows, folds and settings that are not searched: trials that differ in one of them cannot be compared."""
    fixed = with_values(config.models, search.family, {parameter.name: parameter.low for parameter in search.searched})
    folds_ = [_named(part.fold) for part in search.parts]
    names = [parameter.name for parameter in search.searched]
    parts = (tables.last_note(spark, CANDIDATES.name), config.train, config.encoders, fixed, config.tune.share, folds_, names)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _storage(config: Config) -> str:
    if not config.tune.storage and not config.storage.is_here:
        raise ConfigError("tune.storage must be a database's address where the tables are not here, e.g. sqlite:///tuning.db")
    return config.tune.storage or f"sqlite:///{Path(config.storage.warehouse).absolute()}/tuning.db"


def _study(optuna: Any, config: Config, moment: Moment, search: Search, common: str) -> Any:
    """The search as it was left, or a new one: its name hangs on all that its trials have in common."""
    name = f"{config.shop.name} {moment.timeline.as_of} {search.family} {config.tune.figure} {common}"
    direction = "minimize" if _LOWER_IS_BETTER[config.tune.figure] else "maximize"
    study = optuna.create_study(storage=_storage(config), study_name=name, direction=direction, load_if_exists=True)
    # a seed that moves on with the trials: a search that goes on must not draw what it has drawn already
    study.sampler = optuna.samplers.TPESampler(seed=config.train.seed + len(study.trials), n_startup_trials=10)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):  # a killed search left it
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _offer_present(study: Any, config: Config, search: Search) -> None:
    """The next trial is what the configuration says now, unless that was tried or no trial is left: the best is then no worse."""
    now = present(config.models, search.family, search.searched)
    tried = [trial.params for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    waiting = [trial.system_attrs.get("fixed_params") for trial in study.trials if trial.state.name == "WAITING"]
    if now and now not in (*tried, *waiting) and _left(study, config):
        study.enqueue_trial(now)


def _left(study: Any, config: Config) -> int:
    """How many trials of those that may be made have not been."""
    ended: int = sum(trial.state.is_finished() for trial in study.trials)
    return max(0, config.tune.trials - ended)


def _finished(study: Any) -> list[Any]:
    """The trials that were judged on every fold: the figure of one that was given up is of the first of them alone."""
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def _optimise(optuna: Any, study: Any, config: Config, moment: Moment, search: Search) -> None:
    left = _left(study, config)
    if not left:
        return
    mlflow = store.connect(config)
    tags = {"tuning": search.family, "tuning_as_of": str(moment.timeline.as_of)}
    with mlflow.start_run(run_name=f"tune {search.family} {moment.timeline.as_of}", tags=tags):
        objective = partial(_trial, optuna, mlflow, config, search)
        study.optimize(objective, n_trials=left, timeout=config.tune.budget_minutes * 60, catch=(TrainingFailed,))
        if _finished(study):
            mlflow.log_params({f"best_{name}": value for name, value in study.best_params.items()})
            mlflow.log_metric(f"best_{config.tune.figure}", study.best_value)


def _trial(optuna: Any, mlflow: Any, config: Config, search: Search, trial: Any) -> float:
    """One set of settings on all folds; given up after a fold where it is worse than half of the trials were."""
    models = with_values(config.models, search.family, {p.name: _drawn(trial, p) for p in search.searched})
    with mlflow.start_run(run_name=f"trial {trial.number}", nested=True, tags={"tuning_trial": str(trial.number)}):
        mlflow.log_params(trial.params)
        found: list[float] = []
        for value in _values(config, models, search):
            found.append(value)
            mlflow.log_metric(f"fold_{config.tune.figure}", value, step=len(found))
            trial.report(fmean(found), step=len(found))
            if len(found) < len(search.parts) and trial.should_prune():
                mlflow.set_tag("pruned", "true")
                raise optuna.TrialPruned
        mlflow.log_metric(config.tune.figure, fmean(found))
    return fmean(found)


def _drawn(trial: Any, parameter: Parameter) -> float:
    if parameter.whole:
        return int(trial.suggest_int(parameter.name, int(parameter.low), int(parameter.high), log=parameter.log))
    return float(trial.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log))


def _values(config: Config, models: ModelsConfig, search: Search) -> Iterator[float]:
    """The figure on each fold, one after another (none is fitted that nobody asks for), or `parallel` of them at a time."""
    judge = partial(_judged, config, models, search.family)
    if config.tune.parallel == 1:
        yield from map(judge, search.parts)
        return
    with ThreadPoolExecutor(config.tune.parallel) as pool:
        yield from pool.map(judge, search.parts)


def _judged(config: Config, models: ModelsConfig, family: str, part: Part) -> float:
    """Fit on the fold's past, score its date, correct the prior, and judge: nothing is calibrated, so levels count too."""
    fitted = FAMILIES[family](part.train.rows, part.features, models, config.train.seed)
    scored = fast.score(part.validate, [fitted.scorer], _KEEP)
    corrected = learning.task_of(config, models, fitted.scorer, part.train.odds).corrected
    ready = scored.select(*_KEEP, corrected.apply(F.col(fitted.scorer.column)).alias("p"))
    value = getattr(metrics.evaluate(ready, {"p": "p"})["p"], config.tune.figure)
    if value is None:
        day = part.fold.validate
        raise TrainingFailed(f"nobody bought anything after {day}: {config.tune.figure} is unknown there. Set tune.folds lower.")
    return float(value)


def told(study: Any, config: Config, search: Search) -> str:
    """The best trials as a table for people, and the present settings beside them."""
    down = _LOWER_IS_BETTER[config.tune.figure]
    ranked = sorted(_finished(study), key=lambda trial: trial.value, reverse=not down)
    names = [parameter.name for parameter in search.searched]
    now = present(config.models, search.family, search.searched)
    widths = {name: max(len(name), _DIGITS) + 2 for name in names}
    lines = ["".join([f"{'trial':<10}{config.tune.figure:>10}", *(f"{name:>{width}}" for name, width in widths.items())])]
    for trial in ranked[:_SHOWN] + [trial for trial in ranked[_SHOWN:] if trial.params == now]:
        label = f"{trial.number}{' (now)' if trial.params == now else ''}"
        figures = "".join(f"{trial.params[name]:>{width}.4g}" for name, width in widths.items())
        lines.append(f"{label:<10}{trial.value:>10.4g}{figures}")
    return "\n".join(lines)


def _write(config: Config, family: str, values: dict[str, Any]) -> None:
    (config.storage.folder / FILE).write_text(yaml.safe_dump({"models": {family: values}}), encoding="utf-8")
