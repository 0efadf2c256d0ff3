"""SMOTE-NC on Spark: new bought rows between a bought row and one of the bought rows nearest to it at the same as_of.

Source: Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique (2002), with its section 6.1 for nominal columns.
A date's bought rows are parted into blocks by a hash of their keys, and neighbours are looked for within a block: time and memory
are bounded, however many rows there are. A block is a sample of its date, so neighbours are somewhat farther than the nearest.
Numbers    count in standard deviations of the block. The median deviation, which the source adds where nominal values differ,
           is 1 then. A made row lies on the line between its two ends.
Nominal    values are the neighbours' most common one; of several, that of the nearest neighbour.
Missing    where one of two rows lacks a number, they are as far apart there as nominal values that differ, and the made row has
           what its nearer end has; where both lack it they are equal there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from propensity_spark.settle import settle
from propensity_spark.trainset.sampling import LEARN_WEIGHT

Matrix = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
BLOCK = 2000  # bought rows that are searched for neighbours together, about
_CHUNK = 500  # of them at once
_KEYS = ("as_of", "user_id", "product_id")
_GIVEN = {"label": 1, "weight": 0.0, LEARN_WEIGHT: 1.0}  # of every made row
_PARTITIONS = 8  # of the made rows: fixed, so that their order does not depend on the cluster


@dataclass(frozen=True, slots=True)
class Smote:
    """The columns to be made, which of them are nominal (columns that are one value together), among how many neighbours."""

    columns: Sequence[str]
    nominal: Sequence[tuple[str, ...]]
    neighbours: int
    seed: int


def synthesise(bought: DataFrame, plan: Smote, share: float, sizes: Mapping[date, int]) -> DataFrame:
    """New rows, `share` as many as are given; none for a row that is alone in its block.

    Takes   bought rows: as_of, user_id, product_id (unique together), label, weight, the plan's columns; `sizes`: how many there
            are per as_of.
    Returns the same columns, computed: of the row that one begins from all but weight 0 (it stands for no pair), learn_weight 1
            where there is one, and the plan's columns, which are made. Equal for a seed, whatever the partitioning.
    """
    numbers = [F.col(name).cast("double").alias(name) for name in plan.columns]
    blocks = bought.select(*_KEYS, *numbers, _block(sizes).alias("_block")).groupBy("as_of", "_block")
    keys = "as_of DATE, user_id STRING, product_id STRING, _place INT"
    ddl = ", ".join([keys, *(f"`{name}` DOUBLE" for name in plan.columns)])
    made = blocks.applyInPandas(_task(plan, share), ddl)
    begun = bought.select(*_KEYS, *(name for name in bought.columns if name not in (*_KEYS, *_GIVEN, *plan.columns)))
    laid_out = made.join(begun, list(_KEYS), "inner").repartition(_PARTITIONS, "user_id").sortWithinPartitions(*_KEYS, "_place")
    columns = ((f, F.lit(_GIVEN[f.name]) if f.name in _GIVEN else F.col(f.name)) for f in bought.schema)
    return settle(laid_out.select(*(column.cast(f.dataType).alias(f.name) for f, column in columns)))


def _block(sizes: Mapping[date, int]) -> Column:
    """The block of a row within its date, from 0."""
    blocks = F.lit(1)
    for day, size in sizes.items():
        blocks = F.when(F.col("as_of") == F.lit(day), -(-size // BLOCK) or 1).otherwise(blocks)
    return F.pmod(F.xxhash64("user_id", "product_id"), blocks).cast("int")


def _task(plan: Smote, share: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def make(block: pd.DataFrame) -> pd.DataFrame:
        with threadpool_limits(1):  # a core is a task's; and sums come out the same everywhere
            return _made(block.sort_values(["user_id", "product_id"], ignore_index=True), plan, share)

    return make


def _made(block: pd.DataFrame, plan: Smote, share: float) -> pd.DataFrame:
    """The new rows of a block that is in the order of its keys."""
    draw = np.random.default_rng([plan.seed % 2**32, block["as_of"].iloc[0].toordinal(), int(block["_block"].iloc[0])])
    base = _bases(len(block), share, draw)
    values = block[list(plan.columns)].to_numpy(np.float64)
    place = {name: at for at, name in enumerate(plan.columns)}
    nominal = [[place[name] for name in columns] for columns in plan.nominal]
    near = nearest(values, nominal, plan.neighbours)
    made = between(values, nominal, near, base, draw)
    keys = block.loc[base, list(_KEYS)].reset_index(drop=True)
    return pd.concat([keys.assign(_place=np.arange(len(base))), pd.DataFrame(made, columns=list(plan.columns))], axis=1)


def _bases(rows: int, share: float, draw: np.random.Generator) -> Places:
    """From which rows the new ones begin: from each as often as `share` says, of a fraction from that part of them."""
    if rows < 2:
        return np.zeros(0, dtype=np.int64)
    whole, rest = divmod(round(share * rows), rows)
    return np.sort(np.concatenate([np.tile(np.arange(rows), whole), draw.permutation(rows)[:rest]]))


def nearest(values: Matrix, nominal: Sequence[Sequence[int]], most: int) -> Places:
    """Each row's nearest other rows, at most so many, nearest first; of equally near ones the earlier.

    Takes   rows x columns, NaN where there is no value; `nominal`: the columns that are no numbers, as values of one or more.
    """
    numbers = np.delete(values, [at for columns in nominal for at in columns], axis=1)
    known = ~np.isnan(numbers)
    scaled, is_known = _standardised(numbers, known), known.astype(np.float64)
    codes = [_codes(values[:, columns]) for columns in nominal]
    rows, found = len(values), []
    for start in range(0, rows, _CHUNK):
        some = slice(start, min(start + _CHUNK, rows))
        squares = _squares(scaled, is_known, some) + sum((code[some, None] != code[None, :]).astype(float) for code in codes)
        squares[np.arange(some.stop - start), np.arange(start, some.stop)] = np.inf  # not itself
        found.append(np.argsort(squares.round(9), axis=1, kind="stable")[:, : min(most, rows - 1)])
    return np.concatenate(found).astype(np.int64)


def _standardised(numbers: Matrix, known: npt.NDArray[np.bool_]) -> Matrix:
    """In standard deviations from the mean, 0 where unknown or where all are equal."""
    count = np.maximum(known.sum(axis=0), 1)
    off = np.where(known, numbers - np.where(known, numbers, 0.0).sum(axis=0) / count, 0.0)
    deviation = np.sqrt((off**2).sum(axis=0) / count)
    return np.asarray(off / np.where(deviation > 0, deviation, 1.0))


def _squares(scaled: Matrix, known: Matrix, some: slice) -> Matrix:
    """Squared distances of some rows to all: over what both know, and 1 for what only one of them knows."""
    squared, mine = scaled**2, known[some]
    both = squared[some] @ known.T + mine @ squared.T - 2 * scaled[some] @ scaled.T
    one = mine @ (1 - known).T + (1 - mine) @ known.T
    return np.maximum(both, 0.0) + one


def _codes(values: Matrix) -> Places:
    """A number per distinct value of several columns; a missing one is a value."""
    gone = np.isnan(values)
    whole = np.column_stack([np.where(gone, 0.0, values), gone])
    return np.asarray(np.unique(whole, axis=0, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def between(values: Matrix, nominal: Sequence[Sequence[int]], near: Places, base: Places, draw: np.random.Generator) -> Matrix:
    """New rows, each at a random place between its base and a random one of the base's neighbours."""
    if not len(base):
        return np.zeros((0, values.shape[1]))
    other = near[base, draw.integers(0, near.shape[1], len(base))]
    along = draw.random((len(base), 1))
    a, b = values[base], values[other]
    made = np.where(np.isnan(a) | np.isnan(b), np.where(along < 0.5, a, b), a + along * (b - a))
    for columns in nominal:
        code = _codes(values[:, columns])[near]
        like = (code[:, :, None] == code[:, None, :]).sum(axis=2).argmax(axis=1)  # the first of the most common
        made[:, columns] = values[near[np.arange(len(near)), like]][base][:, columns]
    return np.asarray(made)
