"""A favourite looked at day after day says little about the rest of its category."""

from collections import defaultdict
from collections.abc import Callable

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.features.taste import add_taste

Make = Callable[..., DataFrame]
PAIRS = "as_of DATE, user_id STRING, product_id STRING, category STRING, views_ever DOUBLE"
DAY = "2024-04-01"


def _taste(pairs: DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    return {(r.user_id, r.product_id): (r.views_taste, r.user_taste) for r in add_taste(pairs).collect()}


def test_views_beyond_twice_what_the_category_explains_are_cut(table: Make) -> None:
    pairs = table(
        PAIRS,
        (DAY, "ann", "lamp", "light", 30.0),
        (DAY, "ann", "bulb", "light", 10.0),  # lamp and bulb have half of the category's views each
        (DAY, "bob", "lamp", "light", 10.0),
        (DAY, "bob", "bulb", "light", 30.0),
        (DAY, "ann", "mug", "cup", 20.0),  # the only one of its category: never cut
        (DAY, "cat", "lamp", None, 5.0),
    )
    found = _taste(pairs.where("user_id <> 'cat'"))
    assert found[("ann", "lamp")] == (30.0, 60.0)  # at most 2 x 1/2 x 40
    pairs = pairs.where("user_id <> 'cat'").unionByName(table(PAIRS, (DAY, "eve", "bulb", "light", 80.0)))
    found = _taste(pairs)  # lamp has now a quarter of the views, bulb three
    assert found[("ann", "lamp")] == (20.0, 50.0)
    assert found[("ann", "bulb")] == (10.0, 50.0)
    assert found[("ann", "mug")] == (20.0, 50.0)


def test_a_single_view_counts_and_unknown_categories_make_one(table: Make) -> None:
    pairs = table(PAIRS, (DAY, "ann", "a", None, 1.0), (DAY, "bob", "b", None, 999.0), (DAY, "ann", "b", None, 0.0))
    assert _taste(pairs) == {("ann", "a"): (1.0, 1.0), ("bob", "b"): (999.0, 999.0), ("ann", "b"): (0.0, 1.0)}


def test_every_as_of_stands_alone_and_an_oracle_agrees(spark: SparkSession) -> None:
    ids = spark.range(400).select(
        F.expr("date_add(DATE'2024-04-01', CAST(id % 2 AS INT))").alias("as_of"),
        F.concat(F.lit("u"), (F.col("id") / 2).cast("int") % 10).alias("user_id"),
        F.concat(F.lit("p"), (F.col("id") / 20).cast("int")).alias("product_id"),
        F.concat(F.lit("c"), (F.col("id") / 20).cast("int") % 3).alias("category"),
        F.pmod(F.xxhash64("id"), F.lit(40)).cast("double").alias("views_ever"),
    )
    made = add_taste(ids).collect()
    product, category, mine, user = (defaultdict(float) for _ in range(4))
    for r in made:
        product[r.as_of, r.product_id] += r.views_ever
        category[r.as_of, r.category] += r.views_ever
        mine[r.as_of, r.user_id, r.category] += r.views_ever
    cut = {}
    for r in made:
        share = product[r.as_of, r.product_id] / category[r.as_of, r.category]
        cut[r] = min(r.views_ever, max(1.0, 2 * share * mine[r.as_of, r.user_id, r.category]))
        user[r.as_of, r.user_id] += cut[r]
    assert len(made) == 400
    assert any(cut[r] < r.views_ever for r in made), "the check must be able to fail"
    for r in made:
        assert r.views_taste == pytest.approx(cut[r])
        assert r.user_taste == pytest.approx(user[r.as_of, r.user_id])
