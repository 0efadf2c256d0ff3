"""LightGBM in one task, on all cores of its executor: no ring of tasks that could wait for one another, and no copy in the JVM.

Up to the rows that one machine carries this is the faster way, and the same rows give the same model wherever it runs.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.errors import TrainingFailed
from propensity_spark.models import focal
from propensity_spark.models.contract import learn_weight
from propensity_spark.models.layout import ORDER
from propensity_spark.models.slots import threads
from propensity_spark.models.watchdog import within

Parameters = Mapping[str, Any]
_TARGET, _GROUP, _COUNTS = "_target", "_group", "_counts"
FIXED = {"verbosity": -1, "deterministic": True, "force_row_wise": True}  # of the two layouts one must be fixed for equal results


def fit_in_one_task(
    rows: DataFrame,
    target: str,
    inputs: Sequence[str],
    parameters: Parameters,
    rounds: int,
    seconds: int,
    group: Sequence[str] = (),
    focal_gamma: float = 0.0,
) -> str:
    """Train on the rows in their order and return the model's text.

    Takes   numeric columns: `target` and `inputs` (null: missing); rows of equal `group` columns lie one after another, and are
            ranked among themselves; a learn_weight counts where it is there. With a `focal_gamma` the loss is the focal one,
            and the model gives the scores that minimise it (see models.focal).
    Raises  TrainingFailed past the limit, and where nothing is found to split on.
    """
    spark, weight = rows.sparkSession, learn_weight(rows)
    narrow = narrowed(rows, target, inputs, group)
    settings = {**parameters, **FIXED, "num_threads": threads(spark)}
    task = _task(tuple(inputs), settings, rounds, grouped=bool(group), weighted=bool(weight), focal_gamma=focal_gamma)
    fitted = within(
        spark,
        seconds,
        "fitting LightGBM in one task",
        lambda: narrow.coalesce(1).mapInArrow(task, "model STRING, splits INT").collect(),
    )
    if not fitted or not fitted[0]["splits"]:
        raise TrainingFailed("LightGBM found nothing to split on. Bring more rows, or a smaller models.lightgbm.min_data_in_leaf.")
    return str(fitted[0]["model"])


def narrowed(rows: DataFrame, target: str, inputs: Sequence[str], group: Sequence[str] = ()) -> DataFrame:
    """What a task learns from: each row's place in their order, its target, group and weight, and the inputs, as floats."""
    place = F.xxhash64(*group) if group else F.lit(0)
    return rows.select(
        F.monotonically_increasing_id().alias(ORDER),
        F.col(target).cast("float").alias(_TARGET),
        place.alias(_GROUP),
        *(F.col(name).cast("float").alias(_COUNTS) for name in learn_weight(rows)),
        *(F.col(name).cast("float").alias(name) for name in inputs),
    )


def gathered(
    batches: Iterable[pa.RecordBatch], inputs: tuple[str, ...], weighted: bool
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Targets, groups, weights and the matrix of a task's rows in their order; None where it has none."""
    held = [_arrays(batch, inputs, weighted) for batch in batches if batch.num_rows]
    if not held:
        return None
    order, target, place, counts, matrix = (np.concatenate(part) for part in zip(*held, strict=True))
    held.clear()
    if np.any(order[1:] < order[:-1]):  # a cluster may hand the parts over in any order
        by_order = np.argsort(order, kind="stable")
        return target[by_order], place[by_order], counts[by_order], matrix[by_order]
    return target, place, counts, matrix


def _task(
    inputs: tuple[str, ...],
    parameters: Parameters,
    rounds: int,
    grouped: bool,
    weighted: bool = False,
    focal_gamma: float = 0.0,
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def fit(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import lightgbm

        rows = gathered(batches, inputs, weighted)
        if rows is None:
            return
        target, place, counts, matrix = rows
        data = lightgbm.Dataset(
            matrix,
            label=target,
            weight=counts if weighted else None,
            group=_runs(place) if grouped else None,
            feature_name=list(inputs),
            categorical_feature=[],
            params=dict(parameters),
        )
        if focal_gamma:
            fitted, text = _fit_focal(data, parameters, rounds, focal_gamma)
        else:
            fitted = lightgbm.train(dict(parameters), data, num_boost_round=rounds)
            text = fitted.model_to_string()
        splits = int(fitted.feature_importance("split").sum())
        made = [pa.array([text]), pa.array([splits], pa.int32())]
        yield pa.RecordBatch.from_arrays(made, names=["model", "splits"])

    return fit


def _fit_focal(data: Any, parameters: Parameters, rounds: int, gamma: float) -> tuple[Any, str]:
    """A model of the focal loss, and its text, which says that its scores are sigmoids.

    It starts from the score at which the loss of all rows together is least; LightGBM does not keep the start of a loss that it
    does not know, so the first tree's leaves take it up.
    """
    import lightgbm

    data.construct()
    label = data.get_label()
    mean = float(np.clip(np.average(label, weights=data.get_weight()), 1e-9, 1 - 1e-9))
    start = focal.z_of(math.log(mean / (1 - mean)), gamma)
    data.set_init_score(np.full(len(label), start))
    fitted = lightgbm.train({**parameters, "objective": focal.objective(gamma)}, data, num_boost_round=rounds)
    if fitted.feature_importance("split").sum():
        for leaf in range(fitted.dump_model(num_iteration=1)["tree_info"][0]["num_leaves"]):
            fitted.set_leaf_output(0, leaf, fitted.get_leaf_output(0, leaf) + start)
    return fitted, fitted.model_to_string().replace("\nfeature_names=", "\nobjective=binary sigmoid:1\nfeature_names=", 1)


def _arrays(batch: pa.RecordBatch, inputs: tuple[str, ...], weighted: bool) -> tuple[npt.NDArray[Any], ...]:
    keys = (ORDER, _TARGET, _GROUP, _COUNTS if weighted else _TARGET)
    order, target, place, counts = (batch.column(name).to_numpy(zero_copy_only=False) for name in keys)
    columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in inputs]
    return order, target, place, counts, np.column_stack(columns).astype(np.float32, copy=False)


def _runs(place: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The sizes of runs of equal values."""
    ends = np.append(np.flatnonzero(place[1:] != place[:-1]) + 1, len(place))
    return np.diff(ends, prepend=0)
