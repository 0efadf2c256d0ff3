"""Every feature of the training rows in figures: one pass over a sample of them, whatever the number of features.

The sample is chosen by a hash of the pair, so that a rerun sees the same rows, and is small enough for one task, which ranks
every feature exactly.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.trainset.sampling import uniform

_SALT = 7_700_011  # no seed that anyone sets: negatives are drawn by theirs from the same columns
_GROUPS = 10  # of about equal weight, for the PSI
_FLOOR = 1e-4  # least share of a group in the PSI: an empty one would make it infinite
_COUNTED = "ARRAY<DOUBLE>"  # the fields of Counts
_SCHEMA = (
    f"feature STRING, known {_COUNTED}, missing {_COUNTED}, levels INT, auc DOUBLE, psi DOUBLE, "
    "first DATE, last DATE, rows_first INT, rows_last INT"
)
Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Counts:
    """Some rows: how many, how many of them bought, and the weight of both."""

    rows: float = 0.0
    positives: float = 0.0
    weight: float = 0.0
    bought: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.rows + other.rows, self.positives + other.positives, self.weight + other.weight, self.bought + other.bought
        )

    @property
    def rate(self) -> float:
        """The share that was bought, weighted."""
        return self.bought / self.weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One feature over the sampled rows with a label. Shares and AUCs are weighted; None is unknown.

    `known` and `missing`: the rows with a value and those without (null or NaN). `levels`: distinct values. `auc`: of the value
    where there is one, two-sided (0.5 to 1). `psi`: of the last date against the first, which have so many rows.
    """

    feature: str
    known: Counts = Counts()
    missing: Counts = Counts()
    levels: int = 0
    auc: float | None = None
    psi: float | None = None
    first: date | None = None
    last: date | None = None
    rows_first: int = 0
    rows_last: int = 0

    @property
    def whole(self) -> Counts:
        """All rows."""
        return self.known + self.missing

    @property
    def coverage(self) -> float | None:
        """The share of rows that have a value."""
        return self.known.weight / self.whole.weight if self.whole.weight > 0 else None

    @property
    def constant(self) -> bool:
        """Nothing varies: one value and never missing, or always missing."""
        return self.levels == 0 or (self.levels == 1 and not self.missing.rows)

    @property
    def missing_auc(self) -> float | None:
        """The two-sided AUC of the absence of a value; None where nothing or everything was bought."""
        bought, others = self.whole.bought, self.whole.weight - self.whole.bought
        if bought <= 0 or others <= 0:
            return None
        return 0.5 + abs(self.missing.bought / bought - (self.missing.weight - self.missing.bought) / others) / 2


def figures(rows: DataFrame, features: Sequence[str], share: float) -> dict[str, Figures]:
    """Measure every feature on a share of the rows.

    Takes   training rows: as_of, user_id, product_id, label (1, 0; null rows are left out), weight and the features, numeric.
            `share`, up to 1, decides how many rows the one task holds.
    """
    chosen = rows.where(F.col("label").isNotNull() & (uniform(_SALT, "as_of", "user_id", "product_id") < share))
    numbers = (F.col(name).cast("double").alias(name) for name in ("label", "weight", *features))
    measured = chosen.select("as_of", *numbers).repartition(1).mapInArrow(_task(tuple(features)), _SCHEMA).collect()
    found = {row["feature"]: _read(row.asDict()) for row in measured}
    return {name: found.get(name, Figures(feature=name)) for name in features}


def _read(row: dict[str, Any]) -> Figures:
    return Figures(**{**row, "known": Counts(*row["known"]), "missing": Counts(*row["missing"])})


def _task(features: tuple[str, ...]) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    """What the one task does with all sampled rows."""

    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        held = list(batches)
        if sum(batch.num_rows for batch in held):
            sample = pa.Table.from_batches(held)
            made = [_measured(sample, name) for name in features]
            yield pa.RecordBatch.from_pydict({column: [each[column] for each in made] for column in made[0]}, _arrow_schema())

    return run


def _arrow_schema() -> pa.Schema:
    doubles = pa.list_(pa.float64())
    kinds = (
        pa.string(),
        doubles,
        doubles,
        pa.int32(),
        pa.float64(),
        pa.float64(),
        pa.date32(),
        pa.date32(),
        pa.int32(),
        pa.int32(),
    )
    return pa.schema(list(zip((part.split()[0] for part in _SCHEMA.split(", ")), kinds, strict=True)))


def _measured(sample: pa.Table, name: str) -> dict[str, Any]:
    """The figures of one feature, by the columns of _SCHEMA."""
    values, label, weight = (sample.column(column).to_numpy() for column in (name, "label", "weight"))
    day = sample.column("as_of").to_numpy()
    first, last = day.min(), day.max()
    known = ~np.isnan(values)
    return {
        "feature": name,
        "known": _counts(known, label, weight),
        "missing": _counts(~known, label, weight),
        "levels": len(np.unique(values[known])),
        "auc": two_sided_auc(values[known], label[known], weight[known]),
        "psi": psi(values, weight, day == first, day == last) if first != last else None,
        "first": first.astype(object),
        "last": last.astype(object),
        "rows_first": int((day == first).sum()),
        "rows_last": int((day == last).sum()),
    }


def _counts(those: Flags, label: Array, weight: Array) -> list[float]:
    return [float(these[those].sum()) for these in (np.ones(len(label)), label, weight, label * weight)]


def two_sided_auc(values: Array, label: Array, weight: Array) -> float | None:
    """The chance that a value tells a positive from a negative, ties counting half, whichever way it points.

    Takes   values without NaN. None where there are no positives or no negatives.
    """
    _, level = np.unique(values, return_inverse=True)
    bought, others = np.bincount(level, label * weight), np.bincount(level, (1 - label) * weight)
    pairs = float(bought.sum() * others.sum())
    if pairs <= 0:
        return None
    below = np.cumsum(others) - others
    one_sided = float((bought * (below + others / 2)).sum()) / pairs
    return max(one_sided, 1 - one_sided)


def psi(values: Array, weight: Array, first: Flags, last: Flags) -> float | None:
    """The population stability index of the `last` rows against the `first`, None where either weigh nothing.

    Sum over groups of (last - first) x ln(last / first), of the shares of weight, each at least 0.0001. The groups: ten of
    about equal weight over all rows, cut between values, and the missing (NaN) as an eleventh.
    """
    if not (weight[first].sum() > 0 and weight[last].sum() > 0):
        return None
    group = _groups(values, weight)
    shares = []
    for period in (first, last):
        sums = np.bincount(group[period], weight[period], _GROUPS + 1)
        shares.append(np.maximum(sums / sums.sum(), _FLOOR))
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _groups(values: Array, weight: Array) -> npt.NDArray[np.int64]:
    """Each row's tenth by weight; _GROUPS where the value is missing."""
    group, known = np.full(len(values), _GROUPS), ~np.isnan(values)
    if known.any():
        _, level = np.unique(values[known], return_inverse=True)
        held = np.bincount(level, weight[known])
        below = (np.cumsum(held) - held) / max(held.sum(), 1e-300)
        group[known] = np.minimum(below * _GROUPS, _GROUPS - 1).astype(int)[level]
    return group
