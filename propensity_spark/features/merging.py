"""How totals of parts of the rows make those of all of them."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.features.declared import SKETCHED, Total


def merged(total: Total, column: str) -> Column:
    """A column of parts as one value: the same in any order, but for decayed sums, which are so up to rounding.

    Decayed sums have to be of the same moment. A distinct count does not merge (see `Total.merges`).
    """
    if total.op in ("first", "min"):
        return F.min(column)
    if total.op in ("last", "max"):
        return F.max(column)
    if total.op == "sketch":
        return counted(F.slice(F.array_sort(F.array_distinct(F.flatten(F.collect_list(column)))), 1, SKETCHED))
    return F.coalesce(F.sum(column), F.lit(0.0 if total.op == "decayed" else 0))


def counted(sketch: Column) -> Column:
    """How many different values a sketch, the smallest of their hashes, stands for: BIGINT, 0 where it is null.

    Hashes are spread evenly over 2^64 numbers, so the largest of the k smallest tells how dense they lie: the estimator
    (k - 1) / u of Bar-Yossef et al. 2002, with a standard error of 1 / sqrt(k - 2).
    """
    held, place = F.size(sketch), F.element_at(sketch, -1).cast("double") / 2.0**64 + 0.5
    many = F.round((SKETCHED - 1) / place).cast("bigint")
    return F.when(held == SKETCHED, many).otherwise(F.greatest(held, F.lit(0))).cast("bigint")
