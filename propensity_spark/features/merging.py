"""How totals of parts of the rows make those of all of them."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.features.declared import Total


def merged(total: Total, column: str) -> Column:
    """A column of parts as one value: exact in any order, but for decayed sums, which are exact up to rounding.

    Decayed sums have to be of the same moment. A distinct count does not merge (see `Total.merges`).
    """
    if total.op in ("first", "min"):
        return F.min(column)
    if total.op in ("last", "max"):
        return F.max(column)
    return F.coalesce(F.sum(column), F.lit(0.0 if total.op == "decayed" else 0))
