"""Two frames that should hold the same features: which do not, in how many rows, and where it is worst.

One join and one pass over its rows by numpy, whatever the number of features.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

ROW = "(row)"  # in place of a feature's name: rows that should not be there, or should be
_TOLERANCE, _SMALLEST = 1e-4, 1e-2  # relative, and of values nearer to 0 than the smallest as of that: sums of FLOATs vary
_SCHEMA = "as_of DATE, feature STRING, rows INT, compared INT, size DOUBLE, key ARRAY<STRING>, stored DOUBLE, recomputed DOUBLE"
Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Rows of a feature that differ from what was known at as_of, and the one that differs most."""

    as_of: date
    feature: str
    rows: int
    compared: int
    key: tuple[str, ...]
    stored: float | None
    recomputed: float | None


def differences(
    stored: DataFrame, recomputed: DataFrame, features: Sequence[str], keys: Sequence[str], whole: bool
) -> tuple[list[Difference], dict[date, int]]:
    """Compare feature by feature, in one pass; returns what differs, and the number of rows compared per as_of.

    Takes   two frames of as_of, `keys` and `features`. `whole`: both hold all rows of the keys looked at, so that a row of one
            side alone is a difference (named ROW); else `stored` rows that find none must hold null features.
    """
    ours, theirs = _numbered(stored, features, keys, "a"), _numbered(recomputed, features, keys, "b")
    both = ours.join(theirs, ["as_of", *keys], "full" if whole else "left")
    found = both.mapInArrow(_task(tuple(features), tuple(keys), whole), _SCHEMA).collect()  # a few rows per task
    return _merged(found)


def _numbered(frame: DataFrame, features: Sequence[str], keys: Sequence[str], side: str) -> DataFrame:
    """Features by number, since any name may be one, and a mark that the row is there."""
    values = (F.col(name).cast("double").alias(f"{side}{number}") for number, name in enumerate(features))
    return frame.select("as_of", *(F.col(key).cast("string") for key in keys), *values, F.lit(1.0).alias(side))


def _task(features: tuple[str, ...], keys: tuple[str, ...], whole: bool) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            days = batch.column("as_of").to_numpy(zero_copy_only=False)
            made = []
            for day in np.unique(days):
                of_day = batch.filter(pa.array(days == day))
                made += [{**row, "as_of": day.astype(object)} for row in _compared(of_day, features, keys, whole)]
            yield pa.RecordBatch.from_pylist(made, _arrow_schema())

    return run


def _arrow_schema() -> pa.Schema:
    texts = pa.list_(pa.string())
    kinds = (pa.date32(), pa.string(), pa.int32(), pa.int32(), pa.float64(), texts, pa.float64(), pa.float64())
    return pa.schema(list(zip((part.split()[0] for part in _SCHEMA.split(", ")), kinds, strict=True)))


def _compared(batch: pa.RecordBatch, features: tuple[str, ...], keys: tuple[str, ...], whole: bool) -> Iterator[dict[str, Any]]:
    """The rows that lack a side, always; then each feature that differs."""
    here, there = ~np.isnan(_column(batch, "a")), ~np.isnan(_column(batch, "b"))
    lacks = here != there if whole else np.zeros(len(here), bool)
    yield _told(batch, ROW, keys, lacks, here.astype(float), there.astype(float))
    for number, name in enumerate(features):
        mine, made = _column(batch, f"a{number}"), _column(batch, f"b{number}")
        far = ~lacks & _differ(mine, made)
        if far.any():
            yield _told(batch, name, keys, far, mine, made)


def _column(batch: pa.RecordBatch, name: str) -> Array:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _differ(mine: Array, made: Array) -> Flags:
    scale = np.fmax(np.fmax(np.abs(mine), np.abs(made)), _SMALLEST)
    off = _off(mine, made)
    near = (mine == made) | (np.isfinite(off) & (off <= _TOLERANCE * scale))
    return np.asarray(~(near | (np.isnan(mine) & np.isnan(made))))


def _off(mine: Array, made: Array) -> Array:
    with np.errstate(invalid="ignore"):  # of two infinite values: unknown
        return np.asarray(np.abs(mine - made))


def _told(batch: pa.RecordBatch, name: str, keys: tuple[str, ...], far: Flags, mine: Array, made: Array) -> dict[str, Any]:
    """How many rows are far off, and the farthest; a value where there should be none counts as such."""
    off = _off(mine, made)
    size = np.where(far, np.where(np.isnan(off), np.inf, off), -1.0)
    worst = int(size.argmax())
    return {
        "feature": name,
        "rows": int(far.sum()),
        "compared": batch.num_rows,
        "size": float(size[worst]),
        "key": [batch.column(key)[worst].as_py() for key in keys],
        "stored": _known(mine[worst]),
        "recomputed": _known(made[worst]),
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _merged(found: Sequence[Row]) -> tuple[list[Difference], dict[date, int]]:
    """From batches to dates and features."""
    compared: dict[date, int] = {}
    parts: dict[tuple[date, str], list[Row]] = {}
    for row in found:
        parts.setdefault((row["as_of"], row["feature"]), []).append(row)
        if row["feature"] == ROW:
            compared[row["as_of"]] = compared.get(row["as_of"], 0) + row["compared"]
    made = [_difference(rows, compared) for rows in parts.values() if sum(row["rows"] for row in rows)]
    return sorted(made, key=lambda d: (d.as_of, d.feature != ROW, d.feature)), compared


def _difference(rows: Sequence[Row], compared: Mapping[date, int]) -> Difference:
    worst = max(rows, key=lambda row: (row["size"], row["key"]))
    return Difference(
        as_of=worst["as_of"],
        feature=worst["feature"],
        rows=sum(row["rows"] for row in rows),
        compared=compared[worst["as_of"]],
        key=tuple(worst["key"]),
        stored=worst["stored"],
        recomputed=worst["recomputed"],
    )
