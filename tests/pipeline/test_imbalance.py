"""What balancing does is found by the procedure that training rehearses; corrected and calibrated are told apart."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import BalanceConfig, Config
from propensity_spark.errors import NothingLearnt, TrainingFailed
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import imbalance, report_tables, trials
from propensity_spark.pipeline.shown import named
from propensity_spark.progress import Progress
from propensity_spark.schemas import IMBALANCE_TRIALS

WAYS = ["none", "weights", "under", "over", "smote", "focal"]


@pytest.fixture(scope="module")
def found(spark: SparkSession, whole_shop: Config) -> dict[str, Row]:
    """The written rows."""
    tables.attach(spark, whole_shop.storage)
    as_of: date = tables.read(spark, "gold.propensity").agg(F.max("as_of")).collect()[0][0]
    imbalance.run(spark, whole_shop, as_of, Progress())
    return {row["method"]: row for row in tables.read(spark, IMBALANCE_TRIALS.name).orderBy("place").collect()}


@pytest.mark.fit
def test_without_balancing_it_reaches_what_training_reached(spark: SparkSession, found: dict[str, Row]) -> None:
    told = tables.read(spark, "gold.metrics", "period = 'test' AND scorer = 'lightgbm'").collect()
    reached = {row["metric"]: row["value"] for row in told}
    pairs = tables.read(spark, "trainset.candidates", f"as_of = DATE'{told[0]['as_of']}'").count()
    close = 1e-6 if pairs == reached["rows"] else 0.01  # training judges no machine's pairs: see test_groups
    for figure in ("log_loss", "ece", "predicted_over_observed"):
        assert found["none"][figure] == pytest.approx(reached[figure], rel=close), figure
    for figure in ("roc_auc", "pr_auc"):  # training parts cells of nearly equal scores at its thresholds, which unties pairs
        assert found["none"][figure] == pytest.approx(reached[figure], rel=max(close, 2e-4)), figure


@pytest.mark.fit
def test_every_way_is_undone_before_calibration(found: dict[str, Row]) -> None:
    assert list(found) == WAYS
    assert found["none"]["odds"] == found["focal"]["odds"] == pytest.approx(5)  # a fifth of the negatives is kept
    assert found["weights"]["odds"] == found["under"]["odds"] == found["over"]["odds"] > 10
    assert found["smote"]["odds"] == pytest.approx(found["over"]["odds"], rel=0.01)
    level = found["none"]["predicted_over_observed_corrected"]
    for name, row in found.items():
        assert row["predicted_over_observed_corrected"] == pytest.approx(level, rel=0.5), name  # uncorrected it is ten times that
        # some two hundred buyers calibrate: what each model makes of them differs by chance
        assert row["predicted_over_observed"] == pytest.approx(found["none"]["predicted_over_observed"], rel=0.2), name
        assert row["ece"] != row["ece_corrected"], name


def test_each_way_has_what_is_configured_for_it() -> None:
    configured = BalanceConfig(method="smote", ratio=3.0, neighbours=7)
    assert imbalance.way(configured, "none") == BalanceConfig()
    assert imbalance.way(configured, "over") == BalanceConfig(method="over", ratio=3.0)
    assert imbalance.way(configured, "smote") == configured


@pytest.mark.parametrize(
    ("models", "gammas"),
    [
        ({}, [0.0] * 5 + [2.0]),
        ({"lightgbm": {"focal_gamma": 1.5}}, [0.0] * 5 + [1.5]),
        ({"lightgbm": {"early_stopping_rounds": 50}}, [0.0] * 5 + [2.0]),
        ({"lightgbm": {"fallback": "ring"}}, [0.0] * 5 + [2.0]),
        ({"lightgbm": {"engine": "synapseml"}}, [0.0] * 5),
        ({"champion": "logistic"}, [0.0] * 5),
    ],
)
def test_the_champion_is_tried_with_each_way_and_the_focal_loss_where_it_can_be(
    models: dict[str, Any], gammas: list[float]
) -> None:
    rehearsal: Any = SimpleNamespace(config=from_mapping({"models": models}), features=())
    made = imbalance._trials(rehearsal)
    assert [trial.name for trial in made] == WAYS[: len(gammas)]
    assert [trial.models.lightgbm.focal_gamma for trial in made] == gammas
    assert [trial.balance.method for trial in made if trial.balance] == [*WAYS[:5], "none"][: len(gammas)]


def _run(monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The rows that the job writes where these ways cannot be fitted; nothing is read, fitted or judged."""
    nothing: Any = None
    written: list[tuple[Any, ...]] = []
    day, config = date(2024, 4, 1), from_mapping({"models": {"champion": "logistic"}})
    timeline = SimpleNamespace(as_of=day, rehearsal=SimpleNamespace(score=day))
    moment = SimpleNamespace(timeline=timeline, features=SimpleNamespace(version="v"))
    parts = SimpleNamespace(train=None)
    rehearsal = SimpleNamespace(config=config, features=(), parts=parts, encoders=SimpleNamespace(out_of_fold=lambda rows: rows))

    def fit(_: object, trial: trials.Trial, *__: object) -> Any:
        if trial.name in failing:
            raise NothingLearnt(f"{trial.name}: found nothing\n to split on")
        return SimpleNamespace(odds=1.0, seconds=2.0)

    reached = SimpleNamespace(flat=lambda: dict.fromkeys(("roc_auc", "pr_auc", "log_loss", "ece", "predicted_over_observed"), 0.5))
    monkeypatch.setattr(imbalance, "build_features", SimpleNamespace(prepare=lambda *_: moment, run=lambda *_: None))
    monkeypatch.setattr(trials, "rehearse", lambda *_, **__: rehearsal)
    monkeypatch.setattr(trials, "_fit", fit)
    monkeypatch.setattr(trials, "calibrated", lambda *_: {})
    monkeypatch.setattr(trials, "scored", lambda *_: nullcontext())
    monkeypatch.setattr(imbalance, "_judge", lambda _, fits, *__: {n: imbalance.Result(5.0, 2.0, reached, reached) for n in fits})  # type: ignore[arg-type]
    monkeypatch.setattr(trials, "write", lambda _, rows, *__: written.extend(rows))
    imbalance.run(nothing, config, day, Progress(quiet=True))
    return written


def test_a_way_that_cannot_be_fitted_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row["method"]: row for row in named(IMBALANCE_TRIALS, _run(monkeypatch, ("under",)))}
    assert list(rows) == WAYS[:5]
    assert rows["under"]["problem"] == "training_failed: under: found nothing to split on"
    assert (rows["under"]["place"], rows["under"]["odds"], rows["under"]["fit_seconds"]) == (2, None, None)
    over = rows["over"]
    assert (over["problem"], over["place"], over["odds"], over["fit_seconds"]) == (None, 3, 5.0, 2.0)


def test_where_no_way_can_be_fitted_the_first_ones_problem_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingFailed, match=r"^logistic cannot be fitted with any way of balancing; with none: .*found nothing"):
        _run(monkeypatch, tuple(WAYS))


def test_a_way_without_figures_says_why() -> None:
    day = date(2024, 4, 1)
    told = imbalance.told([(day, day, 2, "under", *[None] * 9, "training_failed: nothing to split on", "v")])
    assert told.splitlines()[1] == "under     training_failed: nothing to split on"


def test_the_page_shows_rows_from_before_ways_had_problems(
    table: Callable[..., DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    ddl, day = IMBALANCE_TRIALS.ddl.replace("problem STRING, ", ""), "2024-04-01"
    older = table(ddl, (day, day, 0, "over", *[0.5] * 9, "v"))
    monkeypatch.setattr(tables, "exists", lambda *_: True)
    monkeypatch.setattr(tables, "read", lambda *_: older)
    nothing: Any = None
    shown = report_tables._listed(nothing, report_tables._BALANCING, "")
    assert shown is not None
    assert (shown.header[-1], shown.rows[0][0], shown.rows[0][-1]) == ("problem", "over", "")


def test_the_printed_table_has_a_line_each() -> None:
    day = date(2024, 4, 1)
    lines = imbalance.told([(day, day, 0, "over", 65.5, 0.7, 0.1, 0.02, 0.003, None, 1.2, 1.1, 9.0, None, "v")]).splitlines()
    assert lines[0].split()[0] == "method"
    assert lines[1].split() == ["over", "65.50", "0.7000", "0.1000", "0.02000", "0.00300", "unknown", "1.200", "1.100"]
