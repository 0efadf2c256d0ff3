"""How rows lie in partitions, and which of them the tasks of a ring may read where they lie."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import LightGBMConfig, ModelsConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.layout import Size, in_partitions, size

FEATURES = [Feature(name=name, expression=name, description=name, unit="count") for name in ("x0", "x1")]
RING = ModelsConfig(lightgbm=LightGBMConfig(engine="ring", tasks=2, rounds=5, leaves=7, min_data_in_leaf=5, random_share=0.0))
Lay = Callable[[DataFrame], DataFrame]
# rows in four partitions, laid out in another way; and whether two tasks at a barrier may read them there
LAID_OUT: dict[str, tuple[Lay, bool]] = {
    "shuffled": (lambda rows: rows.repartition(2, "id").persist(), True),
    "joined to a small table": (lambda rows: rows.repartition(2, "id").join(F.broadcast(rows.select("id")), "id").persist(), True),
    "checkpointed": (lambda rows: rows.coalesce(2).localCheckpoint(), True),
    "coalesced": (lambda rows: rows.coalesce(2).persist(), False),
    "of two halves": (lambda rows: _half(rows, 0).union(_half(rows, 1)).persist(), False),
    "in four": (lambda rows: rows.persist(), False),
}


def _half(rows: DataFrame, rest: int) -> DataFrame:
    return rows.where(F.col("id") % 2 == rest).repartition(1)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """label = x0 > x1, in four partitions."""
    draw = np.random.default_rng(5).uniform(0, 10, (400, 2))
    made = spark.createDataFrame(
        [(i, float(a), float(b), int(a > b)) for i, (a, b) in enumerate(draw)], "id INT, x0 FLOAT, x1 FLOAT, label INT"
    )
    return made.repartition(4, "id")


def test_the_size_tells_how_many_rows_the_largest_partition_has(spark: SparkSession) -> None:
    parts = [
        spark.createDataFrame([(int(i == 0), 1.0) for i in range(n)], "label INT, weight DOUBLE").repartition(1) for n in (5, 2, 3)
    ]
    found = size(parts[0].union(parts[1]).union(parts[2]))
    assert found == Size(rows=10, positives=3, largest=5)
    assert not found.is_even(3)
    assert found.is_even(2)
    assert size(parts[0].where("label = 7")) == Size(0, 0, 0)


@pytest.mark.parametrize("how", LAID_OUT)
def test_rows_stay_in_their_partitions_only_where_a_barrier_takes_them(rows: DataFrame, how: str) -> None:
    lay, may_stay = LAID_OUT[how]
    assert in_partitions(lay(rows), 2) == may_stay


@pytest.mark.fit
@pytest.mark.parametrize("how", ["shuffled", "coalesced", "of two halves"])
def test_a_ring_trains_on_rows_however_they_are_laid_out(rows: DataFrame, how: str, shuffles: Callable[[], int]) -> None:
    lay, may_stay = LAID_OUT[how]
    laid_out = lay(rows)
    laid_out.count()
    before = shuffles()
    fitted = FAMILIES["lightgbm"](laid_out, FEATURES, RING, 1)
    assert fitted.facts["trees"] == 5
    assert fitted.facts["tasks"] == 2
    # of the count, of the one row that is the model, and of the rows where they cannot stay
    assert shuffles() - before - 1 == (2 if may_stay else 3)


@pytest.fixture
def shuffles(spark: SparkSession) -> Callable[[], int]:
    """shuffles(): how many Spark has registered so far; each time it is asked it counts one more."""
    return lambda: int(spark.sparkContext._jsc.sc().newShuffleId())
