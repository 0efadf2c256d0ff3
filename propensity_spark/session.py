"""A Spark session with Delta and SynapseML: started on a laptop, or the one that a cluster already has."""

import os
import sys
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession

from propensity_spark import gateway, install, memory, tables
from propensity_spark.config import Config
from propensity_spark.errors import SetupError

# Small Delta logs need few tasks; the defaults (50, 200) are for tables of thousands of files.
_LOCAL = {
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
    # Nobody looks at past queries where there is no UI, and to write a wide plan down takes time and a megabyte of the heap.
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.ui.retainedExecutions": "10",
    "spark.ui.retainedJobs": "100",
    "spark.ui.retainedStages": "100",
    "spark.ui.retainedTasks": "1000",
    # One page holds the hash table of a broadcast, however small. By default, one of this heap is 64 MB: a score of them filled it.
    "spark.buffer.pageSize": "2m",
    "spark.network.timeout": "600s",
    "spark.executor.heartbeatInterval": "60s",
}
# Where all of Spark runs on this machine. Executors elsewhere would look for the driver on their own machines.
_LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
# What results depend on, on every kind of cluster.
_ALWAYS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.hadoop.parquet.page.row.count.limit": "4000",  # rows in the order of time are skipped page by page
    "spark.sql.maxConcurrentOutputFileWriters": "32",  # partitions are written side by side instead of sorted first
    # Every table is read for dates that are named. Pruning them by what is joined asks again for all that was joined before, at
    # each join of a row anew: ten joins of the training rows became 543.
    "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",
}
# Threads of a fit that spin while they wait for one another starve whoever shares their cores: two fits side by side took many
# times as long as one after the other. Threads that sleep at once cost a fit that is alone an eighth of its time. With a few
# microseconds of spinning (libgomp's count) it loses nothing, and two fits side by side a twentieth.
_PATIENT = {"spark.executorEnv.OMP_WAIT_POLICY": "PASSIVE", "spark.executorEnv.GOMP_SPINCOUNT": "1000"}
# Wide rows make generated methods above 8 KB, which the JVM would otherwise interpret for ever.
_WIDE_ROWS = "-XX:-DontCompileHugeMethods"
# With few cores the parallel collector beats the default one (features of Online Retail: 88 s against 122 s). Executors keep
# theirs: a JVM that is told of two, ours and one of spark.executor.extraJavaOptions, does not start.
_PARALLEL = "-XX:+UseParallelGC"
# Spark runs most of its code once per query. With few cores the threads that optimise it starve those that run it: a method is
# to be called four times as often as by default before it is optimised. What loops over rows is not counted by its calls.
_HOT = "-XX:Tier4InvocationThreshold=20000 -XX:Tier4MinInvocationThreshold=2400 -XX:Tier4CompileThreshold=60000"
_LEAST_HEAP, _MOST_HEAP = 2400 * memory.MIB, 8 * memory.GIB  # enough for a small shop; more is seldom used on one machine
_JAVA_OPTIONS = f"{_WIDE_ROWS} {_PARALLEL} {_HOT}"
_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


def start(config: Config) -> SparkSession:
    """The session to work in, with the shop's tables attached.

    A session that is already running (a notebook, Databricks) is used; otherwise one is started.
    Raises SetupError where Java or the jars are absent, or the session is Spark Connect's, StorageError where the
    warehouse cannot be written or there is no such catalog.
    """
    tables.check_writable(config.storage)
    running = SparkSession.getActiveSession()
    if type(running).__module__.startswith("pyspark.sql.connect"):
        raise SetupError(
            "this session is Spark Connect's (a shared cluster's), which fits no model; take a cluster of dedicated access"
        )
    spark = running or _build(config)
    gateway.remember(spark)
    for key, value in _ALWAYS.items():
        if spark.conf.isModifiable(key):
            spark.conf.set(key, value)
    if config.storage.checkpoints:
        spark.sparkContext.setCheckpointDir(config.storage.checkpoints)
    tables.attach(spark, config.storage)
    return spark


def heap(machine: int | None) -> str:
    """The JVM's memory on a machine with so many bytes (None: unknown), as Spark takes it.

    A quarter, within bounds: where its rows do not fit, a fit takes twice as long; and learners run beside it, in Python.
    """
    share = 0 if machine is None else machine // 4
    return f"{min(max(share, _LEAST_HEAP), _MOST_HEAP) // memory.MIB}m"


def _build(config: Config) -> SparkSession:
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # spark-submit made the JVM: memory and jars are its business
    builder = SparkSession.builder.appName(f"propensity {config.shop.name}")
    settings = {**_ALWAYS, **_DELTA, **_PATIENT, **({} if submitted else _local_settings(config))}
    for key, value in {**settings, **config.spark.conf}.items():
        builder = builder.config(key, value)
    if not submitted:
        os.environ["JAVA_HOME"] = str(install.java_home())  # the one named, where that fits
        if _is_here(config.spark.master):
            os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)  # another's Spark would not speak with this PySpark
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-java-options '{_java_options()}' pyspark-shell"
        _check_master(config.spark.master)
        builder = builder.master(config.spark.master or "local[*]")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _local_settings(config: Config) -> dict[str, str]:
    cores = os.cpu_count() or 2
    # tasks that list folders: 10,000 of VACUUM, whose table may have one, took forty seconds here
    here = {**_LOOPBACK, "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(2 * cores)}
    return {
        **_LOCAL,
        **(here if _is_here(config.spark.master) else {}),
        "spark.executor.defaultJavaOptions": _WIDE_ROWS,
        "spark.driver.memory": config.spark.driver_memory or heap(memory.of_machine()),
        "spark.jars": ",".join(str(jar) for jar in install.jars()),
        "spark.sql.shuffle.partitions": str(config.spark.shuffle_partitions or 2 * cores),
        "spark.sql.warehouse.dir": str(Path(config.storage.warehouse).absolute()),
    }


def _java_options() -> str:
    """Quiet logging from the first line on, and what makes the JVM fast here."""
    # as an address: a blank in a path would end the option
    return f"-Dlog4j2.configurationFile={Path(__file__).resolve().with_name('log4j2.properties').as_uri()} {_JAVA_OPTIONS}"


def _is_here(master: str) -> bool:
    """Whether driver and executors run on this machine: local[n], local-cluster[...], or nothing said."""
    return not master or master.startswith("local")


def _check_master(master: str) -> None:
    if master and not master.startswith(("local", "spark://", "yarn", "k8s://")):
        raise SetupError(f"spark.master must be local[n], spark://host:port, yarn or k8s://..., got {master!r}")
