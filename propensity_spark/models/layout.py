"""Rows dealt out to the tasks of a fit so that equal rows always lie in the same task, in the same order."""

from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.models.contract import LABEL

ORDER = "_order"
_PLACE = (1 << 33) - 1  # of Spark's increasing ids: the bits that count within a partition
_UNEVEN = 1.1


def numbered(rows: DataFrame) -> DataFrame:
    """The rows plus ORDER BIGINT: their place among all."""
    return rows.withColumn(ORDER, F.monotonically_increasing_id())


def dealt(rows: DataFrame, tasks: int) -> DataFrame:
    """A partition per task, each with its rows in the order of the given ones: fits draw rows by their place."""
    return numbered(rows).repartition(tasks, ORDER).sortWithinPartitions(ORDER).drop(ORDER)


class Size(NamedTuple):
    """How many rows there are, for how many bought pairs they stand, and how many of them lie in the largest partition."""

    rows: int
    positives: int
    largest: int

    def is_even(self, partitions: int) -> bool:
        """Whether so many partitions have about the same size: tasks that work together wait for the one with the most rows."""
        return self.largest * partitions <= _UNEVEN * self.rows


def bought_pairs(rows: DataFrame) -> Column:
    """For how many bought pairs a row stands: those that balancing repeated or made stand for none more."""
    return (F.col("weight") if "weight" in rows.columns else F.lit(1)) * F.col(LABEL)


def size(rows: DataFrame) -> Size:
    """Of rows to be learnt from."""
    counted = numbered(rows).select(ORDER, bought_pairs(rows).alias("_bought"))
    last = F.max(F.col(ORDER).bitwiseAND(_PLACE))
    found = counted.agg(F.count(F.lit(1)), F.sum("_bought"), last).collect()[0]
    return Size(int(found[0]), round(found[1] or 0), 0 if found[2] is None else int(found[2]) + 1)


def in_partitions(rows: DataFrame, number: int) -> bool:
    """Whether rows lie in so many partitions, and lay so since they were last shuffled: tasks at a barrier read no others."""
    return _lie_in(rows._jdf.queryExecution().toRdd(), number)


def _lie_in(rdd: Any, number: int) -> bool:
    if rdd.getNumPartitions() != number:
        return False
    leads_to = rdd.dependencies()
    steps = (leads_to.apply(place) for place in range(leads_to.size()))
    return all(step.getClass().getSimpleName() == "ShuffleDependency" or _lie_in(step.rdd(), number) for step in steps)
