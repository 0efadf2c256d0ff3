"""Bought and not bought rows of a fit balanced, with the factor by which that raises the odds: what undoes it is exact.

weights  a bought row counts more.
under    a share of the rows that were not bought, by a hash of their keys.
over     a bought row is there several times; of a fraction, by a hash of its keys.
smote    rows between bought rows are made: see trainset.smote.
Each makes the odds of a purchase the same number of times as high for all pairs; not so smote, whose rows lie
elsewhere: its factor is that of the numbers of rows, and a model that tells made rows from bought ones is not corrected by it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import BalanceConfig
from propensity_spark.errors import InsufficientData
from propensity_spark.features.spec import Feature
from propensity_spark.trainset.sampling import LEARN_WEIGHT, sample_negatives, uniform
from propensity_spark.trainset.smote import Smote, synthesise

_SALT_UNDER, _SALT_OVER, _SALT_SMOTE = 6, 7, 8
_IS_BOUGHT = "label = 1"


@dataclass(frozen=True, slots=True)
class Balanced:
    """The rows to learn from, and how many times as high the odds of a purchase are in them as in those they were made from."""

    rows: DataFrame
    odds: float


def balance(
    rows: DataFrame, features: Sequence[Feature], config: BalanceConfig, seed: int, together: Sequence[Sequence[str]] = ()
) -> Balanced:
    """Balance the rows of one fit.

    Takes   as_of, user_id, product_id, label INT (0, 1), weight and the features' columns, settled: they are read several
            times. `together`: columns that are one value (see encoders.Fitted.together).
    Returns the rows in their order, with learn_weight DOUBLE where they are weighted; those of smote after them, in an order
            of their own. The odds are those of the design; of smote, whose number of rows is known, those of that number.
    Raises  InsufficientData where nothing was bought.
    """
    if config.method == "none":
        return Balanced(rows, 1.0)
    sizes = _sizes(rows)
    bought, others = sum(size[0] for size in sizes.values()), sum(size[1] for size in sizes.values())
    if not bought:
        raise InsufficientData(f"train.balance.method {config.method} needs bought pairs, and the training rows have none.")
    factor = config.ratio or others / bought
    if factor <= 1:  # as many were bought as not
        return Balanced(rows, 1.0)
    if config.method == "smote":
        plan = Smote([feature.name for feature in features], _nominal(features, together), config.neighbours, seed + _SALT_SMOTE)
        made = synthesise(rows.where(_IS_BOUGHT), plan, factor - 1, {day: size[0] for day, size in sizes.items()})
        return Balanced(rows.unionByName(made), 1 + made.count() / bought)
    return Balanced(_SIMPLE[config.method](rows, factor, seed), factor)


def _sizes(rows: DataFrame) -> Mapping[date, tuple[int, int]]:
    """Per as_of, how many rows were bought and how many were not."""
    found = rows.groupBy("as_of").agg(F.sum("label"), F.sum(1 - F.col("label"))).collect()
    return {row[0]: (int(row[1]), int(row[2])) for row in found}


def _weights(rows: DataFrame, factor: float, _: int) -> DataFrame:
    before = F.col(LEARN_WEIGHT) if LEARN_WEIGHT in rows.columns else F.lit(1.0)
    return rows.withColumn(LEARN_WEIGHT, before * F.when(F.expr(_IS_BOUGHT), factor).otherwise(1.0))


def _under(rows: DataFrame, factor: float, seed: int) -> DataFrame:
    return sample_negatives(rows, F.lit(1 / factor), seed + _SALT_UNDER)


def _over(rows: DataFrame, factor: float, seed: int) -> DataFrame:
    """Each bought row as often as the factor says, one after another; of a fraction, that share of them once more.

    Its weight is shared out among its copies: together they stand for as many pairs as before.
    """
    more = (uniform(seed + _SALT_OVER, "as_of", "user_id", "product_id") < factor - int(factor)).cast("int")
    times = F.when(F.expr(_IS_BOUGHT), int(factor) + more).otherwise(1)
    shared = rows.withColumn("weight", F.col("weight") / times)
    return shared.select("*", F.explode(F.array_repeat(F.lit(0), times)).alias("_copy")).drop("_copy")


_SIMPLE: Mapping[str, Callable[[DataFrame, float, int], DataFrame]] = {"weights": _weights, "under": _under, "over": _over}


def _nominal(features: Sequence[Feature], together: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The columns that hold no numbers: those that are one value as one, flags and codes each for itself."""
    names = {feature.name for feature in features}
    joint = [tuple(name for name in columns if name in names) for columns in together]
    taken = {name for columns in joint for name in columns}
    single = [(f.name,) for f in features if f.unit in ("flag", "code") and f.name not in taken]
    return [columns for columns in joint if columns] + single
