"""A network's rows on their way to those who learn from them.

One worker     is one Spark task, fed by Arrow batches: the driver sees the network alone.
Several        are processes that Spark's TorchDistributor starts, one in each task of a barrier stage, on a local master as on a
               cluster: each reads the partition of its task, which Spark writes as an Arrow file to that machine's local disk.
               No folder has to be reachable by all, and a cancelled stage ends its processes. (With its local_mode the
               distributor starts processes beside the driver that Spark hands no rows.)
"""

import atexit
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import NetworkConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models import slots
from propensity_spark.models.contract import LABEL, learn_weight
from propensity_spark.models.keys import Key
from propensity_spark.models.layout import ORDER, numbered
from propensity_spark.models.validation import held
from propensity_spark.models.watchdog import within

_TARGET, _COUNTS, _HELD = "_target", "_counts", "_held"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to learn, and the columns to learn from: inputs with their units, keys with their buckets."""

    settings: NetworkConfig
    inputs: tuple[str, ...]
    units: tuple[str, ...]
    keys: tuple[Key, ...]
    seed: int
    threads: int

    @property
    def buckets(self) -> tuple[int, ...]:
        """Of each key."""
        return tuple(key.buckets for key in self.keys)


@dataclass(frozen=True, slots=True)
class Rows:
    """One worker's rows as arrays: what is to be learnt, how much each counts, whether it is for validation, and the inputs."""

    target: npt.NDArray[np.float32]
    counts: npt.NDArray[np.float32]
    held: npt.NDArray[np.bool_]
    numbers: npt.NDArray[np.float32]
    buckets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)

    def where(self, some: Any) -> "Rows":
        """Some of the rows."""
        return Rows(self.target[some], self.counts[some], self.held[some], self.numbers[some], self.buckets[some])


def fit(rows: DataFrame, features: Sequence[Feature], keys: tuple[Key, ...], settings: NetworkConfig, seed: int) -> str:
    """Fit a network on the rows in their order: see epochs.learn for what comes back.

    Raises TrainingFailed past the limit, and where not all workers can run at once.
    """
    spark, workers = rows.sparkSession, settings.workers
    slots.check(spark, "models.network.workers", workers)
    if workers > 1:
        slots.check_barriers(spark, "models.network.workers above 1", "it to 1")
    names, units = tuple(f.name for f in features), tuple(f.unit for f in features)
    plan = Plan(settings, names, units, keys, seed, _threads(rows, workers))
    narrow = _narrow(rows, plan)
    work = (lambda: _in_one_task(narrow, plan)) if workers == 1 else (lambda: _in_several(narrow, plan))
    return within(spark, settings.timeout_seconds, f"fitting the network on {workers} worker(s)", work)


def _threads(rows: DataFrame, workers: int) -> int:
    """Of each worker. Several may meet on an executor: on a cluster each has the core of its task."""
    most = slots.threads(rows.sparkSession)
    if workers == 1:
        return most
    return max(most // workers, 1) if slots.is_local(rows.sparkSession) else 1


def _narrow(rows: DataFrame, plan: Plan) -> DataFrame:
    """What the workers read; a share of the users (where there are none, of the rows) is for validation."""
    ordered = numbered(rows)
    counts: list[Column] = [F.col(name) for name in learn_weight(rows)] or [F.lit(1.0)]
    return ordered.select(
        ORDER,
        F.col(LABEL).cast("float").alias(_TARGET),
        *(column.cast("float").alias(_COUNTS) for column in counts),
        held(ordered, plan.settings.validation_share, plan.seed).alias(_HELD),
        *(F.col(name).cast("float").alias(name) for name in plan.inputs),
        *(key.bucket() for key in plan.keys),
    )


def _in_one_task(narrow: DataFrame, plan: Plan) -> str:
    def task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from propensity_spark.models.epochs import learn  # only a fit needs torch

        yield pa.RecordBatch.from_arrays([pa.array([learn(read(batches, plan), plan)])], names=["told"])

    return str(narrow.coalesce(1).mapInArrow(task, "told STRING").collect()[0][0])


def _in_several(narrow: DataFrame, plan: Plan) -> str:
    import logging

    from pyspark.ml.torch.distributor import TorchDistributor

    workers = plan.settings.workers
    distributor = TorchDistributor(num_processes=workers, local_mode=False, use_gpu=False)
    distributor.logger.setLevel(logging.WARNING)  # else it tells of each fit on our screen
    return str(distributor._train_on_dataframe(_worker, narrow.repartition(workers, ORDER), plan))


def _worker(plan: Plan) -> str:
    """What a process that torch started does with the rows of its task."""
    import torch.distributed as peers
    from pyspark.ml.torch.distributor import SPARK_PARTITION_ARROW_DATA_FILE

    from propensity_spark.models.epochs import learn

    with pa.OSFile(os.environ[SPARK_PARTITION_ARROW_DATA_FILE]) as file:
        mine = read(pa.ipc.open_stream(file), plan)
    peers.init_process_group("gloo", timeout=timedelta(seconds=plan.settings.timeout_seconds))
    try:
        found = learn(mine, plan)
    finally:
        peers.destroy_process_group()
    atexit.register(_leave)
    return found


def _leave() -> None:
    """End a process that has done its work, and tear nothing down.

    A thread of gloo may still hold a tensor; where it lets go of it while the interpreter is being torn down, the process
    aborts, and the other workers wait for it for five minutes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def read(batches: Iterable[pa.RecordBatch], plan: Plan) -> Rows:
    """The rows of the batches, in the order that they had before they were handed over."""
    parts = [_arrays(batch, plan) for batch in batches if batch.num_rows]
    if not parts:
        none = np.zeros(0, dtype=np.float32)
        numbers, buckets = np.zeros((0, len(plan.inputs)), np.float32), np.zeros((0, len(plan.keys)), np.int64)
        return Rows(none, none, none.astype(bool), numbers, buckets)
    order, *columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    parts.clear()
    return Rows(*columns).where(np.argsort(order, kind="stable"))


def _arrays(batch: pa.RecordBatch, plan: Plan) -> tuple[npt.NDArray[Any], ...]:
    def table(names: Sequence[str], kind: type) -> npt.NDArray[Any]:
        made = np.empty((batch.num_rows, len(names)), dtype=kind)
        for place, name in enumerate(names):
            made[:, place] = batch.column(name).to_numpy(zero_copy_only=False)
        return made

    told = (batch.column(name).to_numpy(zero_copy_only=False) for name in (ORDER, _TARGET, _COUNTS, _HELD))
    return *told, table(plan.inputs, np.float32), table([key.name for key in plan.keys], np.int64)
