"""The report of a date tells what its run was judged on, and what could be judged by now."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import DataFrame

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import NotPromoted
from propensity_spark.judge.gate import Verdict
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import published, report, run
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.serve import registry
from propensity_spark.serve.bundle import Bundle
from propensity_spark.trainset.split import Procedure, Timeline

DAY = date(2024, 4, 1)
SPARK: Any = None
NOTHING: Any = None


@pytest.fixture(autouse=True)
def _scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores of any date are of the run that is told of."""
    monkeypatch.setattr(published, "doubts", lambda *_: ())


def _run(config: Config, noted: str = "") -> registry.Run:
    """A run that was tested, and promoted none of its models to the registry."""
    parts = {"shop": "a", "as_of": DAY, "horizon_days": 28, "champion": "logistic", "feature_version": "v"}
    bundle = Bundle(**parts, scorers={}, calibrators={}, versions={})  # type: ignore[arg-type]
    return registry.log(config, bundle, {}, {}, {"test.json": json.dumps({"rows": 1})}, Verdict(False, noted))


def _moment(backtest: bool) -> Any:
    return SimpleNamespace(timeline=SimpleNamespace(as_of=DAY, backtest=backtest))


def test_a_date_whose_horizon_passed_after_it_was_scored_shows_its_test_and_says_how_to_judge_it(tmp_path: Path) -> None:
    config = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path)}})
    run = _run(config)
    assert report._judged(SPARK, config, _moment(False), run) == ({"test": {"rows": 1}}, ())
    judged, notes = report._judged(SPARK, config, _moment(True), run)
    assert judged == {"test": {"rows": 1}}
    assert notes == (
        "the labels of 2024-04-01 are known by now: `propensity build-features --as-of 2024-04-01` and then "
        "`propensity score --as-of 2024-04-01` judge its scores.",
    )
    registry.add(config, run.run_id, {}, {"backtest.json": json.dumps({"rows": 2})})
    judged, notes = report._judged(SPARK, config, _moment(True), run)
    assert (list(judged.items()), notes) == ([("backtest", {"rows": 2}), ("test", {"rows": 1})], ())


def test_lists_are_named_by_the_length_that_training_judged() -> None:
    """Whatever judge.k says by now."""
    probabilities = {"reliability": [], "roc": [], "precision_recall": []}
    known = {
        "rows": 9,
        "positives": 3,
        "base_rate": 0.1,
        "mean_predicted": 0.1,
        "roc_auc": 0.8,
        "pr_auc": 0.3,
        "brier": 0.1,
        "ece": 0.0,
    }
    lists = {"k": 5, "users": 3, "ndcg": 0.4, "hit_rate": 0.5, "recall_ceiling": 1.0, "coverage": 0.9}
    judged = {
        "metrics": {name: {**known, **probabilities, "log_loss": loss} for name, loss in (("lightgbm", 0.2), ("own", 0.3))},
        "ranking": {name: {**lists, "recall": recall} for name, recall in (("lightgbm", 0.5), ("own", 0.25))},
        "repeat": {},
        "new": {},
    }
    said = report._verdict(judged, "lightgbm")
    assert "finds 50.0% of what each buyer bought in her 5 best, ahead of the 25.0%" in said


def test_what_was_noted_when_a_run_was_promoted_is_told(tmp_path: Path) -> None:
    config = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path)}})
    assert report._judged(SPARK, config, _moment(False), _run(config))[1] == ()
    assert report._judged(SPARK, config, _moment(False), _run(config, "the gate was off"))[1] == ("the gate was off",)


def test_that_another_run_made_the_scores_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path)}})
    run = _run(config, "the gate was off")
    monkeypatch.setattr(published, "doubts", lambda _, as_of, run_id: (f"not of {run_id}, {as_of}",))
    assert report._judged(SPARK, config, _moment(False), run)[1] == (f"not of {run.run_id}, 2024-04-01", "the gate was off")


def test_the_dates_of_a_page_are_those_that_its_run_had() -> None:
    """Whatever is planned by now; only of a run that kept none are they those of now."""
    days = [date(2024, month, 1) for month in range(1, 7)]
    planned = Timeline(Procedure((days[4],), days[5]), Procedure((days[3],), days[4]), 28, True)
    moment = Moment(planned, NOTHING)
    had = {"final": Procedure((days[1], days[2]), days[5]), "rehearsal": Procedure((days[0], days[1]), days[2])}
    parts = {"shop": "a", "as_of": days[5], "horizon_days": 28, "champion": "logistic", "feature_version": "v"}
    old = Bundle(**parts, scorers={}, calibrators={}, versions={})  # type: ignore[arg-type]
    assert report._with_dates_of(registry.Run("r", old), moment) == moment
    told = report._with_dates_of(registry.Run("r", replace(old, **had)), moment)
    assert told == Moment(Timeline(had["final"], had["rehearsal"], 28, True), NOTHING)


def test_a_page_that_cannot_be_made_does_not_hide_why_a_model_was_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise NotPromoted("a baseline is better")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(report, "refused", fail)
    nobody: Any = None
    with pytest.raises(NotPromoted, match="a baseline is better"):
        run._refused_told(refuse)(nobody, nobody, nobody, Progress())
    assert "report          could not be made: no space left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scored", "name"),
    [(None, "shop.html"), ("2024-03-01", "shop.html"), ("2024-02-01", "shop.html"), ("2024-03-02", "shop_2024-03-01.html")],
)
def test_the_page_of_a_look_back_leaves_that_of_the_newest_scores(
    table: Callable[..., DataFrame], monkeypatch: pytest.MonkeyPatch, scored: str | None, name: str
) -> None:
    monkeypatch.setattr(tables, "exists", lambda *_: scored is not None)
    monkeypatch.setattr(tables, "read", lambda _, __, where: table("as_of DATE", (scored,)).where(where))
    moment: Any = SimpleNamespace(timeline=SimpleNamespace(as_of=date(2024, 3, 1)))
    assert report._dated(SPARK, Path("there/shop.html"), moment) == Path("there") / name
