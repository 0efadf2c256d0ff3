"""Settled rows are the same rows, in the same partitions and order, with nothing behind them."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from propensity_spark import session
from propensity_spark.loading import from_mapping
from propensity_spark.settle import settle


@pytest.mark.parametrize("is_kept_in_a_folder", [False, True])
def test_rows_stay_as_they_are_and_leave_their_plan_behind(spark: SparkSession, tmp_path: Path, is_kept_in_a_folder: bool) -> None:
    warehouse = spark.conf.get("spark.propensity.warehouse")
    folder = tmp_path / "checkpoints"
    storage = {"warehouse": warehouse, **({"checkpoints": str(folder)} if is_kept_in_a_folder else {})}
    session.start(from_mapping({"storage": storage}))
    try:
        squares = spark.range(100).select((F.col("id") % 7).alias("key"), (F.col("id") ** 2).alias("square"))
        laid = squares.repartition(3, "key").sortWithinPartitions("key", F.desc("square"))
        settled = settle(laid)
        placed = ["*", F.spark_partition_id().alias("partition"), F.monotonically_increasing_id().alias("place")]
        assert settled.select(*placed).collect() == laid.select(*placed).collect()
        plan = settled._jdf.queryExecution().optimizedPlan().toString()
        assert plan.startswith("LogicalRDD")
        assert plan.count("\n") == 1
        assert any(folder.rglob("part-*")) == is_kept_in_a_folder
    finally:
        forget = "checkpointDir_$eq"  # no name for Python
        getattr(spark.sparkContext._jsc.sc(), forget)(spark._jvm.scala.Option.empty())
