"""Runs side by side: what differs, the better end of each figure, and one clear line where there is nothing to show."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from propensity_spark.config import Config
from propensity_spark.errors import PropensityError, TableMissing
from propensity_spark.loading import from_mapping, to_mapping
from propensity_spark.pipeline import compare
from propensity_spark.serve import registry
from propensity_spark.serve.registry import Finished

FIGURES = {"pr_auc": 0.2, "log_loss": 0.05, "predicted_over_observed": 0.98, "recall_at_5": 0.3}
ONE = Finished("a" * 32, datetime(2024, 3, 1, tzinfo=UTC), "2024-03-01", "lightgbm", {"judge.k": "5", "train.seed": "1"}, FIGURES)
BETTER = {"pr_auc": 0.3, "pr_auc_low": 0.25, "pr_auc_high": 0.35, "log_loss": 0.06, "predicted_over_observed": 1.05}
OTHER = replace(ONE, run_id="b" * 32, settings={"judge.k": "5", "train.seed": "2"}, figures=BETTER)


def _row(text: str, name: str) -> str:
    return next(line.removeprefix(name).strip() for line in text.splitlines() if line.split(" ")[0] == name)


def test_only_what_differs_is_listed_and_the_good_end_of_each_figure_is_marked() -> None:
    text = compare.told([ONE, OTHER])
    assert "judge.k" not in text
    assert _row(text, "train.seed").split() == ["1", "2"]
    assert _row(text, "pr_auc").split("  ")[0] == "0.2000"
    assert _row(text, "pr_auc").endswith("0.3000 [0.2500, 0.3500] *")
    assert _row(text, "log_loss").startswith("0.05000 *"), "less is better"
    assert _row(text, "predicted_over_observed").startswith("0.980 *"), "the nearer to 1"
    assert _row(text, "recall_at_5").split() == ["0.3000", "unknown"], "nothing to be better than"
    assert "different dates" not in text
    wide = replace(OTHER, settings={"judge.k": "50"}, figures={"recall_at_50": 0.6})
    both = compare.told([ONE, wide])
    assert _row(both, "recall_at_5").split() == ["0.3000", "unknown"]
    assert _row(both, "recall_at_50").split() == ["unknown", "0.6000"], "of other lists"
    assert _row(text, "promoted").split() == ["yes", "yes"]
    assert _row(compare.told([ONE, replace(OTHER, promoted=False)]), "promoted").split() == ["yes", "no"]
    assert "different dates" in compare.told([ONE, replace(OTHER, as_of="2024-03-02")])
    assert "different horizons" not in text
    longer, shorter = (replace(run, settings={"labels.horizon_days": days}) for run, days in ((ONE, "28"), (OTHER, "7")))
    assert "different horizons" in compare.told([longer, shorter])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, list[str]]:
    """A store with three finished runs, one that failed and one of another shop."""
    folder = tmp_path_factory.mktemp("store")
    config = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(folder)}})
    mlflow, made = registry.connect(config), []
    for number, (name, ended) in enumerate((("a", 1), ("a", 1), ("a", 0), ("b", 1), ("a", 1))):
        with mlflow.start_run() as run:
            mlflow.set_tags({"shop": name, "as_of": f"2024-03-0{number + 1}"})
            mlflow.log_param("champion", "logistic")
            mlflow.log_metrics({"test_logistic_pr_auc": 0.1 * number, "test_own_pr_auc": 9.0})
            changed = replace(config, train=replace(config.train, seed=number))
            mlflow.log_text(yaml.safe_dump(to_mapping(changed)), "config.yaml")
        if not ended:
            mlflow.MlflowClient().set_terminated(run.info.run_id, "FAILED")
        made.append(str(run.info.run_id))
    return config, [made[n] for n in (0, 1, 4)]


def test_the_last_finished_runs_of_the_shop_are_shown_oldest_first(shop: tuple[Config, list[str]]) -> None:
    config, ids = shop
    assert [run.run_id for run in registry.finished(config, [], 5)] == ids
    found = registry.finished(config, [], 2)
    assert [run.run_id for run in found] == ids[1:]
    assert [run.figures["pr_auc"] for run in found] == pytest.approx([0.1, 0.4])
    assert [run.settings["train.seed"] for run in found] == ["1", "4"]


def test_a_run_may_be_named_by_how_it_begins_and_must_be_one_of_the_shop(shop: tuple[Config, list[str]]) -> None:
    config, ids = shop
    assert ids[0][:12] in compare.compared(config, [ids[0][:20]])
    with pytest.raises(PropensityError, match="3 finished runs begin with ''"):
        compare.compared(config, [""])
    with pytest.raises(PropensityError, match="0 finished runs begin with 'zzz'; name one of"):
        compare.compared(config, ["zzz"])


def test_without_a_run_it_says_which_job_makes_one(shop: tuple[Config, list[str]], tmp_path: Path) -> None:
    nowhere = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path / "none")}})
    other = replace(shop[0], shop=replace(shop[0].shop, name="c"), tracking=replace(shop[0].tracking, experiment="propensity_a"))
    for config in (nowhere, other):
        with pytest.raises(TableMissing, match="train"):
            compare.compared(config, [])
    assert not (tmp_path / "none").exists()
