"""LightGBM on several tasks by its own network: each holds its part of the rows, and they add up what they find at every split.

The tasks run at once or not at all (a barrier), know one another by Spark's own means, and end together: one that dies takes the
others with it, and Spark starts all of them anew.
"""

import re
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from propensity_spark.models.layout import ORDER, Size, in_partitions
from propensity_spark.models.native import FIXED, SCHEMA, Batches, Native, Parameters, Task, found, gathered, narrowed, told
from propensity_spark.models.rounds import Rounds
from propensity_spark.models.watchdog import within

_PLACES = re.compile(r"\[(machines|local_listen_port): .*\]\n")  # of a model's text: where it was trained is no part of it


def fit_in_ring(
    rows: DataFrame,
    extent: Size,
    target: str,
    inputs: Sequence[str],
    parameters: Parameters,
    rounds: Rounds,
    seconds: int,
    tasks: int,
) -> Native:
    """Train on the rows in so many tasks. Where they lie in as many even partitions, each stays with the executor that holds it.

    Takes   what native.fit_in_one_task takes, without groups. Equal rows, laid out equally, give an equal model on as many tasks.
    Raises  TrainingFailed past the limit, where an executor is lost too often, and where nothing is found to split on.
    """
    dealt = narrowed(rows, target, inputs)
    if not extent.is_even(tasks) or not in_partitions(rows, tasks):
        dealt = dealt.repartition(tasks, ORDER)
    settings = {
        **parameters,
        **FIXED,
        "num_threads": 1,  # a task has one core
        "num_machines": tasks,
        "tree_learner": "data",
        "pre_partition": True,
        "time_out": max(1, seconds // 60),
    }
    task = _task(tuple(inputs), settings, rounds)

    def fit() -> Sequence[Any]:
        # a shuffle of one row: Spark starts the tasks of a barrier anew unless their stage is the last one of a job
        return dealt.mapInArrow(task, SCHEMA, barrier=True).repartition(1).collect()

    return found(within(rows.sparkSession, seconds, f"fitting LightGBM on {tasks} tasks", fit))


def _task(inputs: tuple[str, ...], parameters: Parameters, rounds: Rounds) -> Task:
    def fit(batches: Batches) -> Iterator[pa.RecordBatch]:
        from pyspark import BarrierTaskContext

        with ThreadPoolExecutor(1) as beside:  # to hear of one another takes a second, in which the rows come
            network = beside.submit(_network, BarrierTaskContext.get())
            rows, places = gathered(batches, inputs), network.result()
        if rows is None:
            raise ValueError("a task got no rows: fewer models.lightgbm.tasks than rows, please")
        settings = {**parameters, **places}
        data = rows.dataset(settings)
        booster = rounds.train(settings, data)
        booster.free_network()
        if BarrierTaskContext.get().partitionId() == 0:
            yield told(booster, _PLACES.sub("", booster.model_to_string()))

    return fit


def _network(context: Any) -> Parameters:
    """Where each task listens, in the order of the tasks; a port is free when it is asked for, and taken a moment later."""
    host = context.getTaskInfos()[context.partitionId()].address.rsplit(":", 1)[0]
    with socket.socket() as free:  # until all have told theirs, or two on one machine could be given the same
        free.bind(("", 0))
        port = free.getsockname()[1]
        places = context.allGather(f"{socket.gethostbyname(host)}:{port}")  # LightGBM knows machines by their addresses alone
    return {"machines": ",".join(places), "local_listen_port": port}
