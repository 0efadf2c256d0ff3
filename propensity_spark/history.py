"""What a Delta table's log says of its last change of rows; upkeep, which leaves them as they were, is none."""

from collections.abc import Callable

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

WRITE_MARK = "propensity.write"  # the property whose change carries the note of a write that made no commit
_SET = "SET TBLPROPERTIES"
# What Delta, its owner or a platform does to a table whose rows stay as they are. Anything else counts as a change.
_UPKEEP = (
    *("OPTIMIZE", "REORG", "VACUUM START", "VACUUM END", "COMPUTE STATS", "ANALYZE", "CLUSTER BY"),
    *(_SET, "UNSET TBLPROPERTIES", "UPGRADE PROTOCOL", "DROP FEATURE", "ADD CONSTRAINT", "DROP CONSTRAINT"),
    *("ROW TRACKING BACKFILL", "EMPTY COMMIT"),
)
_LOOKS = (1, 20, None)  # how much of a history is read, until there is a change in it: nearly always the newest entry is one


def last_change(history: Callable[[int | None], DataFrame]) -> Row:
    """The newest entry that changed the table's rows: version, at (as text), operation, userMetadata and operationMetrics.

    Where a cleaned log tells of upkeep alone, its oldest entry: the change is not younger.
    """
    for most in _LOOKS:
        told = history(most).withColumn("at", F.col("timestamp").cast("string"))
        entries = told.select("version", "at", "operation", "operationParameters", "userMetadata", "operationMetrics").collect()
        for entry in entries:
            if not _is_upkeep(entry):
                return entry
    return entries[-1]


def _is_upkeep(entry: Row) -> bool:
    """Whether a commit left the rows as they were; a mark of ours stands for a write."""
    ours = entry["operation"] == _SET and WRITE_MARK in entry["operationParameters"].get("properties", "")
    return str(entry["operation"]).startswith(_UPKEEP) and not ours
