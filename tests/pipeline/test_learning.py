"""Whatever job fits: models learn from balanced rows, the ranker from all of them, and calibration undoes the balance."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import BalanceConfig, Config, ModelsConfig
from propensity_spark.errors import FitRefused, NothingLearnt
from propensity_spark.features.spec import Feature
from propensity_spark.judge import band, buckets, calibrate, thresholds
from propensity_spark.judge.task import Task
from propensity_spark.loading import from_mapping
from propensity_spark.models.contract import LEARN_WEIGHT, Fitted
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.fast import Scorer
from propensity_spark.models.ranker import fit_ranker
from propensity_spark.pipeline import fitting, groups, imbalance, judging, learning, trials
from propensity_spark.pipeline.parts import Parts
from propensity_spark.pipeline.trials import Trial
from propensity_spark.progress import Progress
from propensity_spark.trainset.split import Procedure

DAY, RATE, RATIO = date(2024, 4, 1), 0.2, 4.0
FEATURES = (Feature(name="x0", expression="x0", description="x0"),)
MOMENT: Any = SimpleNamespace(features=None)
Seen = list[tuple[str, dict[int, float]]]


def _weights(rows: DataFrame) -> dict[int, float]:
    """Label -> how much its rows count."""
    weight = F.col(LEARN_WEIGHT) if LEARN_WEIGHT in rows.columns else F.lit(1.0)
    return {row[0]: row[1] for row in rows.groupBy("label").agg(F.sum(weight)).collect()}


@pytest.fixture
def config() -> Config:
    balance = {"method": "weights", "ratio": RATIO}
    encoders = [{"column": "category", "how": "one_hot", "levels": 2}]
    focal = {"lightgbm": {"focal_gamma": 2.0}}
    return from_mapping({"train": {"negative_rate": RATE, "balance": balance}, "encoders": encoders, "models": focal})


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What each fit was given."""
    given: Seen = []

    def family(name: str) -> Callable[..., Fitted]:
        def fit(rows: DataFrame, features: Sequence[Feature], *_: object) -> Fitted:
            given.append((name, _weights(rows)))
            return Fitted(name, None, Scorer(name, tuple(f.name for f in features), (), ""), {}, {})  # type: ignore[arg-type]

        return fit

    def ranker(rows: DataFrame, *_: object) -> None:
        given.append(("ranker", _weights(rows)))

    for name in ("lightgbm", "logistic"):
        monkeypatch.setitem(FAMILIES, name, family(name))
    monkeypatch.setattr(fitting, "fit_ranker", ranker)
    for job in (fitting, groups, trials):
        monkeypatch.setattr(job, "inputs", lambda _: FEATURES)
    return given


@pytest.fixture
def parts(table: Callable[..., DataFrame]) -> Parts:
    """Ten users who train, of whom two bought, and five who calibrate."""
    rows = [(str(DAY), f"u{n:02}", "p", int(n % 5 == 0), 1.0, "tea" if n % 2 else "jam", float(n)) for n in range(15)]
    ddl = "as_of DATE, user_id STRING, product_id STRING, label INT, weight DOUBLE, category STRING, x0 FLOAT"
    held = F.col("user_id") >= "u10"
    return Parts(Procedure((DAY,), date(2024, 4, 29)), table(ddl, *rows), 1 / 3, held, held)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Task]:
    """What was asked of the calibration."""
    asked: dict[str, Task] = {}
    monkeypatch.setattr(buckets, "collect", lambda *_: pd.DataFrame({"name": []}))
    for fit in ("fit_all", "fit_buckets"):
        monkeypatch.setattr(calibrate, fit, lambda _, tasks: asked.update(tasks) or {n: t.corrected for n, t in tasks.items()})
    monkeypatch.setattr(band, "fit", lambda *given: given[2])
    monkeypatch.setattr(thresholds, "levels", lambda *_: None)
    monkeypatch.setattr(thresholds, "choose", lambda *_: {})
    return asked


def test_training_balances_for_its_models_alone_and_undoes_it(
    config: Config, parts: Parts, seen: Seen, tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = fitting.fit(config, MOMENT, parts, "rehearsal", Progress(quiet=True))
    twice = [
        ("lightgbm", {0: 8.0, 1: 8.0}),
        ("logistic", {0: 8.0, 1: 8.0}),
        ("lightgbm", {0: 12.0, 1: 12.0}),
        ("logistic", {0: 12.0, 1: 12.0}),
    ]
    assert seen == [*twice, ("ranker", {0: 12.0, 1: 3.0})]
    assert fits.apart.odds == fits.whole.odds == RATIO
    assert fits.apart.encoders.encodings[0].values == {"jam": 0.0, "tea": 1.0}, "learnt from the rows as they are"
    monkeypatch.setattr(judging, "scored", lambda rows, *_: rows)
    fitting.calibrated(config, fits, parts, 1.0, Progress(quiet=True))
    assert tasks["lightgbm"].shift == tasks["logistic"].shift == pytest.approx(math.log(RATE) - math.log(RATIO))
    assert (tasks["lightgbm"].focal_gamma, tasks["logistic"].focal_gamma) == (2.0, 0.0)
    assert tasks["popular"].shift == 0.0
    assert (tasks["lightgbm"].by, tasks["lightgbm"].shrinkage, tasks["popular"].by) == (("exists",), 50.0, ()), "of models alone"
    assert {name for name, task in tasks.items() if task.blocks} == {"lightgbm"}, "only what is published needs its intervals"


def test_who_calibrates_teaches_what_scores_and_not_what_is_calibrated(
    parts: Parts, seen: Seen, tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    balanced = {"balance": {"method": "weights", "ratio": 0.0}}
    config = from_mapping({"train": balanced, "models": {"families": ["lightgbm"]}})
    monkeypatch.setattr(judging, "scored", lambda rows, *_: rows)
    some = F.col("user_id") >= "u07"
    fits = fitting.fit(config, MOMENT, replace(parts, held=some, apart=some), "rehearsal", Progress(quiet=True))
    assert [name for name, _ in seen] == ["lightgbm", "lightgbm", "ranker"]
    assert (fits.apart.odds, fits.whole.odds) == (5 / 2, 12 / 3), "of seven users two bought, of fifteen three"
    made = fitting.calibrated(config, fits, parts, 1.0, Progress(quiet=True))
    assert tasks["lightgbm"].shift == pytest.approx(math.log(RATE) - math.log(5 / 2)), "fitted on the scores of the first"
    assert made.calibrators["lightgbm"].shift == pytest.approx(math.log(RATE) - math.log(12 / 3)), "applied to those of the second"
    assert made.models is fits.whole.models


def test_where_lists_tell_a_ranker_nothing_there_is_none(
    parts: Parts, seen: Seen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's list of one product has no order."""
    monkeypatch.setattr(fitting, "fit_ranker", fit_ranker)
    config = from_mapping({"models": {"families": ["lightgbm"], "lightgbm": {"min_data_in_leaf": 1}}})
    fits = fitting.fit(config, MOMENT, parts, "rehearsal", Progress())
    assert fits.whole.ranker is None
    assert set(fits.whole.models) == {"lightgbm"}
    assert "none: within the users' lists nothing tells what is bought" in capsys.readouterr().err


def _failing(monkeypatch: pytest.MonkeyPatch, family: str, calls: Sequence[int]) -> None:
    """From now on these fits of the family fail, the first being 1."""
    fit, count = FAMILIES[family], itertools.count(1)

    def failing(*asked: Any) -> Fitted:
        if next(count) in calls:
            raise NothingLearnt("found nothing\n to split on. Bring more rows.\nAnd more.")
        return fit(*asked)

    monkeypatch.setitem(FAMILIES, family, failing)


@pytest.mark.parametrize(("calls", "fitted"), [([1], ["logistic"] * 2), ([2], ["lightgbm", "logistic", "logistic"])])
def test_a_family_that_cannot_be_fitted_once_is_told_and_left_out_of_both_fits(
    parts: Parts,
    seen: Seen,
    tasks: dict[str, Task],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    calls: list[int],
    fitted: list[str],
) -> None:
    _failing(monkeypatch, "lightgbm", calls)
    fits = fitting.fit(from_mapping({}), MOMENT, parts, "rehearsal", Progress())
    assert [name for name, _ in seen] == [*fitted, "ranker"]
    assert set(fits.apart.models) == set(fits.whole.models) == {"logistic"}
    assert fits.failed == {"lightgbm": "found nothing to split on. Bring more rows"}
    assert "  fit lightgbm failed, rehearsal" in capsys.readouterr().err
    monkeypatch.setattr(judging, "scored", lambda rows, *_: rows)
    made = fitting.calibrated(from_mapping({}).with_only(fits.whole.models), fits, parts, 1.0, Progress(quiet=True))
    assert set(made.calibrators) & {"lightgbm", "logistic"} == {"logistic"}
    assert tasks["logistic"].blocks, "the champion now"


def test_a_setting_that_asks_for_too_much_is_hidden_by_no_other_family(
    parts: Parts, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> Fitted:
        raise FitRefused("models.lightgbm.tasks is 8, but only 4 task(s) can run at once here")

    monkeypatch.setitem(FAMILIES, "lightgbm", refused)
    with pytest.raises(FitRefused, match="only 4"):
        fitting.fit(from_mapping({}), MOMENT, parts, "rehearsal", Progress(quiet=True))


def test_without_the_family_that_is_needed_or_without_any_there_is_no_fit(
    parts: Parts, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing(monkeypatch, "lightgbm", range(1, 9))
    with pytest.raises(NothingLearnt, match="found nothing"):
        fitting.fit(from_mapping({}), MOMENT, parts, "final", Progress(quiet=True), needed="lightgbm")
    assert seen == []
    _failing(monkeypatch, "logistic", range(1, 9))
    with pytest.raises(NothingLearnt, match="found nothing"):
        fitting.fit(from_mapping({}), MOMENT, parts, "rehearsal", Progress(quiet=True))


def test_without_a_second_fit_scores_what_was_calibrated(parts: Parts, seen: Seen) -> None:
    config = from_mapping({"train": {"refit": False}, "models": {"families": ["lightgbm"]}})
    fits = fitting.fit(config, MOMENT, parts, "rehearsal", Progress(quiet=True))
    assert seen == [("lightgbm", {0: 8.0, 1: 2.0}), ("ranker", {0: 12.0, 1: 3.0})]
    assert fits.whole.models is fits.apart.models


def test_trials_balance_as_configured_or_in_a_way_of_their_own_and_undo_it(
    config: Config, parts: Parts, seen: Seen, tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal = trials.Rehearsal(config, MOMENT, parts, fitting.fit_encoders(config, parts.train, (DAY,), Progress(quiet=True)))
    plain = imbalance.with_gamma(config.models, 0.0)
    own = Trial(name="own", family="lightgbm", models=plain, features=FEATURES, balance=BalanceConfig())
    fits, problems = trials.fit_what_can_be(rehearsal, [*groups._trials(rehearsal), own], Progress(quiet=True))
    assert ([*fits], problems) == (["first", "all", "own"], {})
    assert [rows for _, rows in seen] == [{0: 8.0, 1: 8.0}, {0: 8.0, 1: 8.0}, {0: 8.0, 1: 2.0}]
    monkeypatch.setattr(trials, "_raw", lambda *_: None)
    trials.calibrated(rehearsal, fits)
    told = [(task.shift, task.focal_gamma) for task in tasks.values()]
    assert told == [(math.log(RATE) - math.log(RATIO), 2.0)] * 2 + [(math.log(RATE), 0.0)]


@pytest.mark.parametrize(("base", "gamma"), [("lightgbm", 2.0), ("logistic", 0.0)])
def test_models_by_level_are_freed_from_what_their_base_was_fitted_with(base: str, gamma: float) -> None:
    models = from_mapping({"models": {"lightgbm": {"focal_gamma": 2.0}, "split": {"family": base}}}).models
    assert learning.task_of(from_mapping({}), models, Scorer("split", (), (), "{}"), 1.0).focal_gamma == gamma


@pytest.mark.parametrize(("family", "is_margin"), [("svm", True), ("kernel_svm", True), ("logistic", False), ("split", False)])
def test_calibration_is_told_which_scores_are_margins(family: str, is_margin: bool) -> None:
    assert learning.task_of(from_mapping({}), ModelsConfig(), Scorer(family, (), (), "{}"), 1.0).is_margin == is_margin


@pytest.mark.parametrize("is_margin", [False, True])
def test_what_balancing_did_is_undone_of_each_fit_and_a_margin_has_nothing_to_undo(is_margin: bool) -> None:
    curve = Task(score="raw", odds=8.0, is_margin=is_margin).corrected
    handed = fitting.handed_on(curve, Task(score="raw", odds=10.0, is_margin=is_margin))
    assert handed.shift == -math.log(8.0 if is_margin else 10.0)
