"""What groups of features bring is found by the procedure that training rehearses: the same rows, fits and figures."""

from contextlib import nullcontext
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import FEATURE_GROUPS, Config
from propensity_spark.errors import NothingLearnt, TrainingFailed
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import build_features, groups, run, trials
from propensity_spark.pipeline.shown import named
from propensity_spark.progress import Progress
from propensity_spark.schemas import FEATURE_GAINS
from propensity_spark.trainset.assemble import inputs

pytestmark = pytest.mark.fit  # on the shop that all tests of the pipeline share


@pytest.fixture(scope="module")
def as_of(spark: SparkSession, whole_shop: Config) -> date:
    tables.attach(spark, whole_shop.storage)
    scored: date = tables.read(spark, "gold.propensity").agg(F.max("as_of")).collect()[0][0]
    return scored


@pytest.fixture(scope="module")
def found(spark: SparkSession, whole_shop: Config, as_of: date) -> dict[str, Row]:
    """The written rows, of three sets only."""
    every = groups.sets
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "sets", lambda features: {n: f for n, f in every(features).items() if n in ("first", "gaps", "all")})
        groups.run(spark, whole_shop, as_of, Progress())
    return {row["feature_set"]: row for row in tables.read(spark, FEATURE_GAINS.name).collect()}


def test_all_features_reach_what_training_reached_with_them(spark: SparkSession, as_of: date, found: dict[str, Row]) -> None:
    assert list(found) == ["first", "first + gaps", "all"]
    told = tables.read(spark, "gold.metrics", "period = 'test' AND scorer = 'lightgbm'").collect()
    reached = {row["metric"]: row["value"] for row in told}
    row, day = found["all"], told[0]["as_of"]
    pairs = tables.read(spark, "trainset.candidates", f"as_of = DATE'{day}'").count()
    close = 1e-6 if pairs == reached["rows"] else 0.01  # training judges no machine's pairs: a simulated shop has no truth for them
    for name in ("pr_auc", "log_loss", "roc_auc", "ece"):  # lists are ordered by the champion alone here, without a ranker
        # training parts cells of nearly equal scores at its thresholds, which unties pairs
        tied = 2e-4 if name in ("pr_auc", "roc_auc") else 0.0
        assert row[name] == pytest.approx(reached[name], rel=max(close, tied)), name
        assert row[name] != found["first"][name], name
    assert (row["as_of"], row["test_as_of"]) == (as_of, day)


def test_gains_are_against_the_first_set_and_lie_in_their_intervals(found: dict[str, Row]) -> None:
    first = found["first"]
    assert (first["pr_auc_gain"], first["ndcg_gain"], first["pr_auc_gain_low"]) == (None, None, None)
    for row in (found["first + gaps"], found["all"]):
        for gain, reached in (("pr_auc_gain", "pr_auc"), ("ndcg_gain", "ndcg_at_10")):
            assert row[gain] == pytest.approx(row[reached] - first[reached])
            assert row[f"{gain}_low"] < row[gain] < row[f"{gain}_high"]
    assert first["features"] < found["first + gaps"]["features"] < found["all"]["features"]


def test_the_report_shows_it_where_it_stands(spark: SparkSession, whole_shop: Config, found: dict[str, Row]) -> None:
    run.one("report", whole_shop)
    page = whole_shop.storage.report_path(whole_shop.shop.name).read_text(encoding="utf-8")
    section = page.split("What each feature group brings")[1].split("<h2>")[0]
    assert "first + gaps" in section
    assert f"{found['all']['pr_auc_gain']:+.4f}" in section


def test_sets_are_the_first_each_group_that_adds_something_and_all(spark: SparkSession, whole_shop: Config) -> None:
    features = inputs(build_features.prepare(spark, whole_shop, date(2024, 4, 10)).features)
    made = groups.sets(features)
    assert list(made) == ["first", *FEATURE_GROUPS, "series", "all"]
    assert made["all"] == features
    assert {f.group for f in made["first"]} == {"first"}
    assert {f.group for f in made["prices"]} == {"first", "prices"}
    bare = [f for f in features if f.group != "segment"]
    assert "segment" not in groups.sets(bare)


def test_the_printed_table_says_unknown_and_leaves_no_gain_out() -> None:
    day = date(2024, 4, 1)
    lines = groups.told(
        [
            (day, day, 0, "first", 9, 0.1, 0.2, 0.3, None, 0.5, 0.6, *[None] * 6, 1.0, None, "v"),
            (day, day, 1, "first + gaps", 12, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.1, 0.05, 0.15, -0.01, -0.02, 0.01, 1.0, None, "v"),
            (day, day, 2, "all", 15, *[None] * 13, "training_failed: too wide", "v"),
        ]
    ).splitlines()
    assert "unknown" in lines[1]
    assert lines[2].endswith("+0.1000 [+0.0500, +0.1500]   -0.0100 [-0.0200, +0.0100]")
    assert lines[3].split(None, 1) == ["all", "training_failed: too wide"]


def _run(monkeypatch: pytest.MonkeyPatch, failing: str) -> list[dict[str, object]]:
    """The rows that the job writes where it cannot fit this set; nothing is read, fitted or judged."""
    nothing: Any = None
    written: list[tuple[Any, ...]] = []
    day = date(2024, 4, 1)
    timeline = SimpleNamespace(as_of=day, rehearsal=SimpleNamespace(score=day))
    moment = SimpleNamespace(timeline=timeline, features=SimpleNamespace(version="v"))
    encoders = SimpleNamespace(out_of_fold=lambda rows: rows)
    rehearsal = SimpleNamespace(config=from_mapping({}), parts=SimpleNamespace(train=None), encoders=encoders)

    def fit(_: object, trial: trials.Trial, *__: object) -> Any:
        if trial.name == failing:
            raise NothingLearnt(f"{trial.name}: found nothing\n to split on")
        return SimpleNamespace(features=12, seconds=2.0)

    def judged(_: object, fits: Any, *__: object) -> dict[str, Any]:
        good = SimpleNamespace(pr_auc=0.5, flat=lambda: dict.fromkeys(("pr_auc", "log_loss", "roc_auc", "ece"), 0.5))
        lists = SimpleNamespace(ndcg=0.25, flat=lambda: {"recall_at_10": 0.25, "ndcg_at_10": 0.25})
        return {name: groups.Result(fit, good, lists, None, None) for name, fit in fits.items()}  # type: ignore[arg-type]

    asked = [trials.Trial(name=n, family="logistic", models=rehearsal.config.models, features=()) for n in ("first", "gaps", "all")]
    monkeypatch.setattr(groups, "build_features", SimpleNamespace(prepare=lambda *_: moment, run=lambda *_: None))
    monkeypatch.setattr(groups, "_trials", lambda *_: asked)
    monkeypatch.setattr(groups, "_judge", judged)
    monkeypatch.setattr(trials, "rehearse", lambda *_, **__: rehearsal)
    monkeypatch.setattr(trials, "_fit", fit)
    monkeypatch.setattr(trials, "calibrated", lambda *_: {})
    monkeypatch.setattr(trials, "scored", lambda *_: nullcontext())
    monkeypatch.setattr(trials, "write", lambda _, rows, *__: written.extend(rows))
    groups.run(nothing, rehearsal.config, day, Progress(quiet=True))
    return named(FEATURE_GAINS, written)


def test_a_set_that_cannot_be_fitted_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, gaps, every = _run(monkeypatch, "gaps")
    assert gaps["problem"] == "training_failed: gaps: found nothing to split on"
    assert (gaps["place"], gaps["features"], gaps["pr_auc"], gaps["fit_seconds"]) == (1, 0, None, None)
    for row in (first, every):
        assert (row["problem"], row["features"], row["pr_auc"], row["ndcg_at_10"], row["fit_seconds"]) == (None, 12, 0.5, 0.25, 2.0)


def test_without_the_first_set_there_is_nothing_to_gain_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingFailed, match=r"^lightgbm cannot be fitted on the first set of features: .*found nothing"):
        _run(monkeypatch, "first")
