"""Power cuts: a job that was killed midway and started again leaves what an undisturbed run leaves, and nobody sees a part."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deltalake
import mlflow
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.pipeline import build_features, fitting, score, train
from propensity_spark.progress import Progress
from propensity_spark.schemas import TABLES
from propensity_spark.serve import registry

pytestmark = [pytest.mark.fit, pytest.mark.long]

_ROLLED_UP = (f"features.{entity}" for entity in build_features.ENTITIES)
BUILT = ("features.pair", *_ROLLED_UP, "features.series", "trainset.candidates")  # in this order
GOLD = ("gold.propensity", "gold.metrics")
UNSTEADY = ("run_id", "scored_at", "model_version")
SETTINGS = (
    "score.as_of=2024-04-10",  # its labels are in the data: there is a backtest to be written
    "train.dates=1",
    "train.refit=true",  # as it is without settings
    "train.min_positives=30",
    "train.min_buyers=10",
    "models.families=[lightgbm]",
    "models.lightgbm.rounds=5",
    "promotion.gate=false",  # so few rounds do not beat the baselines
    "features.windows=[7]",
)
OTHER_SETTINGS = (
    "features.history_days=40",
    "features.version=2",
    "candidates.popular=5",
)  # no table of BUILT is the same under these
_LIMIT = 300  # seconds for a process on a busy machine


class Killed(Exception):
    """Stands for a power cut."""


@dataclass(frozen=True)
class Stands:
    """Warehouses as they stand at one moment, and what the undisturbed training had fitted; nobody writes into them."""

    ingested: Path
    built_otherwise: Path
    trained: Path
    scored: Path
    fitted: tuple[train.Trained, train.Judged]


@dataclass(frozen=True)
class Shop:
    """The shop in a warehouse of its own, and its jobs."""

    spark: SparkSession
    warehouse: Path
    configured: Callable[..., Config]

    def config(self, *settings: str) -> Config:
        """Its configuration, with further settings."""
        return self.configured(f"storage.warehouse={self.warehouse}", *SETTINGS, *settings)

    def do(self, job: Callable[..., object], *settings: str) -> None:
        """One job, as `propensity JOB` does it."""
        config = self.config(*settings)
        tables.attach(self.spark, config.storage)
        moment = build_features.prepare(self.spark, config, config.score.as_of)
        job(self.spark, config, moment, Progress(quiet=True))


@pytest.fixture(scope="module")
def stands(
    spark: SparkSession, whole_shop: Config, configured: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stands]:
    """One undisturbed run, from silver on, and copies of the moments in it."""
    folder, before = tmp_path_factory.mktemp("stands"), spark.conf.get("spark.propensity.warehouse")
    for layer in ("bronze", "silver"):
        shutil.copytree(Path(whole_shop.storage.warehouse) / layer, folder / "ingested" / layer)
    otherwise = Shop(spark, _copy(folder / "ingested", folder / "otherwise"), configured)
    otherwise.do(build_features.run, *OTHER_SETTINGS)
    shop = Shop(spark, _copy(folder / "ingested", folder / "scored"), configured)
    shop.do(build_features.run)
    fitted = _train(shop)
    trained = _copy(shop.warehouse, folder / "trained")
    shop.do(score.run)
    yield Stands(folder / "ingested", otherwise.warehouse, trained, shop.warehouse, fitted)
    tables.attach(spark, configured(f"storage.warehouse={before}").storage)


def _train(shop: Shop) -> tuple[train.Trained, train.Judged]:
    """Train, and keep what was fitted and judged."""
    kept: list[tuple[train.Trained, train.Judged]] = []
    really = train._log

    def log(config: Config, moment: build_features.Moment, final: train.Trained, judged: train.Judged, *rest: Any) -> registry.Run:
        kept.append((final, judged))
        return really(config, moment, final, judged, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_log", log)
        shop.do(train.run)
    return kept[0]


def _copy(one: Path, other: Path) -> Path:
    return Path(shutil.copytree(one, other))


@pytest.fixture
def shop_at(spark: SparkSession, configured: Callable[..., Config], tmp_path: Path) -> Callable[[Path], Shop]:
    """shop_at(stand): a copy of the warehouse to work in."""
    return lambda stand: Shop(spark, _copy(stand, tmp_path / "warehouse"), configured)


@pytest.fixture
def die_writing(monkeypatch: pytest.MonkeyPatch, shop_at: Callable[[Path], Shop]) -> Callable[..., None]:
    """die_writing(name, shop, job, ...): do the job until the table's rows are written in part, and no further."""
    really = tables.replace

    def die(name: str, shop: Shop, job: Callable[..., object], *settings: str) -> None:
        def replace(frame: DataFrame, table: str, where: str, note: str = "") -> int:
            return really(_cut_off(frame) if table == name else frame, table, where, note)

        with monkeypatch.context() as patch:
            patch.setattr(tables, "replace", replace)
            with pytest.raises(Exception, match="power cut"):
                shop.do(job, *settings)

    return die


def _cut_off(frame: DataFrame) -> DataFrame:
    """The frame with a last partition that ends the job: what the others have written by then stays behind."""
    fields = frame.schema.fields
    end = frame.sparkSession.range(1, numPartitions=1)
    return frame.union(end.select(*(F.raise_error(F.lit("power cut")).cast(f.dataType).alias(f.name) for f in fields)))


def _delta(warehouse: Path, name: str) -> Path:
    return warehouse / name.replace(".", "/")


def _table(warehouse: Path, name: str) -> pd.DataFrame | None:
    """What a reader sees; None where there is no such table."""
    folder = str(_delta(warehouse, name))
    if not deltalake.DeltaTable.is_deltatable(folder):
        return None
    rows = deltalake.DeltaTable(folder).to_pandas()
    kept = rows.drop(columns=[column for column in UNSTEADY if column in rows])
    return kept.sort_values(list(TABLES[name].keys), ignore_index=True)


def _assert_seen(warehouse: Path, stand: Path, *names: str) -> None:
    """A reader of the warehouse sees these tables as they are in the other one."""
    for name in names:
        seen, wanted = _table(warehouse, name), _table(stand, name)
        assert (seen is None) == (wanted is None), name
        if seen is not None:
            exact = name in BUILT
            pd.testing.assert_frame_equal(seen, wanted, check_exact=exact, **({} if exact else {"rtol": 1e-9, "atol": 1e-9}))


def _left_behind(warehouse: Path) -> int:
    """How many files of rows lie there that no table names."""
    found = 0
    for name in (*BUILT, *GOLD):
        folder = _delta(warehouse, name)
        named = len(deltalake.DeltaTable(str(folder)).file_uris()) if deltalake.DeltaTable.is_deltatable(str(folder)) else 0
        found += len(list(folder.rglob("*.parquet"))) - named
    return found


def test_the_settings_tell_every_table_apart(stands: Stands) -> None:
    for name in BUILT:
        one, other = _table(stands.scored, name), _table(stands.built_otherwise, name)
        assert one is not None
        assert len(one) > 0
        assert not one.equals(other), name


def test_features_killed_at_every_write_in_turn_are_seen_whole_and_end_equal(
    stands: Stands, shop_at: Callable[[Path], Shop], die_writing: Callable[..., None]
) -> None:
    """Made under other settings before, every table is seen as before or as after."""
    shop = shop_at(stands.built_otherwise)
    for number, name in enumerate(BUILT):
        die_writing(name, shop, build_features.run)
        _assert_seen(shop.warehouse, stands.scored, *BUILT[:number])
        _assert_seen(shop.warehouse, stands.built_otherwise, *BUILT[number:])
    shop.do(build_features.run)
    _assert_seen(shop.warehouse, stands.scored, *BUILT)


def test_features_killed_at_a_first_write_are_not_there_and_can_be_made(
    stands: Stands, shop_at: Callable[[Path], Shop], die_writing: Callable[..., None]
) -> None:
    shop = shop_at(stands.ingested)
    for number, name in enumerate(BUILT[:2]):
        die_writing(name, shop, build_features.run)
        _assert_seen(shop.warehouse, stands.scored, *BUILT[:number])
        _assert_seen(shop.warehouse, stands.ingested, *BUILT[number:])
    assert _left_behind(shop.warehouse) > 0  # rows were written, and not seen
    shop.do(build_features.run)
    _assert_seen(shop.warehouse, stands.scored, *BUILT)


def test_features_killed_under_other_settings_are_made_again_under_the_former_ones(
    stands: Stands, shop_at: Callable[[Path], Shop], die_writing: Callable[..., None]
) -> None:
    shop = shop_at(stands.scored)
    die_writing("features.user", shop, build_features.run, *OTHER_SETTINGS)
    shop.do(build_features.run)
    _assert_seen(shop.warehouse, stands.scored, *BUILT)


def test_a_training_killed_at_every_write_in_turn_leaves_the_former_run_in_force_and_ends_equal(
    stands: Stands, shop_at: Callable[[Path], Shop], die_writing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is killed here has its fits from the undisturbed run; what is run to its end fits anew."""
    shop = shop_at(stands.trained)
    shutil.rmtree(_delta(shop.warehouse, "gold.metrics"))
    former = _latest(shop)
    with monkeypatch.context() as fitted:
        fitted.setattr(fitting, "fit", lambda *_: None)
        fitted.setattr(fitting, "calibrated", lambda *_: stands.fitted[0])
        fitted.setattr(train, "_judged", lambda *_: stands.fitted[1])
        for place, name in ((registry, "_log_model"), (mlflow, "log_text")):
            with monkeypatch.context() as patch:
                patch.setattr(place, name, _killed)
                with pytest.raises(Killed):
                    shop.do(train.run)
            assert _latest(shop).run_id == former.run_id
        die_writing("gold.metrics", shop, train.run)
    assert _table(shop.warehouse, "gold.metrics") is None
    shop.do(train.run)
    _assert_seen(shop.warehouse, stands.trained, *GOLD)
    assert _latest(shop).bundle.scorers == former.bundle.scorers
    shop.do(score.run)
    _assert_seen(shop.warehouse, stands.scored, *GOLD)


def _killed(*_: object, **__: object) -> None:
    raise Killed


def _latest(shop: Shop) -> registry.Run:
    config = shop.config()
    assert config.score.as_of is not None
    return registry.latest(config, config.score.as_of)


def test_a_scoring_killed_at_every_write_in_turn_is_seen_whole_and_ends_equal(
    stands: Stands, shop_at: Callable[[Path], Shop], die_writing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shop_at(stands.trained)
    die_writing("gold.propensity", shop, score.run)
    _assert_seen(shop.warehouse, stands.trained, *GOLD)
    die_writing("gold.metrics", shop, score.run)
    _assert_seen(shop.warehouse, stands.scored, "gold.propensity")
    _assert_seen(shop.warehouse, stands.trained, "gold.metrics")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "add", _killed)
        with pytest.raises(Killed):
            shop.do(score.run)
    shop.do(score.run)
    _assert_seen(shop.warehouse, stands.scored, *GOLD)


def test_a_process_killed_while_it_logs_its_models_and_started_again_ends_equal(
    stands: Stands, shop_file: Path, shop_at: Callable[[Path], Shop]
) -> None:
    """SIGKILL to Python and its JVM at once, then the same command."""
    shop = shop_at(stands.ingested)
    running = _start(shop, shop_file)
    _wait_for(shop.warehouse / "mlruns", running)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    _assert_seen(shop.warehouse, stands.scored, *BUILT)
    _assert_seen(shop.warehouse, stands.ingested, *GOLD)
    again = _start(shop, shop_file)
    said = again.communicate(timeout=_LIMIT)[0]
    assert again.returncode == 0, said
    assert "neither the events nor the settings have changed" in said
    _assert_seen(shop.warehouse, stands.scored, *BUILT, *GOLD)


def _start(shop: Shop, file: Path) -> "subprocess.Popen[str]":
    """`propensity run` in a process group of its own."""
    settings = (f"storage.warehouse={shop.warehouse}", "spark.master=local[2]", "spark.shuffle_partitions=2", *SETTINGS)
    command = [sys.executable, "-m", "propensity_spark.cli", "run", "--config", str(file)]
    command += [part for setting in settings for part in ("--set", setting)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for(file: Path, running: "subprocess.Popen[str]") -> None:
    """Until the process has made the file; fails where it ends first."""
    limit = time.monotonic() + _LIMIT
    while not file.exists():
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < limit, f"no {file} within {_LIMIT} s"
        time.sleep(0.05)
