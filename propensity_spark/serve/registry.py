"""MLflow: one run per training, with parameters, metrics, both models with their signature, and what scoring needs."""

import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import yaml

from propensity_spark.config import Config
from propensity_spark.errors import ModelMissing, NotPromoted, PropensityError, StorageError
from propensity_spark.judge.gate import Verdict
from propensity_spark.loading import to_mapping
from propensity_spark.models.contract import Fitted
from propensity_spark.models.families import FAMILIES
from propensity_spark.serve.bundle import Bundle
from propensity_spark.serve.crown import crown
from propensity_spark.serve.store import connect, model_name

_BUNDLE = "bundle.json"
_AT_ONCE = 1000  # metrics that MLflow takes in one call
_MOST = 1000  # runs looked through
_TAGS = ("shop", "as_of", "horizon_days")
_PROMOTED, _REASON = "promoted", "promotion_reason"  # tags; a run without them, from before there was a gate, counts as promoted
_FILE = "sqlite:///"  # how the address of a store begins that is a file
# What a loaded model needs; named here so that MLflow need not start an environment to infer it.
_REQUIREMENTS = ("pyspark==3.5.9", "synapseml==1.1.3")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training run. `noted`: what there was to be said when it was logged."""

    run_id: str
    bundle: Bundle
    noted: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """What is known of a finished run without loading its models: settings by section.key, its champion's test figures by name."""

    run_id: str
    started: datetime
    as_of: str
    champion: str
    settings: Mapping[str, str]
    figures: Mapping[str, float]
    promoted: bool = True


def log(
    config: Config,
    bundle: Bundle,
    models: Mapping[str, Fitted],
    metrics: Mapping[str, float],
    texts: Mapping[str, str],
    verdict: Verdict,
) -> Run:
    """Write one run: the configuration as parameters, metrics, models, `texts` (file name -> content) and the bundle.

    Of a promoted run the champion's registered version gets the alias `champion`, unless one of a later date has it (see
    crown); a refused one is there to be looked at.

    The models' registry versions enter the bundle. The run is marked finished last, so that a killed one is never used.
    """
    mlflow = connect(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mlflow.start_run(run_name=f"{config.shop.name} {bundle.as_of}") as started:
            mlflow.set_tags({"shop": bundle.shop, "as_of": str(bundle.as_of), "horizon_days": str(bundle.horizon_days)})
            mlflow.set_tags({_PROMOTED: str(verdict.promoted).lower(), _REASON: verdict.reason})
            mlflow.log_params(_parameters(config, bundle))
            mlflow.log_metrics(dict(metrics))
            for name, fitted in models.items():
                _log_curves(mlflow, str(started.info.run_id), name, fitted.curves)
            versions = {name: _log_model(mlflow, config, fitted) for name, fitted in models.items()}
            finished = _with_versions(bundle, versions)
            for name, text in {
                **texts,
                "config.yaml": yaml.safe_dump(to_mapping(config)),
                _BUNDLE: finished.to_json(),
            }.items():
                mlflow.log_text(text, name)
    noted = crown(mlflow, config, finished) if verdict.promoted else ""
    return Run(str(started.info.run_id), finished, noted)


def _with_versions(bundle: Bundle, versions: dict[str, str]) -> Bundle:
    from dataclasses import replace

    return replace(bundle, versions=versions)


def _parameters(config: Config, bundle: Bundle) -> dict[str, Any]:
    flat = {"as_of": bundle.as_of, "feature_version": bundle.feature_version, "champion": bundle.champion}
    for section in ("labels", "train", "calibration", "population"):
        for key, value in to_mapping(getattr(config, section)).items():
            flat[f"{section}.{key}"] = value
    for family in config.models.families:
        for key, value in to_mapping(getattr(config.models, family)).items():
            flat[f"{family}.{key}"] = value
    return flat


def _log_curves(mlflow: Any, run_id: str, family: str, curves: Mapping[str, Sequence[float]]) -> None:
    """The losses as metrics <family>_<curve>, whose steps are rounds or epochs, from 1."""
    from mlflow.entities import Metric

    now = int(datetime.now(UTC).timestamp() * 1000)
    made = [Metric(f"{family}_{n}", loss, now, step) for n, losses in curves.items() for step, loss in enumerate(losses, 1)]
    for start in range(0, len(made), _AT_ONCE):
        mlflow.MlflowClient().log_batch(run_id, metrics=made[start : start + _AT_ONCE])


def _log_model(mlflow: Any, config: Config, fitted: Fitted) -> str:
    """Log and register one Spark model; returns its version in the registry."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    numbers = [ColSpec("float", name, required=False) for name in fitted.scorer.inputs]
    inputs = Schema([*numbers, *(ColSpec("string", key.column, required=False) for key in fitted.scorer.keys)])
    signature = ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double", "probability")]))
    # the registry announces each version on stderr, among our own lines
    with tempfile.TemporaryDirectory() as scratch, redirect_stderr(io.StringIO()):
        logged = mlflow.spark.log_model(
            fitted.pipeline,
            artifact_path=fitted.family,
            registered_model_name=model_name(mlflow, config, fitted.family),
            signature=signature,
            pip_requirements=_requirements(fitted),
            dfs_tmpdir=os.environ.get("MLFLOW_DFS_TMP", scratch),  # a folder that the executors reach as well
        )
    return str(logged.registered_model_version)


def _requirements(fitted: Fitted) -> list[str]:
    """What the model needs where it is loaded. A kernel's waves and a network are this package's own stages."""
    family = FAMILIES[fitted.family]
    needed = family.package if not family.only_to_fit else ""
    return [*_REQUIREMENTS, *([f"{needed}=={version(needed)}"] if needed else [])]


def latest(config: Config, as_of: date) -> Run:
    """The newest finished run of this shop for this date and horizon that was promoted.

    Raises ModelMissing where there is none: `propensity train` writes it; NotPromoted where all were refused.
    """
    found = _of_date(config, as_of)
    promoted = [run for run in found if _is_promoted(run)]
    if not promoted:
        reason = found[0].data.tags.get(_REASON, "")
        raise NotPromoted(f"no model as of {as_of} was promoted: {reason}. `propensity compare` shows the runs; train another.")
    return _loaded(config, promoted[0])


def newest(config: Config, as_of: date) -> Run:
    """The newest finished run of this shop for this date and horizon, promoted or not.

    Raises ModelMissing as `latest` does.
    """
    return _loaded(config, _of_date(config, as_of)[0])


def _of_date(config: Config, as_of: date) -> Sequence[Any]:
    """The finished runs of this shop for this date and horizon, the newest first."""
    mlflow = connect(config)
    wanted = {"shop": config.shop.name, "as_of": str(as_of), "horizon_days": str(config.labels.horizon_days)}
    query = " and ".join(f"tags.{tag} = '{wanted[tag]}'" for tag in _TAGS)
    found = mlflow.search_runs(
        filter_string=f"{query} and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=_MOST,
        output_format="list",
    )
    if not found:
        own = f"{config.shop.name} as of {as_of}, {config.labels.horizon_days} days ahead (each date has a training of its own)"
        raise ModelMissing(own)
    return list(found)


def _loaded(config: Config, run: Any) -> Run:
    run_id = str(run.info.run_id)
    return Run(run_id, Bundle.from_json(read_text(config, run_id, _BUNDLE)))


def _is_promoted(run: Any) -> bool:
    return bool(run.data.tags.get(_PROMOTED, "true") != "false")


def finished(config: Config, wanted: Sequence[str], most: int) -> list[Finished]:
    """The shop's finished runs of these ids (or how they begin), else the `most` newest, the oldest first.

    Raises ModelMissing where there is none, PropensityError where an id is none of them or begins several.
    """
    store = config.tracking.resolved(config.storage)
    if store.startswith(_FILE) and not Path(store.removeprefix(_FILE)).exists():  # do not make a store in order to find it empty
        raise ModelMissing(config.shop.name)
    found = connect(config).search_runs(
        filter_string=f"tags.shop = '{config.shop.name}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        output_format="list",
        search_all_experiments=False,
    )
    if not found:
        raise ModelMissing(config.shop.name)
    chosen = [_named(found, run) for run in wanted] if wanted else found[:most]
    return [_finished(config, run) for run in sorted(chosen, key=lambda run: int(run.info.start_time))]


def _named(runs: Sequence[Any], wanted: str) -> Any:
    matching = [run for run in runs if str(run.info.run_id).startswith(wanted)]
    if len(matching) != 1:
        there = ", ".join(str(run.info.run_id) for run in runs[:10])
        raise PropensityError(f"{len(matching)} finished runs begin with {wanted!r}; name one of {there}.")
    return matching[0]


def _finished(config: Config, run: Any) -> Finished:
    champion, run_id = str(run.data.params.get("champion", "")), str(run.info.run_id)
    prefix = f"test_{champion}_"
    return Finished(
        run_id=run_id,
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        as_of=str(run.data.tags["as_of"]),
        champion=champion,
        settings=dict(_flat(made_with(config, run_id))),
        figures={name.removeprefix(prefix): value for name, value in run.data.metrics.items() if name.startswith(prefix)},
        promoted=_is_promoted(run),
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def made_with(config: Config, run_id: str) -> dict[str, Any]:
    """The configuration that a run was made with, as plain values."""
    return dict(yaml.safe_load(read_text(config, run_id, "config.yaml")))


def read_text(config: Config, run_id: str, name: str) -> str:
    """A text artifact of a run. Raises StorageError where the run's files were on this machine, and are not."""
    mlflow = connect(config)
    place = str(mlflow.get_run(run_id).info.artifact_uri)
    if place.startswith("file:") and not Path(url2pathname(urlparse(place).path)).exists():
        raise StorageError(f"the files of run {run_id} are not at {place}. Was the warehouse moved? Put it back there.")
    with tempfile.TemporaryDirectory() as scratch:
        fetched = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name, dst_path=scratch)
        return Path(fetched).read_text(encoding="utf-8")


def reason(config: Config, run_id: str) -> str:
    """What was noted when a run was promoted: a doubt, whom its champion stands in for, a gate that was off. Mostly empty."""
    return str(connect(config).MlflowClient().get_run(run_id).data.tags.get(_REASON, ""))


def has(config: Config, run_id: str, name: str) -> bool:
    """Whether a run has an artifact of this name, at the top."""
    return any(artifact.path == name for artifact in connect(config).MlflowClient().list_artifacts(run_id))


def add(config: Config, run_id: str, metrics: Mapping[str, float], texts: Mapping[str, str]) -> None:
    """Add metrics and texts to a run that is finished."""
    mlflow = connect(config)
    mlflow.log_metrics(dict(metrics), run_id=run_id)
    for name, text in texts.items():
        mlflow.log_text(text, name, run_id=run_id)


def attach(config: Config, run_id: str, file: Path) -> None:
    """Add a file (the report) to a run."""
    mlflow = connect(config)
    mlflow.MlflowClient().log_artifact(run_id, str(file))
