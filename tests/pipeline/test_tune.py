"""A search for settings: each trial a child run, the present settings among them, resumable, blind to what the test judges."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from pyspark.sql import SparkSession

from propensity_spark.config import Config
from propensity_spark.errors import ConfigError, RowsLost, TrainingFailed
from propensity_spark.loading import load
from propensity_spark.models.spaces import SPACES
from propensity_spark.pipeline import build_features, run, tune
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.serve import registry

pytestmark = pytest.mark.fit
SETTINGS = ("tune.family=logistic", "tune.share=1.0", "tune.folds=1", "tune.parameters=[regularisation]")


@pytest.fixture
def moment(spark: SparkSession, whole_shop: Config) -> Moment:
    """The shop's date."""
    return build_features.prepare(spark, whole_shop, run._as_of(spark, whole_shop, Progress(quiet=True)))


def test_a_search_goes_on_where_it_was_left_and_its_best_can_be_used(
    spark: SparkSession,
    configured: Callable[..., Config],
    shop_file: Path,
    moment: Moment,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = (f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", f"tune.storage=sqlite:///{tmp_path}/tuning.db")
    for trials in (2, 3):
        config = configured(*SETTINGS, *places, f"tune.trials={trials}")
        tune.run(spark, config, moment, Progress())
    mlflow = registry.connect(config)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    children = [one for one in runs if "tuning_trial" in one.data.tags]
    assert sorted(one.data.tags["tuning_trial"] for one in children) == ["0", "1", "2"]
    parents = {one.data.tags["mlflow.parentRunId"] for one in children}
    assert len(parents) == 2 == len([one for one in runs if "tuning" in one.data.tags])
    (first,) = (one for one in children if one.data.tags["tuning_trial"] == "0")
    assert float(first.data.params["regularisation"]) == config.models.logistic.regularisation
    assert "0 (now)" in capsys.readouterr().err
    best = min(one.data.metrics["log_loss"] for one in children)
    tuned = load([shop_file, Path(config.storage.warehouse) / tune.FILE], ["models.champion=logistic"])
    (winner,) = (one for one in children if one.data.metrics["log_loss"] == best)
    assert tuned.models.logistic.regularisation == float(winner.data.params["regularisation"])
    with pytest.raises(Exception, match="nothing was trained yet"):
        registry.latest(config, moment.timeline.as_of)  # a search is no training run


def test_the_table_shows_who_was_judged_on_all_folds_in_numbers_that_stand_apart() -> None:
    searched = tuple(one for one in SPACES["lightgbm"] if one.name in ("bagging_fraction", "l2"))
    found = [{"bagging_fraction": 0.6322, "l2": 2.6931}, {"bagging_fraction": 0.7, "l2": 1.234567e-05}]
    trials = [
        SimpleNamespace(number=n, value=0.0025781 + n, params=params, state=SimpleNamespace(name="COMPLETE"))
        for n, params in enumerate(found)
    ]
    given_up = SimpleNamespace(number=2, value=0.0001, params=found[0], state=SimpleNamespace(name="PRUNED"))
    told = tune.told(SimpleNamespace(trials=[*trials, given_up]), Config(), tune.Search("lightgbm", searched, ()))
    names = [one.name for one in searched]
    assert [line.split() for line in told.splitlines()] == [
        ["trial", "log_loss", *names],
        ["0", "0.002578", *(f"{found[0][name]:.4g}" for name in names)],
        ["1", "1.003", *(f"{found[1][name]:.4g}" for name in names)],
    ]
    assert len({len(line) for line in told.splitlines()}) == 1


def test_the_search_never_sees_a_label_that_the_rehearsal_is_judged_by(
    spark: SparkSession, configured: Callable[..., Config], moment: Moment
) -> None:
    config = configured(*SETTINGS)
    search = tune._search(spark, config, moment)
    (part,) = search.parts
    judged = moment.timeline.rehearsal.score
    days = {row[0] for frame in (part.train.rows, part.validate) for row in frame.select("as_of").distinct().collect()}
    assert days == {*part.fold.train, part.fold.validate}
    assert all((judged - day).days >= config.labels.horizon_days for day in days)
    assert all((part.fold.validate - day).days >= config.labels.horizon_days for day in part.fold.train)


def test_the_present_settings_are_tried_unless_they_were(tmp_path: Path) -> None:
    searched = tuple(one for one in SPACES["logistic"] if one.name == "regularisation")
    search, now = tune.Search("logistic", searched, ()), {"regularisation": Config().models.logistic.regularisation}
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/tuning.db", study_name="s")

    def waiting() -> list[dict[str, float]]:
        tune._offer_present(study, Config(), search)
        return [trial.system_attrs["fixed_params"] for trial in study.trials if trial.state.name == "WAITING"]

    assert waiting() == waiting() == [now], "once"
    trial = study.ask()
    tune._drawn(trial, searched[0])
    study.tell(trial, state=optuna.trial.TrialState.FAIL)  # killed
    assert waiting() == [now]
    trial = study.ask()
    assert tune._drawn(trial, searched[0]) == now["regularisation"]
    study.tell(trial, 0.5)
    assert waiting() == []
    other = replace(Config().models, logistic=replace(Config().models.logistic, regularisation=0.0123))
    changed = replace(Config(), models=other)
    tune._offer_present(study, replace(changed, tune=replace(changed.tune, trials=2)), search)
    assert waiting() == [], "no trial is left for them"
    tune._offer_present(study, changed, search)
    assert tune._drawn(study.ask(), searched[0]) == 0.0123, "other settings than then"


def test_a_search_without_one_good_trial_says_so(
    spark: SparkSession, configured: Callable[..., Config], moment: Moment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> float:
        raise TrainingFailed("no")

    monkeypatch.setattr(tune, "_judged", broken)
    places = (f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", f"tune.storage=sqlite:///{tmp_path}/tuning.db", "tune.trials=2")
    with pytest.raises(TrainingFailed, match="none of 2 trials ended well"):
        tune.run(spark, configured(*SETTINGS, *places), moment, Progress(quiet=True))


def test_a_search_whose_rows_are_lost_ends_at_once(
    spark: SparkSession, configured: Callable[..., Config], moment: Moment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No later trial could be fitted either: the trials that may be made are for a search that goes on."""
    asked = list[object]()

    def lost(*_: object) -> float:
        asked.append(_)
        raise RowsLost("gone")

    monkeypatch.setattr(tune, "_judged", lost)
    places = (f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", f"tune.storage=sqlite:///{tmp_path}/tuning.db", "tune.trials=5")
    with pytest.raises(RowsLost):
        tune.run(spark, configured(*SETTINGS, *places), moment, Progress(quiet=True))
    assert len(asked) <= 2, "one for each of those side by side"


@pytest.mark.parametrize(
    ("changed", "told"),
    [("tune.family=xgboost", "xgboost has no settings to search"), ("tune.parameters=[trees]", "has no trees to")],
)
def test_what_cannot_be_searched_is_told_before_rows_are_made(
    configured: Callable[..., Config], tmp_path: Path, changed: str, told: str
) -> None:
    place = f"tune.storage=sqlite:///{tmp_path}/tuning.db"
    tune.check(configured(place, *SETTINGS))
    with pytest.raises(ConfigError, match=told):
        tune.check(configured(place, *SETTINGS, changed))
