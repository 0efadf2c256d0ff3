"""Where MLflow keeps runs and models: a file inside the warehouse, a server, or Databricks, which wants other names."""

import logging
import os
from pathlib import Path
from typing import Any

from propensity_spark.config import Config
from propensity_spark.errors import ConfigError

_UNITY = ("databricks-uc", "uc:")  # how the addresses of registries begin that name models catalog.schema.model


def check(config: Config) -> None:
    """See that runs and models can be kept, before anything that makes them starts; asks no server.

    Raises ConfigError where tracking.uri is empty and the tables do not lie on this machine, and where a registry of
    Unity's has no catalog to name models in.
    """
    model_name(_pointed(config), config, config.models.champion)


def connect(config: Config) -> Any:
    """MLflow pointed at the configured store and experiment, quiet. Raises ConfigError as `check` does."""
    mlflow = _pointed(config)
    name = config.tracking.experiment_of(config.shop.name)
    if mlflow.get_experiment_by_name(name) is None:
        mlflow.create_experiment(name, artifact_location=_artifacts(config))
    mlflow.set_experiment(name)
    return mlflow


def model_name(mlflow: Any, config: Config, family: str) -> str:
    """By what the registry knows the shop's models of a family. Raises ConfigError as `check` does."""
    name, registry = f"{config.shop.name}_{family}", mlflow.get_registry_uri()
    if not registry.startswith(_UNITY):
        return name
    if not config.storage.catalog:
        raise ConfigError(
            f"models are registered in Unity ({registry}): name the catalog in storage.catalog, "
            "or set MLFLOW_REGISTRY_URI to another registry"
        )
    return f"{config.storage.catalog}.gold.{name}"


def _pointed(config: Config) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # else there is one as soon as tqdm is installed
    uri = config.tracking.resolved(config.storage)
    import mlflow

    for noisy in ("mlflow", "alembic", "mlflow.store.model_registry", "mlflow.tracking._model_registry"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)
    return mlflow


def _artifacts(config: Config) -> str | None:
    """Artifacts lie beside the tables of this machine; elsewhere MLflow decides for itself."""
    if (config.tracking.uri and not config.tracking.uri.startswith("sqlite:")) or not config.storage.is_here:
        return None
    return (Path(config.storage.warehouse).absolute() / "mlruns").as_uri()
