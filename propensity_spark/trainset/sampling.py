"""Negatives: a share of them, chosen by a hash of the pair (so that a rerun chooses the same), with the rate kept."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

LEARN_WEIGHT = "learn_weight"  # how much a row counts in a fit; not `weight`, which says how many pairs it stands for
_STEPS = 1_000_000  # resolution of a rate


def uniform(seed: int, *columns: str) -> Column:
    """A number in [0, 1) that depends on the seed and the columns' values alone."""
    return F.pmod(F.xxhash64(F.lit(seed), *columns), F.lit(_STEPS)) / F.lit(float(_STEPS))


def sample_negatives(labelled: DataFrame, rate: Column, seed: int) -> DataFrame:
    """Keep every positive and a share `rate` of the rest; a kept row's weight grows by what it now stands for.

    Takes   as_of, user_id, product_id, label INT (1, 0, or null: not matured; such rows count as the rest), weight DOUBLE.
    """
    positive = F.coalesce(F.col("label") == 1, F.lit(False))
    kept = positive | (uniform(seed, "as_of", "user_id", "product_id") < rate)
    grown = F.when(positive, F.col("weight")).otherwise(F.col("weight") / rate)
    return labelled.where(kept).withColumn("weight", grown)
