"""Runs and models are kept where the configuration says, under names that the place takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from propensity_spark.errors import ConfigError
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import run
from propensity_spark.serve import store


@pytest.fixture
def mlflow() -> Iterator[Any]:
    """MLflow, which points where it did before when the test is over."""
    import mlflow

    before = mlflow.get_tracking_uri()
    yield mlflow
    mlflow.set_tracking_uri(before)


def _config(**storage: str) -> Any:
    uri = storage.pop("uri", "")
    return from_mapping({"shop": {"name": "a"}, "storage": storage, "tracking": {"uri": uri}})


def test_in_unity_models_have_the_name_of_a_catalog_and_a_schema(mlflow: Any, tmp_path: Path) -> None:
    unity = _config(catalog="main", uri="databricks")
    store.check(unity)
    assert store.model_name(mlflow, unity, "lightgbm") == "main.gold.a_lightgbm"
    own = _config(warehouse=str(tmp_path))
    store.check(own)
    assert store.model_name(mlflow, own, "lightgbm") == "a_lightgbm"
    assert not list(tmp_path.iterdir()), "to check makes nothing"


def test_unity_needs_a_catalog_unless_models_are_registered_elsewhere(mlflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without = _config(warehouse="dbfs:/w", uri="databricks")
    with pytest.raises(ConfigError, match=r"registered in Unity \(databricks-uc\): name the catalog in storage\.catalog"):
        store.check(without)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks")
    store.check(without)
    assert store.model_name(mlflow, without, "lightgbm") == "a_lightgbm"


@pytest.mark.parametrize("job", ["train", "score", "report", "everything", "tune"])
def test_a_job_that_needs_models_says_before_it_starts_that_no_place_is_named_for_them(job: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,product,time\nann,tea,2024-01-01\n")
    named = {"user_id": "user", "product_id": "product", "event_ts": "time"}
    log = {"name": "log", "path": f"{tmp_path}/log.csv", "event": "purchase", "map": named}
    config = from_mapping({"sources": [log], "storage": {"warehouse": "s3a://bucket/w"}})
    jobs = {"everything": lambda: run.everything(config), "tune": lambda: run.tuned(config)}
    with pytest.raises(ConfigError, match=r"tracking\.uri must say"):
        jobs.get(job, lambda: run.one(job, config))()


def test_a_search_without_a_place_says_so_before_rows_are_made_for_it(mlflow: Any) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(ConfigError, match=r"tune\.storage must be a database's address"):
        run.tuned(_config(warehouse="s3a://bucket/w", uri="http://nowhere:5000"))
