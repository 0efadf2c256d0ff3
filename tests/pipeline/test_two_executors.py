"""The same shop on one machine and on a Spark with two executors: the same tables, whoever did the work."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import deltalake
import pandas as pd
import pytest
import yaml
from clusters import places

from propensity_spark.config import Config
from propensity_spark.schemas import TABLES
from propensity_spark.serve import registry

pytestmark = [pytest.mark.fit, pytest.mark.timeout(1500)]  # the shop is run twice, once by three JVMs on few cores

FEATURES = sorted(n for n, table in TABLES.items() if n.startswith("features.") and table.writer == "build-features")
EXACT = ("silver.events", *FEATURES, "trainset.candidates")
UNSTEADY = ("run_id", "scored_at", "model_version", "recorded_at")
SCALE = 1e-9  # by how much a sum may differ that was made in another order
SEARCHED = 1e-6  # and a figure of the family whose fit is a search by such sums: each of its steps stands on the one before
_LIMIT = 900  # seconds that a run may take on a busy machine


@dataclass(frozen=True)
class Ran:
    """What a run left: its warehouse, and what Spark wrote about its work."""

    warehouse: Path
    events: tuple[dict, ...]

    def table(self, name: str) -> pd.DataFrame:
        """The table without Spark, in the order of its keys, without what differs between any two runs."""
        rows = deltalake.DeltaTable(str(self.warehouse / name.replace(".", "/"))).to_pandas()
        kept = rows.drop(columns=[column for column in UNSTEADY if column in rows])
        return kept.sort_values(list(TABLES[name].keys), ignore_index=True)


@pytest.fixture(scope="module")
def local(whole_shop: Config) -> Ran:
    """The shop run by threads of this process's JVM."""
    return Ran(Path(whole_shop.storage.warehouse), ())


@pytest.fixture(scope="module")
def cluster(shop_file: Path, whole_shop: Config) -> Ran:
    """The shop run by a driver and two executors, each a process of its own with one core."""
    return _run("run", shop_file, shop_file.parent / "cluster")


def _run(command: str, shop: Path, folder: Path, *settings: str) -> Ran:
    """`propensity COMMAND` in a process of its own: a JVM holds one Spark, and this process has its own already."""
    (folder / "log").mkdir(parents=True)
    log = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": (folder / "log").as_uri()}
    spark = {"master": "local-cluster[2,1,2048]", "driver_memory": "2g", "shuffle_partitions": 2}
    spark["conf"] = {**log, "spark.executor.memory": "2048m"}
    (folder / "spark.yaml").write_text(yaml.safe_dump({"spark": spark, "storage": {"warehouse": str(folder / "warehouse")}}))
    words = [sys.executable, "-m", "propensity_spark.cli", command, "--config", shop, "--config", folder / "spark.yaml"]
    words += [word for setting in settings for word in ("--set", setting)]
    done = subprocess.run(words, env=os.environ | places(folder), capture_output=True, text=True, timeout=_LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return Ran(folder / "warehouse", tuple(_events(folder / "log")))


def _events(folder: Path) -> list[dict]:
    """What Spark logged; the JVM may still be writing the last line."""
    (file,) = folder.iterdir()
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _assert_same(name: str, one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Equal rows by key; the products of sums in gold, which depend on their order, up to rounding."""
    assert len(one) > 0, name
    if name in EXACT:
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    else:
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=SCALE, atol=SCALE)


def _tasks(ran: Ran) -> Counter[str]:
    """Tasks that ended well, by executor."""
    ended = [event for event in ran.events if event["Event"] == "SparkListenerTaskEnd"]
    return Counter(e["Task Info"]["Executor ID"] for e in ended if e["Task End Reason"]["Reason"] == "Success")


def test_two_executors_did_the_work(cluster: Ran) -> None:
    added = [event["Executor ID"] for event in cluster.events if event["Event"] == "SparkListenerExecutorAdded"]
    tasks = _tasks(cluster)
    assert sorted(added) == sorted(tasks) == ["0", "1"]  # none was lost and replaced either
    assert min(tasks.values()) > 0.2 * sum(tasks.values())


@pytest.mark.parametrize("name", EXACT)
def test_two_executors_write_the_same_rows_to_the_last_bit(local: Ran, cluster: Ran, name: str) -> None:
    _assert_same(name, local.table(name), cluster.table(name))


def test_two_executors_give_the_same_scores_and_ranks(local: Ran, cluster: Ran) -> None:
    one, other = local.table("gold.propensity"), cluster.table("gold.propensity")
    _assert_same("gold.propensity", one, other)
    exact = ["user_id", "product_id", "rank", "candidate_source", "feature_version", "model_name"]
    pd.testing.assert_frame_equal(one[exact], other[exact], check_exact=True)
    assert one["propensity"].nunique() > 5


def test_the_comparison_notices_one_score_that_differs(local: Ran) -> None:
    one = local.table("gold.propensity")
    damaged = one.copy()
    damaged.loc[len(one) // 2, "propensity"] += 1e-6
    with pytest.raises(AssertionError, match="propensity"):
        _assert_same("gold.propensity", one, damaged)


def test_two_executors_judge_models_and_baselines_alike(local: Ran, cluster: Ran) -> None:
    one, other = local.table("gold.metrics"), cluster.table("gold.metrics")
    searched = one["scorer"] == "logistic"
    assert 0 < searched.sum() < len(one) == len(other)
    _assert_same("gold.metrics", one[~searched], other[~searched])
    pd.testing.assert_frame_equal(one[searched], other[searched], check_exact=False, rtol=SEARCHED, atol=SEARCHED)


@pytest.mark.long
def test_a_fit_spread_over_both_executors_is_as_good(local: Ran, configured: Callable[..., Config], shop_file: Path) -> None:
    """LightGBM's own network between two processes; its sums differ from those of one task, so the trees may too."""
    folder = shop_file.parent / "spread"
    for name in ("silver", "features", "trainset"):
        shutil.copytree(local.warehouse / name, folder / "warehouse" / name)
    spread = _run("train", shop_file, folder, "models.lightgbm.tasks=2")
    config = configured(f"storage.warehouse={folder / 'warehouse'}")
    (run,) = registry.connect(config).search_runs(search_all_experiments=True, output_format="list")
    assert run.data.metrics["lightgbm_tasks"] == 2
    assert run.data.metrics["lightgbm_trees"] == config.models.lightgbm.rounds
    one, other = (_loss(ran.table("gold.metrics")) for ran in (local, spread))
    assert other["logistic"] == pytest.approx(one["logistic"], rel=1e-9)  # the same rows, then
    assert other["lightgbm"] == pytest.approx(one["lightgbm"], rel=0.02)
    assert other["lightgbm"] != one["lightgbm"]


def _loss(metrics: pd.DataFrame) -> "pd.Series[float]":
    return metrics[(metrics["metric"] == "log_loss") & (metrics["period"] == "test")].set_index("scorer")["value"]
