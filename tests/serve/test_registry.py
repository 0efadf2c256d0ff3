"""What MLflow is told of a model beside its figures: what it needs where it is loaded, and its losses by round."""

from collections.abc import Callable
from pathlib import Path

from propensity_spark.config import Config
from propensity_spark.models.contract import Fitted
from propensity_spark.models.fast import Scorer
from propensity_spark.serve import registry


def _fitted(family: str) -> Fitted:
    return Fitted(family, None, Scorer(family, (), (), ""), {}, {})  # type: ignore[arg-type]


def test_a_network_needs_torch_only_where_it_learns() -> None:
    needed = {family: registry._requirements(_fitted(family)) for family in ("logistic", "xgboost", "network")}
    assert any(package.startswith("xgboost==") for package in needed["xgboost"])
    assert needed["network"] == needed["logistic"]


def test_losses_are_metrics_with_a_step_per_round(config: Callable[..., Config], tmp_path: Path) -> None:
    mlflow = registry.connect(config(storage={"warehouse": str(tmp_path)}))
    losses = {"train": tuple(1 / step for step in range(1, 1102)), "validation": (0.5, 0.4)}
    with mlflow.start_run() as run:
        registry._log_curves(mlflow, run.info.run_id, "network", losses)
    history = mlflow.MlflowClient().get_metric_history
    assert [(m.step, m.value) for m in history(run.info.run_id, "network_validation")] == [(1, 0.5), (2, 0.4)]
    assert [m.value for m in sorted(history(run.info.run_id, "network_train"), key=lambda m: m.step)] == list(losses["train"])
