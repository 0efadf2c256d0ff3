"""How many tasks and threads a fit may count on. One that asks for more tasks than can run at once would wait for ever."""

from pyspark.sql import SparkSession

from propensity_spark.errors import TrainingFailed

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
    told, parallelism = context.getConf().get("spark.executor.cores"), context.getConf().get("spark.default.parallelism")
    if is_local(spark):
        return int(context.defaultParallelism)
    if told or parallelism or not str(context.master).startswith(_STANDALONE):
        return int(told or 1)
    return max(1, int(context.defaultParallelism) // max(1, _executors(spark)))


def _executors(spark: SparkSession) -> int:
    return int(spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size()) - 1  # the driver is in the list


def at_once(spark: SparkSession) -> int:
    """How many tasks can run at once, each on the cores that a task takes."""
    context = spark.sparkContext
    executors, each = _executors(spark), int(context.getConf().get("spark.task.cpus") or 1)
    if executors < 1:
        return max(1, int(context.defaultParallelism) // each)
    return (1 if is_local(spark) else executors) * max(1, threads(spark) // each)


def check(spark: SparkSession, setting: str, asked: int) -> int:
    """How many tasks can run at once. Raises TrainingFailed where a setting asks for more."""
    most = at_once(spark)
    if asked > most:
        raise TrainingFailed(f"{setting} is {asked}, but only {most} task(s) can run at once here. Lower it or add executors.")
    return most


def has_barriers(spark: SparkSession) -> bool:
    """Whether tasks can be made to begin together: Spark refuses that (SPARK-24942) where it allocates executors by need."""
    return is_local(spark) or str(spark.sparkContext.getConf().get(_DYNAMIC, "false")).lower() != "true"


def check_barriers(spark: SparkSession, setting: str, instead: str) -> None:
    """Raises TrainingFailed where a setting asks for tasks that begin together and cannot; `instead`: another way to mend it."""
    if not has_barriers(spark):
        raise TrainingFailed(
            f"{setting} needs tasks that begin together, which Spark refuses with {_DYNAMIC}. Set that to false, or {instead}."
        )
