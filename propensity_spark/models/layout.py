"""Rows dealt out to the tasks of a fit so that equal rows always lie in the same task, in the same order."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ORDER = "_order"


def numbered(rows: DataFrame) -> DataFrame:
    """The rows plus ORDER BIGINT: their place among all."""
    return rows.withColumn(ORDER, F.monotonically_increasing_id())


def dealt(rows: DataFrame, tasks: int) -> DataFrame:
    """A partition per task, each with its rows in the order of the given ones: fits draw rows by their place."""
    return numbered(rows).repartition(tasks, ORDER).sortWithinPartitions(ORDER).drop(ORDER)
