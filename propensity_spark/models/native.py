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

from propensity_spark.errors import NothingLearnt
from propensity_spark.models import focal
from propensity_spark.models.contract import learn_weight
from propensity_spark.models.layout import ORDER, numbered
from propensity_spark.models.rounds import Rounds
from propensity_spark.models.slots import threads
from propensity_spark.models.validation import SHARE, held
from propensity_spark.models.watchdog import within

Parameters = Mapping[str, Any]
Losses = Mapping[str, Sequence[float]]
Batches = Iterable[pa.RecordBatch]
Task = Callable[[Batches], Iterator[pa.RecordBatch]]
_TARGET, _GROUP, _COUNTS, _HELD = "_target", "_group", "_counts", "_held"
SCHEMA = "model STRING, splits INT, curves STRING"
_LONGEST_LIST = 10_000  # rows of a group: LightGBM refuses more
FIXED = {"verbosity": -1, "deterministic": True, "force_row_wise": True}  # of the two layouts one must be fixed for equal results


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
    rounds: Rounds,
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
    narrow = narrowed(rows, target, inputs, group, int(parameters.get("seed", 0)) if patience else None)
    settings = {**parameters, **FIXED, "num_threads": threads(spark)}
    task = _task(tuple(inputs), settings, rounds, bool(group), focal_gamma, patience)
    fitted = within(
        spark,
        seconds,
        "fitting LightGBM in one task",
        lambda: narrow.coalesce(1).mapInArrow(task, SCHEMA).collect(),
    )
    return found(fitted)


def told(fitted: Any, text: str, curves: Losses | None = None) -> pa.RecordBatch:
    """What a task hands back of a booster: SCHEMA."""
    splits = int(fitted.feature_importance("split").sum())
    made = [pa.array([text]), pa.array([splits], pa.int32()), pa.array([json.dumps(curves or {})])]
    return pa.RecordBatch.from_arrays(made, names=["model", "splits", "curves"])


def found(fitted: Sequence[Any]) -> Native:
    """The model of what a fit's tasks handed back. Raises NothingLearnt where it has nothing to split on."""
    if not fitted or not fitted[0]["splits"]:
        raise NothingLearnt("LightGBM found nothing to split on. Bring more rows, or a smaller models.lightgbm.min_data_in_leaf.")
    curves = {name: tuple(losses) for name, losses in json.loads(fitted[0]["curves"]).items()}
    return Native(str(fitted[0]["model"]), curves)


def narrowed(
    rows: DataFrame, target: str, inputs: Sequence[str], group: Sequence[str] = (), held_by: int | None = None
) -> DataFrame:
    """What a task learns from: each row's place in their order, its target, group and weight, and the inputs, as floats.

    With a seed `held_by` also whether its user validates.
    """
    ordered = numbered(rows)
    places = [F.xxhash64(*group).alias(_GROUP)] if group else []
    validates = [] if held_by is None else [held(ordered, SHARE, held_by).cast("float").alias(_HELD)]
    return ordered.select(
        ORDER,
        F.col(target).cast("float").alias(_TARGET),
        *places,
        *(F.col(name).cast("float").alias(_COUNTS) for name in learn_weight(rows)),
        *validates,
        *(F.col(name).cast("float").alias(name) for name in inputs),
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """A task's rows in their order, as `narrowed` names their columns. LightGBM reads Arrow's columns where they lie."""

    table: pa.Table
    inputs: tuple[str, ...]

    def dataset(self, parameters: Parameters, held: bool | None = None, **settings: Any) -> Any:
        """Those that are held out, those that are not, or all, as LightGBM takes them."""
        import lightgbm

        some = self.table if held is None else self.table.filter(pa.array(self.column(_HELD) == held))
        weight = some[_COUNTS] if _COUNTS in some.column_names else None
        told = {"params": dict(parameters), "feature_name": list(self.inputs), "categorical_feature": []}
        return lightgbm.Dataset(some.select(self.inputs), some[_TARGET], weight=weight, **told, **settings)

    def in_short_lists(self) -> "Rows":
        """Lists as long as LightGBM takes them: of a longer one what was bought, and of the others the first."""
        sizes, label = _runs(self.column(_GROUP)), self.column(_TARGET) > 0
        if sizes.max() <= _LONGEST_LIST:
            return self
        starts = np.cumsum(sizes) - sizes
        before: npt.NDArray[np.int64] = np.cumsum(~label) - ~label  # others before each row, in all lists
        room = _LONGEST_LIST - np.add.reduceat(label.astype(np.int64), starts)
        kept = label | (before < np.repeat(before[starts] + room, sizes))
        return Rows(self.table.filter(pa.array(kept)), self.inputs)

    def column(self, name: str) -> npt.NDArray[Any]:
        """One of the columns."""
        return np.asarray(self.table[name].to_numpy())


def gathered(batches: Batches, inputs: tuple[str, ...]) -> Rows | None:
    """The rows of the batches of `narrowed`; None where there are none."""
    parts = [batch for batch in batches if batch.num_rows]
    if not parts:
        return None
    rows = Rows(pa.Table.from_batches(parts), inputs)
    order = rows.column(ORDER)
    if np.all(order[1:] >= order[:-1]):
        return rows
    by_order = np.argsort(order, kind="stable")  # a cluster may hand the parts over in any order
    return Rows(rows.table.take(pa.array(by_order)), inputs)


def _task(
    inputs: tuple[str, ...],
    parameters: Parameters,
    rounds: Rounds,
    grouped: bool,
    focal_gamma: float = 0.0,
    patience: int = 0,
) -> Task:
    def fit(batches: Batches) -> Iterator[pa.RecordBatch]:
        rows = gathered(batches, inputs)
        if rows is None:
            return
        if grouped:
            rows = rows.in_short_lists()
        first = rows.dataset(parameters, held=False if patience else None, group=_runs(rows.column(_GROUP)) if grouped else None)
        curves: Losses = {}
        if focal_gamma:
            fitted, text = _fit_focal(first, parameters, rounds, focal_gamma)
        elif patience and rows.column(_HELD).any():
            validation = rows.dataset(parameters, held=True, reference=first)
            fitted, curves = _fit_patiently(first, validation, parameters, rounds, patience)
            text = fitted.model_to_string()
        else:
            fitted = rounds.train(parameters, first)
            text = fitted.model_to_string()
        yield told(fitted, text, curves)

    return fit


def _fit_patiently(data: Any, validation: Any, parameters: Parameters, rounds: Rounds, patience: int) -> tuple[Any, Losses]:
    """A model that is cut after its best round, and its log losses."""
    import lightgbm

    seen: dict[str, dict[str, list[float]]] = {}
    stop = [lightgbm.early_stopping(patience, verbose=False), lightgbm.record_evaluation(seen)]
    sets, names = [data, validation], ["train", "validation"]
    fitted = rounds.train(parameters, data, stop, valid_sets=sets, valid_names=names)
    return fitted, {name: losses["binary_logloss"] for name, losses in seen.items()}


def _fit_focal(data: Any, parameters: Parameters, rounds: Rounds, gamma: float) -> tuple[Any, str]:
    """A model of the focal loss, and its text, which says that its scores are sigmoids.

    It starts from the score at which the loss of all rows together is least; LightGBM does not keep the start of a loss that it
    does not know, so the first tree's leaves take it up.
    """

    data.construct()
    label = data.get_label()
    mean = float(np.clip(np.average(label, weights=data.get_weight()), 1e-9, 1 - 1e-9))
    start = focal.z_of(math.log(mean / (1 - mean)), gamma)
    data.set_init_score(np.full(len(label), start))
    fitted = rounds.train({**parameters, "objective": focal.objective(gamma)}, data)
    if fitted.feature_importance("split").sum():
        for leaf in range(fitted.dump_model(num_iteration=1)["tree_info"][0]["num_leaves"]):
            fitted.set_leaf_output(0, leaf, fitted.get_leaf_output(0, leaf) + start)
    return fitted, fitted.model_to_string().replace("\nfeature_names=", "\nobjective=binary sigmoid:1\nfeature_names=", 1)


def _runs(place: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The sizes of runs of equal values."""
    ends = np.append(np.flatnonzero(place[1:] != place[:-1]) + 1, len(place))
    return np.diff(ends, prepend=0)
