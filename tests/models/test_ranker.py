"""The ranker learns the order within a list; the two heads are joined in standard deviations of the list."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import LightGBMConfig, ModelsConfig, RankerConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models import fast
from propensity_spark.models.ranker import fit_ranker, ranking_score

FEATURES = tuple(Feature(name=name, expression=name, description=name) for name in ("x0", "x1"))
SMALL = ModelsConfig(lightgbm=LightGBMConfig(leaves=7, min_data_in_leaf=5), ranker=RankerConfig(rounds=20))
Make = Callable[..., DataFrame]


@pytest.fixture(scope="module")
def lists(spark: SparkSession) -> DataFrame:
    """Each user buys the pair with the largest x0 of the list; x1 moves whole lists, and so says nothing within one."""
    draw = np.random.default_rng(5)
    rows = []
    for user in range(150):
        x0, x1 = draw.uniform(0, 1, 12), float(draw.uniform(0, 9))
        for product in range(12):
            bought = int(user % 5 > 0 and x0[product] == x0.max())  # a fifth buys nothing
            rows.append(("2024-04-01", f"u{user:03}", f"p{product:02}", bought, float(x0[product]), x1))
    frame = spark.createDataFrame(rows, "as_of STRING, user_id STRING, product_id STRING, label INT, x0 FLOAT, x1 FLOAT")
    return frame.repartition(3, "user_id").sortWithinPartitions("as_of", "user_id", "product_id").persist()


@pytest.mark.fit
def test_the_pair_that_is_bought_comes_first(lists: DataFrame) -> None:
    scorer = fit_ranker(lists, FEATURES, SMALL, 1)
    assert scorer.column == "raw_ranker"
    scored = fast.score(lists, [scorer], ["user_id", "label"]).toPandas()
    best = scored.loc[scored.groupby("user_id")["raw_ranker"].idxmax()]
    assert best["label"].sum() > 0.8 * 120
    assert fit_ranker(lists, FEATURES, SMALL, 1) == scorer, "one seed, one model"


@pytest.mark.fit
def test_beyond_what_one_machine_carries_a_sample_of_users_teaches(lists: DataFrame) -> None:
    half = ModelsConfig(lightgbm=LightGBMConfig(leaves=7, min_data_in_leaf=5, rows_on_one_task=900), ranker=RankerConfig(rounds=20))
    sampled = fit_ranker(lists, FEATURES, half, 1)
    assert sampled != fit_ranker(lists, FEATURES, SMALL, 1)
    scored = fast.score(lists, [sampled], ["user_id", "label"]).toPandas()
    assert scored.loc[scored.groupby("user_id")["raw_ranker"].idxmax()]["label"].sum() > 0.7 * 120


def test_both_heads_weigh_the_same_within_a_list(table: Make) -> None:
    rows = table(
        "as_of DATE, user_id STRING, product_id STRING, p DOUBLE, r DOUBLE",
        ("2024-04-01", "ann", "a", 0.5, 10.0),
        ("2024-04-01", "ann", "b", 0.2, 30.0),
        ("2024-04-01", "ann", "c", 0.1, 20.0),
        ("2024-04-01", "bob", "a", 0.9, 1.0),  # alone: no spread
        ("2024-04-08", "ann", "a", 0.0, 5.0),  # another date, another list; a score at the edge
        ("2024-04-08", "ann", "b", 1.0, 5.0),
    )
    both = ranking_score(F.col("p"), F.col("r")).alias("both")
    found = {(str(r.as_of), r.user_id, r.product_id): r.both for r in rows.select("*", both).collect()}
    odds, ranks = np.log([1.0, 0.25, 1 / 9]), np.array([10.0, 30.0, 20.0])
    expected = [(a - x.mean()) / x.std() for x in (odds, ranks) for a in x]
    for place, product in enumerate("abc"):
        assert found["2024-04-01", "ann", product] == pytest.approx((expected[place] + expected[place + 3]) / 2)
    assert found["2024-04-01", "bob", "a"] == 0.0
    assert found["2024-04-08", "ann", "b"] == pytest.approx(0.5)
    alone = rows.where("user_id = 'ann' AND as_of = '2024-04-01'").select(
        "product_id", ranking_score(F.col("p"), None).alias("odds")
    )
    assert [r.product_id for r in alone.orderBy(F.col("odds").desc()).collect()] == ["a", "b", "c"]
