"""How many tasks and threads a fit may count on. One that asks for more tasks than can run at once would wait for ever."""

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from propensity_spark.errors import FitRefused

_DYNAMIC = "spark.dynamicAllocation.enabled"
_STANDALONE = ("spark://", "local-cluster[")


def is_local(spark: SparkSession) -> bool:
    """Whether the session's tasks are threads of this machine's one JVM."""
    return str(spark.sparkContext.master).startswith("local[")


def threads(spark: SparkSession) -> int:
    """The cores of one executor: a fit in one task has them to itself, for nothing else of its stage runs.

    Where spark.executor.cores is not set, an executor of a standalone cluster takes all cores of its worker, of any other one.
    """
    context = spark.sparkContext
    if is_local(spark):
        return int(context.defaultParallelism)
    if not _takes_all(spark):
        return int(context.getConf().get("spark.executor.cores") or 1)
    return max(1, int(context.defaultParallelism) // max(1, _executors(spark)))


def _takes_all(spark: SparkSession) -> bool:
    """Whether executors take all cores of their workers, which may have more or fewer than others; they are counted together."""
    context = spark.sparkContext
    said = [context.getConf().get(f"spark.{name}") for name in ("executor.cores", "default.parallelism")]
    return str(context.master).startswith(_STANDALONE) and not any(said)


def _executors(spark: SparkSession) -> int:
    return int(spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size()) - 1  # the driver is in the list


def at_once(spark: SparkSession) -> int:
    """How many tasks can run at once, each on the cores that a task takes."""
    context = spark.sparkContext
    executors, each = _executors(spark), int(context.getConf().get("spark.task.cpus") or 1)
    if executors < 1:
        return max(1, int(context.defaultParallelism) // each)
    if each > 1 and _takes_all(spark):
        return max(1, _room(spark, executors, each))
    return (1 if is_local(spark) else executors) * max(1, threads(spark) // each)


def _room(spark: SparkSession, executors: int, each: int) -> int:
    """How many tasks of `each` cores fit on executors that may differ: by their average, more could seem to than do."""
    context = spark.sparkContext._jsc.sc()
    try:  # what Spark itself asks before tasks begin together
        return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))
    except Py4JError:  # a Spark that keeps it to itself: as many as fit however the cores are parted
        return -(-(int(spark.sparkContext.defaultParallelism) - executors * (each - 1)) // each)


def check(spark: SparkSession, setting: str, asked: int) -> int:
    """How many tasks can run at once. Raises FitRefused where a setting asks for more."""
    most = at_once(spark)
    if asked > most:
        raise FitRefused(f"{setting} is {asked}, but only {most} task(s) can run at once here. Lower it or add executors.")
    return most


def has_barriers(spark: SparkSession) -> bool:
    """Whether tasks can be made to begin together: Spark refuses that (SPARK-24942) where it allocates executors by need."""
    return is_local(spark) or str(spark.sparkContext.getConf().get(_DYNAMIC, "false")).lower() != "true"


def check_barriers(spark: SparkSession, setting: str, instead: str) -> None:
    """Raises FitRefused where a setting asks for tasks that begin together and cannot; `instead`: another way to mend it."""
    if not has_barriers(spark):
        raise FitRefused(
            f"{setting} needs tasks that begin together, which Spark refuses with {_DYNAMIC}. Set that to false, or {instead}."
        )
