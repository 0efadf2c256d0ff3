"""Rows that many queries ask for, freed from how they were made.

A cache keeps rows, but every query on it still carries the plan behind them: it is analysed and compared anew, and a sort or an
aggregation in it goes to each task with all that lies below. Of a join of ten tables that is seconds a query and 9 MB a task.
"""

from pyspark.sql import DataFrame


def settle(frame: DataFrame) -> DataFrame:
    """The same rows in the same partitions and order, computed now, with nothing behind them.

    Where the session has a checkpoint folder (storage.checkpoints) they lie there, and an executor may be lost; else with the
    executors, in memory and on their disks, until nobody refers to them any more.
    """
    if frame.sparkSession.sparkContext._jsc.sc().getCheckpointDir().isDefined():
        return frame.checkpoint()
    return frame.localCheckpoint()
