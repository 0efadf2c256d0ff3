"""`make bench-fit`: a LightGBM fit of this package against LightGBM alone: one run, one machine, ratios.

Every way trains in a process of its own, one after another, on the same rows with the same settings. Timed is the fit: from a
table that Spark holds in memory (as training rows are) to a usable model; and from numpy arrays to a booster. A process fits
several times: the first fit meets a JVM that has compiled nothing yet and is shown apart, of the others the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from clusters import places

ROWS, HELD, INPUTS, TREES, LEAVES, CORES = 800_000, 200_000, 30, 100, 31, 2
FITS = 4
NAMES = [f"x{place}" for place in range(INPUTS)]
# how each is fitted: Spark's master, and the settings of models.lightgbm
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "one machine": (f"local[{CORES}]", {"engine": "native"}),
    "two executors": (f"local-cluster[{CORES},1,4096]", {"engine": "ring", "tasks": CORES}),
    "two executors, SynapseML": (f"local-cluster[{CORES},1,4096]", {"engine": "synapseml", "tasks": CORES}),
}


def generate(folder: Path, rows: int) -> None:
    """Rows whose label hangs on a third of the inputs, also together, in as many files as cores; and rows held out."""
    draw = np.random.default_rng(11)
    for part in [*range(CORES), "held"]:
        count = HELD if part == "held" else rows // CORES
        x = draw.standard_normal((count, INPUTS), dtype=np.float32)
        margin = x[:, 0] + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) - 0.7 * x[:, 4] * (x[:, 5] > 0) + 0.5 * x[:, 6:10].sum(axis=1) - 2.5
        label = (draw.random(count) < 1 / (1 + np.exp(-margin))).astype(np.int32)
        table = pa.table({"label": label, **{name: x[:, place] for place, name in enumerate(NAMES)}})
        where = folder / ("held" if part == "held" else "train")
        where.mkdir(exist_ok=True)
        pq.write_table(table, where / f"{part}.parquet")


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The inputs and the labels of a folder's rows."""
    table = pq.read_table(folder)
    return np.column_stack([table[name].to_numpy() for name in NAMES]), table["label"].to_numpy()


def settings(**more: Any) -> Any:
    """The package's defaults with the bench's trees."""
    from propensity_spark.config import LightGBMConfig

    return replace(LightGBMConfig(), rounds=TREES, leaves=LEAVES, learning_rate=0.1, random_share=0.0, **more)


def timed(fit: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What the last of the fits gave, and how long they took."""
    seconds = []
    for _ in range(FITS):
        began = time.monotonic()
        fitted = fit()
        seconds.append(time.monotonic() - began)
    return fitted, {"first": seconds[0], "seconds": statistics.median(seconds[1:])}


def alone(folder: Path) -> dict[str, float]:
    """LightGBM itself, on all cores."""
    import lightgbm

    from propensity_spark.models.native import FIXED
    from propensity_spark.models.trees import shared

    x, label = arrays(folder / "train")
    parameters = {"objective": "binary", "num_leaves": LEAVES, **shared(settings(), 1), **FIXED, "num_threads": CORES}

    def fit() -> Any:
        return lightgbm.train(parameters, lightgbm.Dataset(x, label=label, params=parameters), num_boost_round=TREES)

    booster, took = timed(fit)
    return {**took, "auc": auc(booster.model_to_string(), folder), "trees": booster.num_trees()}


def auc(model: str, folder: Path) -> float:
    """Of the rows held out."""
    import lightgbm
    from sklearn.metrics import roc_auc_score

    x, label = arrays(folder / "held")
    return float(roc_auc_score(label, lightgbm.Booster(model_str=model).predict(x, num_threads=CORES)))


def through_spark(way: str, folder: Path) -> dict[str, float]:
    """The package's fit on a Spark of its own."""
    from propensity_spark import session
    from propensity_spark.config import ModelsConfig
    from propensity_spark.features.spec import Feature
    from propensity_spark.loading import from_mapping
    from propensity_spark.models.families import FAMILIES

    master, chosen = WAYS[way]
    spark = {"master": master, "driver_memory": "3g", "conf": {"spark.executor.memory": "4096m"}}
    running = session.start(from_mapping({"storage": {"warehouse": str(folder / "warehouse")}, "spark": spark}))
    features = [Feature(name=name, expression=name, description=name, unit="score") for name in NAMES]
    rows = running.read.parquet(str(folder / "train")).coalesce(CORES).persist()
    rows.count()
    models = ModelsConfig(lightgbm=settings(**chosen, timeout_seconds=600))
    fitted, took = timed(lambda: FAMILIES["lightgbm"](rows, features, models, 1))
    found = {**took, "auc": auc(fitted.scorer.payload, folder), "trees": fitted.facts["trees"]}
    running.stop()
    return found


def apart(way: str, folder: Path) -> dict[str, float]:
    """One way in a process of its own."""
    words = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | places(folder))
    if done.returncode:
        sys.exit(f"{way}: {done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Time every way and print ratios."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=ROWS)
    asked.add_argument("--way", default="")
    asked.add_argument("--folder", default="")
    told = asked.parse_args()
    if told.way:
        found = alone(Path(told.folder)) if told.way == "alone" else through_spark(told.way, Path(told.folder))
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        generate(folder, told.rows)
        one = apart("alone", folder)
        print(f"fit of {told.rows:,} rows x {INPUTS} columns, {TREES} trees of {LEAVES} leaves, {CORES} cores")
        print(f"  {'':<26}{'first':>9}{'then':>9}")
        print(line("LightGBM alone", one))
        for way in WAYS:
            found = apart(way, folder)
            ratio, gap = found["seconds"] / one["seconds"], found["auc"] - one["auc"]
            print(f"{line(way, found)}   {ratio:.2f} x alone, AUC {gap:+.4f}", flush=True)


def line(way: str, found: dict[str, float]) -> str:
    """What a way took and gave."""
    return f"  {way:<26}{found['first']:7.1f} s{found['seconds']:7.1f} s   AUC {found['auc']:.4f}   {found['trees']:.0f} trees"


if __name__ == "__main__":
    main()
