"""Scoring takes the newest run that was promoted; a refused one is kept to be looked at; the alias is the champion's.

And what MLflow is told of a model beside its figures: what it needs where it is loaded, and its losses by round.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from propensity_spark.config import Config
from propensity_spark.errors import NotPromoted, StorageError, TableMissing
from propensity_spark.judge.gate import Verdict
from propensity_spark.loading import from_mapping
from propensity_spark.models.contract import Fitted
from propensity_spark.models.fast import Scorer
from propensity_spark.serve import registry
from propensity_spark.serve.bundle import Bundle
from propensity_spark.serve.crown import CHAMPION, crown
from propensity_spark.serve.store import model_name

DAY = date(2024, 4, 1)
BUNDLE = Bundle(
    shop="a",
    as_of=DAY,
    horizon_days=28,
    champion="logistic",
    feature_version="v",
    scorers={"logistic": Scorer("logistic", ("a",), ("days",), "{}")},
    calibrators={},
    versions={},
)
LOG_MODEL = registry._log_model  # `registered` stands in for it elsewhere
REFUSED = Verdict(False, "the log loss of logistic is above that of own")
MODELS: Any = {"logistic": SimpleNamespace(family="logistic", curves={}), "lightgbm": SimpleNamespace(family="lightgbm", curves={})}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A shop with a store of its own; its models are registered without being written."""
    return from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path_factory.mktemp("store"))}})


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version in the registry per model, as logging it would make."""

    def model(mlflow: Any, config: Config, fitted: Any) -> str:
        client, name = mlflow.MlflowClient(), model_name(mlflow, config, fitted.family)
        if not client.search_registered_models(filter_string=f"name = '{name}'"):
            client.create_registered_model(name)
        return str(client.create_model_version(name, source="nowhere", run_id=mlflow.active_run().info.run_id).version)

    monkeypatch.setattr(registry, "_log_model", model)


def _log(config: Config, verdict: Verdict, as_of: date = DAY) -> registry.Run:
    return registry.log(config, replace(BUNDLE, as_of=as_of), MODELS, {}, {}, verdict)


def _champion(config: Config) -> str:
    found = registry.connect(config).MlflowClient().get_model_version_by_alias("a_logistic", CHAMPION)
    return str(found.version)


def test_scoring_takes_the_newest_promoted_run(store: Config) -> None:
    good = _log(store, Verdict(True))
    assert _champion(store) == good.bundle.versions["logistic"]
    refused = _log(store, REFUSED)
    assert registry.latest(store, DAY).run_id == good.run_id
    assert _champion(store) == good.bundle.versions["logistic"] != refused.bundle.versions["logistic"]
    better = _log(store, Verdict(True, "noted: its ECE"))
    assert registry.latest(store, DAY).run_id == better.run_id
    assert _champion(store) == better.bundle.versions["logistic"]
    tags = registry.connect(store).get_run(refused.run_id).data.tags
    assert (tags["promoted"], tags["promotion_reason"]) == ("false", REFUSED.reason)


def test_where_another_family_takes_over_no_replaced_model_keeps_the_alias(store: Config) -> None:
    _log(store, Verdict(True))
    stands_in = registry.log(store, replace(BUNDLE, champion="lightgbm"), MODELS, {}, {}, Verdict(True))
    client = registry.connect(store).MlflowClient()
    client.create_registered_model("a_b_logistic")
    client.create_model_version("a_b_logistic", source="nowhere")
    client.set_registered_model_alias("a_b_logistic", CHAMPION, "1")  # of the shop a_b
    assert client.get_registered_model("a_lightgbm").aliases == {CHAMPION: int(stands_in.bundle.versions["lightgbm"])}
    assert client.get_registered_model("a_logistic").aliases == {}
    _log(store, Verdict(True))
    assert client.get_registered_model("a_lightgbm").aliases == {}
    assert client.get_registered_model("a_b_logistic").aliases == {CHAMPION: 1}, "another shop's is left alone"


@pytest.mark.parametrize(
    ("as_of", "horizon", "moves"),
    [
        (date(2024, 3, 31), 28, False),  # a look back
        (DAY, 28, True),
        (date(2024, 4, 2), 28, True),
        (date(2024, 3, 31), 7, False),
        (DAY, 7, False),  # beside production's
        (date(2024, 4, 2), 7, True),  # the horizon has changed for good
    ],
)
def test_the_alias_stays_with_a_run_of_a_later_date_or_of_the_same_with_another_horizon(
    tmp_path: Path, as_of: date, horizon: int, moves: bool
) -> None:
    store = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path)}})
    first = _log(store, Verdict(True))
    asked = replace(BUNDLE, as_of=as_of, horizon_days=horizon, champion="lightgbm")
    second = registry.log(store, asked, MODELS, {}, {}, Verdict(True))
    client = registry.connect(store).MlflowClient()
    held = {name: client.get_registered_model(f"a_{name}").aliases for name in MODELS}
    after = {"logistic": {}, "lightgbm": {CHAMPION: int(second.bundle.versions["lightgbm"])}}
    before = {"logistic": {CHAMPION: int(first.bundle.versions["logistic"])}, "lightgbm": {}}
    assert held == (after if moves else before)


def test_a_holder_that_no_run_made_gives_way(store: Config) -> None:
    _log(store, Verdict(True))
    client = registry.connect(store).MlflowClient()
    client.set_registered_model_alias("a_logistic", CHAMPION, client.create_model_version("a_logistic", "nowhere").version)
    run = _log(store, Verdict(True))
    assert _champion(store) == run.bundle.versions["logistic"]


@pytest.mark.parametrize("asked", ["get_model_version_by_alias", "get_run"])
def test_a_registry_that_does_not_say_who_holds_the_alias_leaves_it_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    store = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path)}})
    first, mlflow = _log(store, Verdict(True), date(2024, 4, 5)), registry.connect(store)
    for code in ("PERMISSION_DENIED", "TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR"):

        def fail(*_: Any, code: str = code) -> None:
            raise mlflow.exceptions.RestException({"error_code": code, "message": "no"})

        with monkeypatch.context() as patched:
            patched.setattr(mlflow.MlflowClient, asked, fail)
            assert code in crown(mlflow, store, replace(first.bundle, as_of=DAY))
            assert code in _log(store, Verdict(True)).noted, "it is logged, and may score"
    assert not _log(store, Verdict(True)).noted  # a look back
    assert _champion(store) == first.bundle.versions["logistic"]


def test_it_is_said_where_another_family_keeps_the_alias_beside_the_new_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path)}})
    _log(store, Verdict(True))
    mlflow = registry.connect(store)

    def fail(*_: Any) -> None:
        raise mlflow.exceptions.RestException({"error_code": "PERMISSION_DENIED", "message": "no"})

    monkeypatch.setattr(mlflow.MlflowClient, "delete_registered_model_alias", fail)
    run = registry.log(store, replace(BUNDLE, champion="lightgbm"), MODELS, {}, {}, Verdict(True))
    assert run.noted.startswith(
        "the alias champion was given to a_lightgbm, and stays with a_logistic too, since the registry says:"
    )
    aliases = [mlflow.MlflowClient().get_registered_model(f"a_{name}").aliases for name in MODELS]
    assert all(CHAMPION in held for held in aliases)


def test_a_run_from_before_there_was_a_gate_counts_as_promoted(store: Config) -> None:
    day = date(2024, 4, 2)
    old = _log(store, Verdict(True), day)
    client = registry.connect(store).MlflowClient()
    for tag in ("promoted", "promotion_reason"):
        client.delete_tag(old.run_id, tag)
    _log(store, REFUSED, day)
    assert registry.latest(store, day).run_id == old.run_id


def test_where_all_were_refused_it_says_why_and_where_there_is_none_who_makes_one(store: Config) -> None:
    day = date(2024, 4, 3)
    with pytest.raises(TableMissing, match=r"trained yet for \w+ as of 2024-04-03, 28 days ahead \(each date has a"):
        registry.latest(store, day)
    _log(store, REFUSED, day)
    with pytest.raises(NotPromoted, match="no model as of 2024-04-03 was promoted: the log loss of logistic is above that of own"):
        registry.latest(store, day)


def test_refused_runs_are_shown_as_such(store: Config) -> None:
    shown = {run.run_id: run.promoted for run in registry.finished(store, [], 100)}
    assert set(shown.values()) == {True, False}
    refused = _log(store, REFUSED)
    assert [run.promoted for run in registry.finished(store, [refused.run_id], 1)] == [False]


@pytest.mark.parametrize(
    "uri", ["databricks", "databricks://profile", "http://host:5000", "file:/runs", "sqlite:///{here}/there.db"]
)
def test_runs_are_looked_for_wherever_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    asked: list[str] = []

    def connect(config: Config) -> Any:
        asked.append(config.tracking.uri)
        return SimpleNamespace(search_runs=lambda **_: [])

    monkeypatch.setattr(registry, "connect", connect)
    (tmp_path / "there.db").touch()
    config = from_mapping({"shop": {"name": "a"}, "tracking": {"uri": uri.format(here=tmp_path)}})
    with pytest.raises(TableMissing, match="train"):
        registry.finished(config, [], 10)
    assert asked == [config.tracking.uri]


def test_to_look_for_runs_makes_no_file(tmp_path: Path) -> None:
    for tracking in ({}, {"uri": f"sqlite:///{tmp_path}/other.db"}):
        config = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path)}, "tracking": tracking})
        with pytest.raises(TableMissing, match="train"):
            registry.finished(config, [], 10)
    assert list(tmp_path.iterdir()) == []


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


def test_models_are_written_by_way_of_the_folder_that_executors_reach(store: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[Any] = []

    def log_model(*_: Any, **told: Any) -> Any:
        ways.append((told["dfs_tmpdir"], told["registered_model_name"]))
        return SimpleNamespace(registered_model_version="1")

    mlflow: Any = SimpleNamespace(spark=SimpleNamespace(log_model=log_model), get_registry_uri=lambda: "http://x")
    fitted: Any = SimpleNamespace(family="logistic", pipeline=None, scorer=BUNDLE.scorers["logistic"])
    monkeypatch.delenv("MLFLOW_DFS_TMP", raising=False)
    LOG_MODEL(mlflow, store, fitted)
    monkeypatch.setenv("MLFLOW_DFS_TMP", "/Volumes/shop/tmp")
    LOG_MODEL(mlflow, store, fitted)
    (own, name), (given, _) = ways
    assert (given, name) == ("/Volumes/shop/tmp", "a_logistic")
    assert own != given
    assert not Path(own).exists(), "a folder of its own is removed again"


def test_a_run_whose_files_were_moved_away_is_told_in_a_line(tmp_path: Path) -> None:
    here = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path / "old")}})
    run = _log(here, Verdict(True))
    assert registry.latest(here, DAY).run_id == run.run_id
    (tmp_path / "old").rename(tmp_path / "new")
    there = from_mapping({"shop": {"name": "a"}, "storage": {"warehouse": str(tmp_path / "new")}})
    with pytest.raises(StorageError, match=rf"the files of run {run.run_id} are not at .*old.*Was the warehouse moved"):
        registry.latest(there, DAY)
