"""The whole pipeline on a small simulated shop: real Delta tables, real LightGBM, a real MLflow store."""

import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import deltalake
import mlflow
import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from propensity_spark import cli, tables
from propensity_spark.config import Config
from propensity_spark.errors import InsufficientData, NotPromoted
from propensity_spark.pipeline import build_features, rows, run
from propensity_spark.serve import registry

pytestmark = pytest.mark.fit


def _gold(config: Config, table: str) -> pd.DataFrame:
    return deltalake.DeltaTable(f"{config.storage.warehouse}/gold/{table}").to_pandas()


def test_scores_are_probabilities_with_ranks_readable_without_spark(whole_shop: Config) -> None:
    scores = _gold(whole_shop, "propensity")
    assert len(scores) > 1000
    assert scores["propensity"].between(0, 1).all()
    assert not scores.duplicated(["as_of", "user_id", "product_id"]).any()
    for _, mine in scores.groupby("user_id"):
        assert sorted(mine["rank"]) == list(range(1, len(mine) + 1))
        assert mine.sort_values("rank")["ranking_score"].is_monotonic_decreasing
        if len(mine) > 20:  # two heads, one user: the likeliest products are near the top of the list
            assert mine.loc[mine["rank"] <= 10, "propensity"].mean() > mine["propensity"].mean()
    assert (scores["expected_value"] > 0).any()


def test_the_models_are_held_against_baselines_and_the_truth(whole_shop: Config) -> None:
    metrics = _gold(whole_shop, "metrics")
    loss = metrics[metrics["metric"] == "log_loss"].set_index("scorer")["value"]
    assert set(loss.index) == {"lightgbm", "logistic", "popular", "own", "own_popular", "als", "truth"}
    assert loss["truth"] == loss.min()
    assert loss["lightgbm"] < min(loss["popular"], loss["own"], loss["own_popular"], loss["als"])


def test_the_champion_is_judged_at_thresholds_in_slices_and_with_intervals(whole_shop: Config) -> None:
    metrics = _gold(whole_shop, "metrics")
    assert not metrics.duplicated(["as_of", "period", "scorer", "metric"]).any()
    mine = metrics[(metrics["scorer"] == "lightgbm") & (metrics["period"] == "test")].set_index("metric")["value"]
    for figure in ("pr_auc", "log_loss", "predicted_over_observed", "recall_at_10", "ndcg_at_10"):
        assert mine[f"{figure}_low"] < mine[figure] < mine[f"{figure}_high"], figure
    assert mine["log_loss_gain_high"] < 0, "surely below the best baseline"
    assert mine["budget_cut_share"] < 0.05
    assert mine["f1_cut_precision"] > mine["base_rate"]
    assert 0 < mine["captured_top_1"] < mine["captured_top_20"] <= 1
    slices = _gold(whole_shop, "metric_slices")
    rows = slices[(slices["scorer"] == "lightgbm") & (slices["metric"] == "rows")].groupby("sliced_by")["value"].sum()
    assert set(rows.index) == {"exists", "activity", "users", "products", "category", "segment"}
    assert (rows == mine["rows"]).all(), "every row is in one slice of each kind"
    buyers = slices[(slices["scorer"] == "lightgbm") & (slices["metric"] == "buyers")].groupby("sliced_by")["value"].sum()
    assert buyers.to_dict() == dict.fromkeys(("activity", "segment", "users"), mine["buyers"])


def test_the_encoders_are_stored_with_the_models_that_they_feed(whole_shop: Config) -> None:
    (as_of,) = _gold(whole_shop, "propensity")["as_of"].unique()
    bundle = registry.latest(whole_shop, as_of).bundle
    made = [feature.name for feature in bundle.encoders.features]
    assert {"category_one_hot_other", "product_id_target", "candidate_source_hash_3", "user_tenure_robust_missing"} <= set(made)
    assert {"user_region_target", "user_age_one_hot_missing"} <= set(made)
    for scorer in bundle.scorers.values():
        assert list(scorer.inputs[-len(made) :]) == made
    unseen = {"category": ["never seen", None], "product_id": ["never seen", None], "candidate_source": ["", None]}
    unseen |= {"user_region": ["never seen", None], "user_age": ["", None]}
    rows = bundle.encoders.transform_values({**unseen, "user_tenure": [None, float("nan")]})
    assert all(np.isfinite(vector).all() for vector in rows.values())
    assert 0 < rows["product_id_target"][0] < 0.5


def test_rows_ask_every_table_once(spark: SparkSession, whole_shop: Config) -> None:
    tables.attach(spark, whole_shop.storage)
    moment = build_features.prepare(spark, whole_shop, _gold(whole_shop, "propensity")["as_of"].iloc[0])
    found = rows.of_dates(spark, moment, moment.timeline.learnt, whole_shop.train)
    asked = found._jdf.queryExecution().optimizedPlan().toString().count("Relation [")
    assert 10 <= asked <= 13, "eleven tables (versions tell categories), and the candidates once more for their users"


def test_the_report_stands_and_is_whole(whole_shop: Config) -> None:
    page = whole_shop.storage.report_path(whole_shop.shop.name).read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    for said in ("What came in", "Test, as of", "the truth (simulator)", "The strongest features", "event type is unknown"):
        assert said in page


def test_the_report_tells_the_dates_of_its_run_whatever_is_planned_by_now(
    whole_shop: Config, configured: Callable[..., Config], tmp_path: Path
) -> None:
    (day,) = _gold(whole_shop, "propensity")["as_of"].unique()
    bundle = registry.latest(whole_shop, day).bundle
    assert bundle.final is not None
    assert len(bundle.final.train) == 2
    run.one("report", configured("train.dates=1", f"storage.report={tmp_path}/shop.html"))
    page = (tmp_path / "shop.html").read_text(encoding="utf-8")
    assert f">{', '.join(map(str, bundle.final.train))}<" in page


@pytest.mark.parametrize("again", ["score", pytest.param("run", marks=pytest.mark.long)])
def test_doing_it_again_changes_nothing(whole_shop: Config, again: str) -> None:
    columns = ["user_id", "product_id", "propensity", "rank"]
    before = _gold(whole_shop, "propensity")[[*columns, "scored_at"]].sort_values(columns[:2], ignore_index=True)
    run.everything(whole_shop) if again == "run" else run.one(again, whole_shop)
    after = _gold(whole_shop, "propensity")[[*columns, "scored_at"]].sort_values(columns[:2], ignore_index=True)
    pd.testing.assert_frame_equal(before[columns], after[columns])
    assert after["scored_at"].min() > before["scored_at"].max()  # all of it was done again


def test_no_feature_of_any_entity_looks_beyond_as_of(
    whole_shop: Config, shop_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", "--config", str(shop_file)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(": no leak found")
    found = deltalake.DeltaTable(f"{whole_shop.storage.warehouse}/trainset/audit").to_pandas()
    assert (found[found["finding"] == "boundary"]["verdict"] == "ok").all()
    assert (found["finding"] == "boundary").sum() > 300


def test_sql_answers_over_the_views(whole_shop: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run.sql(whole_shop, "SELECT count(*) AS n, max(rank) AS r FROM gold.top_products", 5)
    assert "10" in capsys.readouterr().out


def test_the_notebook_runs_on_the_scores(
    whole_shop: Config, shop_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROPENSITY_CONFIG", str(shop_file))
    runpy.run_path(str(Path(__file__).parents[2] / "notebooks" / "read_scores.py"))
    said = capsys.readouterr().out
    for column in ("name", "expected_buyers", "orders_of_the_list", "own_popular"):
        assert column in said
    assert len(re.findall(r"^\|[^\n]*\d", said, flags=re.MULTILINE)) > 40  # rows in all four answers


def test_too_few_purchases_are_said_and_nothing_is_scored(
    whole_shop: Config, configured: Callable[..., Config], tmp_path: Path
) -> None:
    for made in ("bronze", "silver", "features", "trainset"):
        shutil.copytree(Path(whole_shop.storage.warehouse) / made, tmp_path / made)
    poor = configured(f"storage.warehouse={tmp_path}", "train.min_positives=1000000")
    with pytest.raises(InsufficientData, match="too few purchases to train"):
        run.everything(poor)
    assert not (tmp_path / "gold" / "propensity").exists()
    page = tmp_path / "demo_report.html"
    assert "Nothing was scored" in page.read_text(encoding="utf-8")
    shutil.copytree(Path(whole_shop.storage.warehouse) / "gold", tmp_path / "gold", dirs_exist_ok=True)
    page.write_text("of the scores that there are", encoding="utf-8")
    with pytest.raises(InsufficientData, match="part of the past is unknown"):
        run.everything(configured(f"storage.warehouse={tmp_path}", "score.as_of=2025-06-01"))
    assert page.read_text(encoding="utf-8") == "of the scores that there are"


def test_a_model_that_is_not_promoted_has_a_page_of_its_own(
    whole_shop: Config, configured: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "mlflow.db"
    shutil.copy(whole_shop.tracking.resolved(whole_shop.storage).removeprefix("sqlite:///"), store)
    config = configured(f"tracking.uri=sqlite:///{store}", f"storage.report={tmp_path}/shop.html")
    (day,) = _gold(whole_shop, "propensity")["as_of"].unique()
    made = registry.latest(config, day)
    mlflow.MlflowClient().set_tag(made.run_id, "promoted", "false")
    monkeypatch.setattr(run.train, "run", _refusing)
    for again in (lambda: run.everything(config), lambda: run.one("report", config)):
        with pytest.raises(NotPromoted) as refused:
            again()
        page = (tmp_path / "shop_refused.html").read_text(encoding="utf-8")
        reason = str(refused.value)
        for said in ("Nothing was scored", reason[0].upper() + reason[1:50], "On the test, lightgbm has a log loss", "Words"):
            assert said in page
        assert "A sample of gold.propensity" not in page
        (tmp_path / "shop_refused.html").unlink()
    assert not (tmp_path / "shop.html").exists(), "what was scored keeps its page"


def _refusing(*_: object) -> None:
    raise NotPromoted("the log loss of lightgbm is above that of own")
