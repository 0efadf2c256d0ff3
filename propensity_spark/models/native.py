"""LightGBM in one task, on all cores of its executor: no ring of tasks that could wait for one another, and no copy in the JVM.

Up to the rows that one machine carries this is the faster way, and the same rows give the same model wherever it runs.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.errors import TrainingFailed
from propensity_spark.models import focal
from propensity_spark.models.contract import learn_weight
from propensity_spark.models.slots import threads
from propensity_spark.models.validation import held
from propensity_spark.models.watchdog import within

Parameters = Mapping[str, Any]
Losses = Mapping[str, Sequence[float]]
_ORDER, _TARGET, _GROUP, _COUNTS, _HELD = "_order", "_target", "_group", "_counts", "_held"
_VALIDATION_SHARE = 0.1  # of the users, where a fit stops early
_FIXED = {"verbosity": -1, "deterministic": True, "force_row_wise": True}  # of the two layouts one must be fixed for equal results


@dataclass(frozen=True, slots=True)
class Native:
    """A model's text, and where it could stop early its losses by round."""

    text: str
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def fit_in_one_task(
    rows: DataFrame,
    target: str,
    inputs: Sequence[str],
    parameters: Parameters,
    rounds: int,
    seconds: int,
    group: Sequence[str] = (),
    focal_gamma: float = 0.0,
    patience: int = 0,
) -> Native:
    """Train on the rows in their order.

    Takes   numeric columns: `target` and `inputs` (null: missing); rows of equal `group` columns lie one after another, and are
            ranked among themselves; a learn_weight counts where it is there. With a `focal_gamma` the loss is the focal one,
            and the model gives the scores that minimise it (see models.focal). With a `patience` a share of the users is
            held out, and once their log loss has not fallen for so many rounds the best of them is kept.
    Raises  TrainingFailed past the limit, and where nothing is found to split on.
    """
    spark = rows.sparkSession
    place = F.xxhash64(*group) if group else F.lit(0)
    weight = learn_weight(rows)
    ordered = rows.withColumn(_ORDER, F.monotonically_increasing_id())
    is_held = held(ordered, _VALIDATION_SHARE, int(parameters.get("seed", 0)), _ORDER)
    narrow = ordered.select(
        _ORDER,
        F.col(target).cast("float").alias(_TARGET),
        place.alias(_GROUP),
        *(F.col(name).cast("float").alias(_COUNTS) for name in weight),
        *([is_held.cast("float").alias(_HELD)] if patience else []),
        *(F.col(name).cast("float").alias(name) for name in inputs),
    )
    settings = {**parameters, **_FIXED, "num_threads": threads(spark)}
    task = _task(
        tuple(inputs), settings, rounds, grouped=bool(group), weighted=bool(weight), focal_gamma=focal_gamma, patience=patience
    )
    fitted = within(
        spark,
        seconds,
        "fitting LightGBM in one task",
        lambda: narrow.coalesce(1).mapInArrow(task, "model STRING, splits INT, curves STRING").collect(),
    )
    if not fitted or not fitted[0]["splits"]:
        raise TrainingFailed("LightGBM found nothing to split on. Bring more rows, or a smaller models.lightgbm.min_data_in_leaf.")
    curves = {name: tuple(losses) for name, losses in json.loads(fitted[0]["curves"]).items()}
    return Native(str(fitted[0]["model"]), curves)


def _task(
    inputs: tuple[str, ...],
    parameters: Parameters,
    rounds: int,
    grouped: bool,
    weighted: bool = False,
    focal_gamma: float = 0.0,
    patience: int = 0,
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def fit(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import lightgbm

        parts = [_arrays(batch, inputs, weighted, bool(patience)) for batch in batches if batch.num_rows]
        if not parts:
            return
        order, *columns = (np.concatenate(part) for part in zip(*parts, strict=True))
        parts.clear()
        if np.any(order[1:] < order[:-1]):  # a cluster may hand the parts over in any order
            columns = [column[np.argsort(order, kind="stable")] for column in columns]
        target, place, counts, kept_out, matrix = columns

        def data(some: Any, **settings: Any) -> Any:
            weight = counts[some] if weighted else None
            return lightgbm.Dataset(matrix[some], target[some], weight=weight, params=dict(parameters), **settings)

        learnt = slice(None) if not patience else kept_out == 0
        group = _runs(place) if grouped else None
        first = data(learnt, group=group, feature_name=list(inputs), categorical_feature=[])
        curves: Losses = {}
        if focal_gamma:
            fitted, text = _fit_focal(first, parameters, rounds, focal_gamma)
        elif patience and kept_out.any():
            fitted, curves = _fit_patiently(first, data(kept_out == 1, reference=first), parameters, rounds, patience)
            text = fitted.model_to_string()
        else:
            fitted = lightgbm.train(dict(parameters), first, num_boost_round=rounds)
            text = fitted.model_to_string()
        splits = int(fitted.feature_importance("split").sum())
        made = [pa.array([text]), pa.array([splits], pa.int32()), pa.array([json.dumps(curves)])]
        yield pa.RecordBatch.from_arrays(made, names=["model", "splits", "curves"])

    return fit


def _fit_patiently(data: Any, validation: Any, parameters: Parameters, rounds: int, patience: int) -> tuple[Any, Losses]:
    """A model that is cut after its best round, and its log losses."""
    import lightgbm

    told: dict[str, dict[str, list[float]]] = {}
    stop = [lightgbm.early_stopping(patience, verbose=False), lightgbm.record_evaluation(told)]
    sets, names = [data, validation], ["train", "validation"]
    fitted = lightgbm.train(dict(parameters), data, rounds, valid_sets=sets, valid_names=names, callbacks=stop)
    return fitted, {name: losses["binary_logloss"] for name, losses in told.items()}


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


def _arrays(batch: pa.RecordBatch, inputs: tuple[str, ...], weighted: bool, parted: bool) -> tuple[npt.NDArray[Any], ...]:
    keys = (_ORDER, _TARGET, _GROUP, _COUNTS if weighted else _TARGET, _HELD if parted else _TARGET)
    found = (batch.column(name).to_numpy(zero_copy_only=False) for name in keys)
    columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in inputs]
    return *found, np.column_stack(columns).astype(np.float32, copy=False)


def _runs(place: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The sizes of runs of equal values."""
    ends = np.append(np.flatnonzero(place[1:] != place[:-1]) + 1, len(place))
    return np.diff(ends, prepend=0)
