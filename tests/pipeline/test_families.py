"""What families reach is found by the procedure that training rehearses; one that fails costs the others nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark import config as settings
from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import ConfigError, SetupError, TableMissing, TrainingFailed
from propensity_spark.judge.baselines import BASELINES
from propensity_spark.models import families as models
from propensity_spark.models import packages
from propensity_spark.pipeline import families, run, trials
from propensity_spark.progress import Progress
from propensity_spark.schemas import EVENTS, FAMILY_TRIALS

fit = pytest.mark.fit  # on the shop that all tests of the pipeline share


@pytest.fixture(scope="module")
def found(spark: SparkSession, whole_shop: Config) -> dict[str, Row]:
    """The written rows: LightGBM, a logistic regression that fails, and the baselines."""
    tables.attach(spark, whole_shop.storage)
    as_of: date = tables.read(spark, "gold.propensity").agg(F.max("as_of")).collect()[0][0]

    def failing(*_: object) -> None:
        raise TrainingFailed("no line\n  through these points")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.FAMILIES, "logistic", replace(models.FAMILIES["logistic"], fit=failing))
        families.run(spark, whole_shop, as_of, ("logistic", "lightgbm"), Progress())
    rows = tables.read(spark, FAMILY_TRIALS.name).orderBy("place").collect()
    return {row["family"]: row for row in rows}


@fit
def test_a_family_reaches_what_training_reached_with_it(spark: SparkSession, found: dict[str, Row]) -> None:
    told = tables.read(spark, "gold.metrics", "period = 'test'").collect()
    pairs = tables.read(spark, "trainset.candidates", f"as_of = DATE'{told[0]['as_of']}'").count()
    for name in ("lightgbm", *BASELINES):
        reached = {row["metric"]: row["value"] for row in told if row["scorer"] == name}
        close = 1e-6 if pairs == reached["rows"] else 0.01  # training judges no machine's pairs: see test_groups
        for figure in ("log_loss", "ece", "predicted_over_observed"):
            assert found[name][figure] == pytest.approx(reached[figure], rel=close), (name, figure)
        for figure in ("roc_auc", "pr_auc"):  # training parts cells of nearly equal scores at its thresholds, which unties pairs
            assert found[name][figure] == pytest.approx(reached[figure], rel=max(close, 2e-4)), (name, figure)
    assert found["popular"]["ndcg_at_10"] != found["own"]["ndcg_at_10"]
    assert 0 < found["own_popular"]["recall_at_10"] < found["lightgbm"]["recall_at_10"] < 1
    assert found["lightgbm"]["test_as_of"] == told[0]["as_of"]


@fit
def test_a_family_that_fails_is_a_row_that_says_why(found: dict[str, Row]) -> None:
    assert list(found) == ["logistic", "lightgbm", *BASELINES]
    failed = found["logistic"]
    assert failed["problem"] == "training_failed: no line through these points"
    assert (failed["pr_auc"], failed["fit_seconds"], failed["peak_gib"]) == (None, None, None)
    assert {found[name]["problem"] for name in ("lightgbm", *BASELINES)} == {None}


@fit
def test_a_fit_has_its_seconds_and_its_memory_and_a_baseline_none(found: dict[str, Row]) -> None:
    assert found["lightgbm"]["fit_seconds"] > 0
    assert 0.2 < found["lightgbm"]["peak_gib"] < 64
    assert (found["own"]["fit_seconds"], found["own"]["peak_gib"]) == (None, None)


def test_the_printed_table_has_a_line_each() -> None:
    day, known = date(2024, 4, 1), (0.7, 0.1, 0.02, None, 1.1, 0.2, 0.3)
    lines = families.told(
        [
            (day, day, 0, "lightgbm", *known, 12.0, 3.25, None, "v"),
            (day, day, 1, "logistic", *[None] * 9, "training_failed: no line", "v"),
            (day, day, 2, "own", *known, None, None, None, "v"),
        ]
    ).splitlines()
    assert lines[0].split()[0] == "family"
    assert lines[1].split() == ["lightgbm", "0.7000", "0.1000", "0.02000", "unknown", "1.100", "0.2000", "0.3000", "12.0", "3.25"]
    assert lines[2] == "logistic      training_failed: no line"
    assert lines[3].split() == ["own", "0.7000", "0.1000", "0.02000", "unknown", "1.100", "0.2000", "0.3000"]


def test_several_shops_come_into_one_table() -> None:
    day = date(2024, 4, 1)
    known = (day, day, 0, "lightgbm", 0.7, 0.1, 0.02, None, 1.1, 0.2, 0.3, 12.0, 3.25, None, "v")
    failed = (day, day, 1, "logistic", *[None] * 9, "training_failed: no line", "v")
    lines = families.told_together([("north", [known, failed]), ("a shop of a longer name", [known])]).splitlines()
    assert lines[0].split()[:3] == ["shop", "family", "ROC-AUC"]
    assert lines[1].split()[:3] == ["north", "lightgbm", "0.7000"]
    assert lines[2] == "north                    logistic      training_failed: no line"
    assert lines[3].startswith("a shop of a longer name  lightgbm")


def test_nothing_is_fitted_while_a_further_shop_has_no_tables(
    spark: SparkSession, warehouse: Path, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []
    monkeypatch.setattr(families, "run", lambda *said: fitted.append(said[1].shop.name) or [])
    there = config(shop={"name": "there"}, score={"as_of": date(2024, 4, 1)}, storage={"warehouse": str(warehouse / "there")})
    other = replace(there, shop=replace(there.shop, name="other"))
    empty = config(storage={"warehouse": str(warehouse / "empty")})
    tables.attach(spark, there.storage)
    tables.overwrite(spark.createDataFrame([], EVENTS.ddl), EVENTS.name)
    with pytest.raises(TableMissing, match=r"silver\.events"):
        run.compare_families(there, "", [other, empty])
    assert fitted == []
    run.compare_families(there, "", [other])
    assert fitted == ["there", "other"]


def test_families_are_named_once_and_known() -> None:
    assert families.names("logistic, lightgbm,logistic") == ("logistic", "lightgbm")
    with pytest.raises(ConfigError, match=r"--families must be one of lightgbm, .*; got 'oracle'"):
        families.names("oracle")


def test_without_names_all_that_are_installed_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(families.names("")) <= set(settings.FAMILIES)
    monkeypatch.setitem(models.FAMILIES, "lightgbm", replace(models.FAMILIES["lightgbm"], package="a_package_of_nobody"))
    assert "lightgbm" not in families.names("")
    assert "logistic" in families.names("")


def test_every_family_can_be_set_and_every_one_that_can_be_set_is_one() -> None:
    assert tuple(models.FAMILIES) == settings.FAMILIES
    assert all(hasattr(settings.ModelsConfig(), name) for name in models.FAMILIES)


def test_a_problem_is_told_in_one_line_without_its_trace() -> None:
    said = trials.in_one_line(RuntimeError("calling o1.fit.\n: java.lang.Oops: why\n\tat a.b(C.java:1)"))
    assert said == "RuntimeError: calling o1.fit. : java.lang.Oops: why"
    assert len(trials.in_one_line(ValueError("x" * 999))) == 300


@pytest.mark.parametrize(
    ("chosen", "lacking"),
    [({"families": ["lightgbm"]}, ""), ({"families": ["lightgbm", "xgboost"]}, "xgboost"),
     ({"families": ["split"], "champion": "split", "split": {"family": "xgboost"}}, "xgboost")],
)  # fmt: skip
def test_a_family_whose_package_is_absent_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, config: Callable[..., Config], chosen: dict[str, Any], lacking: str
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setattr(run, "_opened", lambda _: pytest.fail("Spark started"))
    monkeypatch.setattr(run.preflight, "check", lambda _: None)
    asked = config(models={"champion": "lightgbm", **chosen}, tracking={"uri": "sqlite://"})
    if not lacking:
        return models.check_installed(asked.models)
    for job in (lambda: run.everything(asked), lambda: run.one("train", asked)):
        with pytest.raises(SetupError, match=rf"the family {lacking} needs .* pip install 'propensity_spark\[{lacking}\]'"):
            job()
    return None


@pytest.mark.parametrize("job", [run.compare_groups, run.compare_balances])
def test_jobs_that_fit_the_champion_alone_ask_for_its_package_alone_and_first(
    monkeypatch: pytest.MonkeyPatch, config: Callable[..., Config], job: Callable[[Config], None]
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setattr(run, "_opened", lambda _: (None, None))
    monkeypatch.setattr(run, "_as_of", lambda *_: date(2024, 4, 1))
    ran: list[str] = []
    for module in ("groups", "imbalance"):
        monkeypatch.setattr(getattr(run, module), "run", lambda *_: ran.append("built and fitted"))
    job(config(models={"champion": "lightgbm", "families": ["lightgbm", "xgboost"]}))
    assert ran == ["built and fitted"]
    with pytest.raises(SetupError, match="the family xgboost needs"):
        job(config(models={"champion": "xgboost", "families": ["xgboost"]}))
    assert ran == ["built and fitted"]
