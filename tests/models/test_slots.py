"""How many threads a fit has, and whether its tasks may begin together, by what the cluster says of its executors."""

from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JError

from propensity_spark.config import LightGBMConfig, ModelsConfig, NetworkConfig
from propensity_spark.errors import TrainingFailed
from propensity_spark.models import handover, slots, trees, xgb


def _spark(master: str, cores: int, executors: int, room: int | None = None, **conf: str) -> Any:
    """A session of so many executors; `cores` as Spark's default parallelism counts them, `room`: the tasks that fit."""

    def most(_: object) -> int:
        if room is None:
            raise Py4JError("Method maxNumConcurrentTasks([class X]) does not exist")
        return room

    status = SimpleNamespace(
        getExecutorMemoryStatus=lambda: SimpleNamespace(size=lambda: executors + 1),
        maxNumConcurrentTasks=most,
        resourceProfileManager=lambda: SimpleNamespace(defaultResourceProfile=lambda: None),
    )
    settings = {f"spark.{key.replace('_', '.')}": value for key, value in conf.items()}
    context = SimpleNamespace(
        master=master,
        defaultParallelism=cores,
        getConf=lambda: SimpleNamespace(get=lambda key, default=None: settings.get(key, default)),
        _jsc=SimpleNamespace(sc=lambda: status),
    )
    return SimpleNamespace(sparkContext=context)


@pytest.mark.parametrize(
    ("master", "cores", "executors", "conf", "threads", "at_once"),
    [
        ("local[4]", 4, 0, {}, 4, 4),
        ("spark://host:7077", 16, 2, {}, 8, 16),  # standalone: an executor takes its worker's cores
        ("spark://host:7077", 16, 8, {"executor_cores": "2"}, 2, 16),
        ("spark://host:7077", 400, 2, {"default_parallelism": "400"}, 1, 2),  # says nothing of cores
        ("spark://host:7077", 2, 0, {}, 2, 2),
        ("yarn", 16, 4, {}, 1, 4),  # YARN's default is one core
        ("yarn", 16, 4, {"executor_cores": "4"}, 4, 16),
        ("k8s://host", 2, 1, {}, 1, 1),
        ("yarn", 16, 4, {"executor_cores": "4", "task_cpus": "2"}, 4, 8),
        ("yarn", 12, 4, {"executor_cores": "3", "task_cpus": "2"}, 3, 4),  # the third core of each waits
        ("local[4]", 4, 0, {"task_cpus": "2"}, 4, 2),
        ("spark://host:7077", 2, 0, {"task_cpus": "4"}, 2, 1),
    ],
)
def test_threads_and_tasks_at_once(
    master: str, cores: int, executors: int, conf: dict[str, str], threads: int, at_once: int
) -> None:
    spark = _spark(master, cores, executors, **conf)
    assert (slots.threads(spark), slots.at_once(spark)) == (threads, at_once)


@pytest.mark.parametrize(
    ("parted", "each", "word"),
    [((7, 1), 2, True), ((7, 1), 2, False), ((4, 4), 2, True), ((3, 3, 3), 2, True), ((3, 3, 3), 2, False), ((1, 1, 9), 4, False)],
)
def test_no_more_tasks_are_counted_than_fit_on_executors_of_different_sizes(parted: tuple[int, ...], each: int, word: bool) -> None:
    fit = sum(cores // each for cores in parted)
    spark = _spark("spark://host:7077", sum(parted), len(parted), room=fit if word else None, task_cpus=str(each))
    found = slots.at_once(spark)
    assert found == fit if word else 1 <= found <= fit


def _rows(spark: Any) -> Any:
    return SimpleNamespace(sparkSession=spark, columns=[])


@pytest.mark.parametrize(
    ("master", "enabled", "has"), [("yarn", "true", False), ("yarn", "false", True), ("local[2]", "true", True)]
)
def test_tasks_begin_together_unless_executors_are_allocated_by_need(master: str, enabled: str, has: bool) -> None:
    spark = _spark(master, 4, 2, dynamicAllocation_enabled=enabled, executor_cores="2")
    assert slots.has_barriers(spark) == has


def test_a_fit_whose_tasks_cannot_begin_together_is_refused_at_once() -> None:
    rows = _rows(_spark("yarn", 4, 2, dynamicAllocation_enabled="true", executor_cores="2"))
    refused = "which Spark refuses with spark.dynamicAllocation.enabled. Set that to false, or "
    with pytest.raises(TrainingFailed, match=f"^models.lightgbm.engine: ring .*{refused}engine to synapseml or native"):
        trees._fit_natively(rows, None, [], LightGBMConfig(), 7, 1, 2)  # type: ignore[arg-type]
    with pytest.raises(TrainingFailed, match=f"^models.network.workers above 1 .*{refused}it to 1"):
        handover.fit(rows, [], (), NetworkConfig(workers=2), 1)
    with pytest.raises(TrainingFailed, match=f"^the family xgboost .*{refused}use lightgbm"):
        xgb.fit_xgboost(rows, [], ModelsConfig(), 1)
