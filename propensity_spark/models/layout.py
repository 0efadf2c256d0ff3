"""Rows dealt out to the tasks of a fit so that equal rows always lie in the same task, in the same order."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ORDER = "_order"


def dealt(rows: DataFrame, tasks: int) -> DataFrame:
    """A partition per task, each with its rows in the order of the given ones: fits draw rows by their place."""
    ordered = rows.select("*", F.monotonically_increasing_id().alias(ORDER))
    return ordered.repartition(tasks, ORDER).sortWithinPartitions(ORDER).drop(ORDER)
