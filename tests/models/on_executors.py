"""What `test_executors` runs in a process of its own: fits on a Spark of two one-core executors; prints one JSON line a case."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import roc_auc_score

from propensity_spark import session
from propensity_spark.config import EncoderConfig, LightGBMConfig, ModelsConfig, NetworkConfig, XGBoostConfig
from propensity_spark.errors import TrainingFailed
from propensity_spark.features import encoders
from propensity_spark.features.spec import Feature
from propensity_spark.loading import from_mapping
from propensity_spark.models import fast, trees, watchdog
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.layout import Size

FEATURES = tuple(Feature(name=name, expression=name, description=name, unit="score") for name in ("x0", "x1", "x2"))
SETTINGS = LightGBMConfig(rounds=20, random_share=0.0, leaves=7, min_data_in_leaf=20, learning_rate=0.2, timeout_seconds=120)
LONG = 2_500  # rounds: a fit that is not over when an executor is killed
AS_OF = date(2024, 3, 1)
_ROWS, _LEVELS = 20_000, 5_000


def main(folder: Path, cases: list[str]) -> None:
    """Run these cases on rows that lie in files, where any executor finds them."""
    spark = started(folder)
    rows = written(spark, folder)
    for name in cases:
        began = time.monotonic()
        found = globals()[name](spark, rows)
        print(json.dumps({"case": name, "seconds": time.monotonic() - began, **found}), flush=True)


def started(folder: Path) -> SparkSession:
    """Two executors of one core."""
    spark = {"master": "local-cluster[2,1,1500]", "driver_memory": "1500m", "shuffle_partitions": 2}
    conf = {"spark.executor.memory": "1500m", "spark.network.timeout": "60s", "spark.executor.heartbeatInterval": "5s"}
    return session.start(from_mapping({"storage": {"warehouse": str(folder)}, "spark": {**spark, "conf": conf}}))


def written(spark: SparkSession, folder: Path) -> DataFrame:
    """label hangs on x0, x1 and the level."""
    draw = np.random.default_rng(5)
    x = draw.standard_normal((_ROWS, 3))
    level = draw.integers(0, _LEVELS, _ROWS)
    effect = np.random.default_rng(6).standard_normal(_LEVELS)[level]
    label = (draw.random(_ROWS) < 1 / (1 + np.exp(-(x[:, 0] - x[:, 1] + 1.5 * effect - 1)))).astype(int)
    made = pd.DataFrame({"user_id": [f"u{n % 5000}" for n in range(_ROWS)], "category": [f"c{n}" for n in level], "label": label})
    made["as_of"], made["weight"] = AS_OF, 1.0
    for place, feature in enumerate(FEATURES):
        made[feature.name] = x[:, place].astype(np.float32)
    made.to_parquet(folder / "rows.parquet")
    return spark.read.parquet(str(folder / "rows.parquet")).repartition(4, "user_id").sortWithinPartitions("user_id", "x0")


def fit(rows: DataFrame, features: tuple[Feature, ...] = FEATURES, **changed: Any) -> fast.Scorer:
    """The LightGBM of the rows with such settings."""
    config = ModelsConfig(lightgbm=replace(SETTINGS, **changed))
    return FAMILIES["lightgbm"](rows, features, config, 1).scorer


def failure(work: Callable[[], object]) -> str:
    """How it failed; empty where it ended well."""
    try:
        work()
    except TrainingFailed as problem:
        return str(problem)
    return ""


def options(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """With what the JVMs of the executors were started."""
    del rows
    _wait_for_executors(spark)
    return {"said": [Path(f"/proc/{number}/cmdline").read_text(encoding="utf-8").split("\0") for number in executors()]}


def slots(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """A fit without enough slots, by each engine that spreads, and of several workers."""
    del spark
    return {"said": [failure(partial(fit, rows, engine=engine, tasks=3)) for engine in ("ring", "synapseml")]}


def equal(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """Two fits of one seed, by each engine."""
    del spark
    fits = {engine: [fit(rows, engine=engine, tasks=2) for _ in range(2)] for engine in ("ring", "synapseml")}
    return {engine: one == other for engine, (one, other) in fits.items()}


def levels(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """A category of thousands of values, encoded, by each engine that spreads: its AUC, and that of a fit without it."""
    del spark
    asked = [EncoderConfig(column="category", how=how) for how in ("target", "index", "frequency")]
    learnt = encoders.fit(rows, asked, [AS_OF], seed=1)
    told, made = learnt.out_of_fold(rows), (*FEATURES, *learnt.features)
    found = {engine: _auc(told, fit(told, made, engine=engine, tasks=2)) for engine in ("ring", "synapseml")}
    return {**found, "without": _auc(rows, fit(rows, engine="ring", tasks=2))}


def _auc(rows: DataFrame, scorer: fast.Scorer) -> float:
    told = fast.score(rows, [scorer], ["label"]).toPandas()
    return float(roc_auc_score(told["label"], told[scorer.column]))


def killed_native(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """An executor is killed while the fit in one task goes on; the task may be on either."""
    return _killed(spark, partial(fit, rows, engine="native", rounds=LONG))


def killed_ring(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """An executor is killed while both work at one fit."""
    return _killed(spark, partial(fit, rows, engine="ring", tasks=2, rounds=LONG))


def killed_synapseml(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """The same inside the JVM."""
    return _killed(spark, partial(fit, rows, engine="synapseml", tasks=2, rounds=LONG, timeout_seconds=60))


def killed_xgboost(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """The same while two workers of XGBoost's estimator work."""
    config = ModelsConfig(xgboost=XGBoostConfig(workers=2, rounds=LONG))
    return _killed(spark, partial(FAMILIES["xgboost"], rows, FEATURES, config, 1))


def killed_network(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """The same while two processes of torch work."""
    config = ModelsConfig(network=NetworkConfig(workers=2, batch_rows=64, epochs=15, patience=15))
    return _killed(spark, partial(FAMILIES["network"], rows, FEATURES, config, 1))


def lost_ring(spark: SparkSession, rows: DataFrame) -> Mapping[str, Any]:
    """An executor is lost when the rows have been counted and the tasks have not begun: for a while there is room for one.

    Nothing else is to be done in between: the rows lie on both executors.
    """
    _wait_for_executors(spark)
    laid_out = rows.repartition(2, "user_id").persist(StorageLevel.MEMORY_AND_DISK_2)
    laid_out.count()
    size, anew, tries, until = trees.size, watchdog._anew, [], time.monotonic() + 60

    def sized(some: DataFrame) -> Size:
        found = size(some)
        os.kill(executors()[-1], signal.SIGKILL)
        while _known(spark) > 1 and time.monotonic() < until:
            time.sleep(0.01)
        return found

    def counted(work: Callable[[], Any], limit: float) -> Any:
        return anew(lambda: (tries.append(1), work())[1], limit)  # type: ignore[func-returns-value]

    trees.size, watchdog._anew = sized, counted  # type: ignore[assignment]
    try:
        return {"said": failure(partial(fit, laid_out, engine="ring", tasks=2)), "tries": len(tries)}
    finally:
        trees.size, watchdog._anew = size, anew
        laid_out.unpersist()


def _killed(spark: SparkSession, work: Callable[[], object]) -> Mapping[str, Any]:
    _wait_for_executors(spark)
    victims: list[int] = []

    def kill() -> None:
        time.sleep(4)
        victims.append(executors()[-1])
        os.kill(victims[0], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    began = time.monotonic()
    said = failure(work)
    ended = time.monotonic() - began
    killer.join()
    return {"said": said, "fit_seconds": ended, "killed": len(victims)}


def _wait_for_executors(spark: SparkSession) -> None:
    """Until a lost executor is replaced, and Spark knows of it: for three looks in a row."""
    until, good = time.monotonic() + 90, 0
    while time.monotonic() < until and good < 3:
        time.sleep(1)
        good = good + 1 if _known(spark) == len(executors()) == 2 else 0


def _known(spark: SparkSession) -> int:
    """How many executors Spark counts on."""
    return int(spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size()) - 1  # the driver is in the list


def executors() -> list[int]:
    """The processes of this Spark's executors, the newest last."""
    mine, found = str(os.getpid()), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace")
                line = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "CoarseGrainedExecutorBackend" in words and f"PROPENSITY_TEST_OF={mine}" in line:
                found.append(int(folder.name))
    return sorted(found)


if __name__ == "__main__":
    os.environ["PROPENSITY_TEST_OF"] = str(os.getpid())  # its executors inherit it
    main(Path(sys.argv[1]), sys.argv[2:])
