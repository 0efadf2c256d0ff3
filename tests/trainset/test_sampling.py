"""Negatives are thinned by a hash: the same ones every time, and the weights still say how many there were."""

from collections.abc import Callable

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import NegativesConfig, TrainConfig
from propensity_spark.trainset.sampling import as_if_uniform, least_rate, sample_negatives, sampled, uniform, with_favour

ROWS, RATE = 6000, 0.2


def _labelled(spark: SparkSession) -> DataFrame:
    """A thirtieth bought, a third not matured, each row standing for one pair."""
    n = F.col("id")
    return spark.range(ROWS).select(
        F.lit("2024-04-01").cast("date").alias("as_of"),
        F.concat(F.lit("u"), n % 97).alias("user_id"),
        F.concat(F.lit("p"), n).alias("product_id"),
        F.when(n % 30 == 0, 1).when(n % 3 != 0, 0).cast("int").alias("label"),
        F.lit(1.0).alias("weight"),
    )


@pytest.fixture(scope="module")
def thinned(spark: SparkSession) -> pd.DataFrame:
    return sample_negatives(_labelled(spark), F.lit(RATE), 7).toPandas()


def test_every_positive_is_kept_as_it_was(thinned: pd.DataFrame) -> None:
    positives = thinned[thinned["label"] == 1]
    assert len(positives) == ROWS / 30
    assert set(positives["weight"]) == {1.0}


def test_the_rest_is_thinned_to_the_rate_and_weighs_what_it_stands_for(thinned: pd.DataFrame) -> None:
    for kind, there_were in ((thinned["label"] == 0, ROWS * 2 / 3), (thinned["label"].isna(), ROWS * (1 / 3 - 1 / 30))):
        rest = thinned[kind]
        assert set(rest["weight"]) == {1 / RATE}
        assert rest["weight"].sum() == pytest.approx(there_were, rel=0.1)
    assert thinned["weight"].sum() == pytest.approx(ROWS, rel=0.06)


def test_the_same_rows_are_chosen_again_wherever_they_lie_and_others_by_another_seed(
    spark: SparkSession, thinned: pd.DataFrame
) -> None:
    def chosen(seed: int) -> set[str]:
        return {r.product_id for r in sample_negatives(_labelled(spark).repartition(3, "user_id"), F.lit(RATE), seed).collect()}

    first = set(thinned["product_id"])
    assert chosen(7) == first
    other = chosen(8)
    negatives = ROWS * 29 / 30
    assert len(other & first) == pytest.approx(ROWS / 30 + negatives * RATE**2, rel=0.2), "seeds are independent of one another"


def test_a_rate_of_its_own_per_row_and_a_weight_that_was_there_before(table: Callable[..., DataFrame]) -> None:
    ddl = "as_of DATE, user_id STRING, product_id STRING, label INT, weight DOUBLE"
    rows = [(day, "u", f"p{n}", int(n == 0), 2.0) for day in ("2024-04-01", "2024-05-01") for n in range(40)]
    rate = F.when(F.month("as_of") == 4, 1.0).otherwise(0.5)
    found = sample_negatives(table(ddl, *rows), rate, 1).toPandas()
    full = found[[d.month == 4 for d in found["as_of"]]]
    thinned = found.drop(full.index)
    assert len(full) == 40, "a rate of 1 keeps all"
    assert set(full["weight"]) == {2.0}
    assert 5 < len(thinned) < 35
    assert set(thinned[thinned["label"] == 0]["weight"]) == {4.0}
    assert list(thinned[thinned["label"] == 1]["weight"]) == [2.0]


def test_the_numbers_are_uniform_in_0_1(spark: SparkSession) -> None:
    row = spark.range(5000).select(uniform(3, "id").alias("u")).agg(F.min("u"), F.max("u"), F.avg("u"), F.stddev("u")).collect()[0]
    assert 0 <= row[0] < 0.01
    assert 0.99 < row[1] < 1
    assert row[2] == pytest.approx(0.5, abs=0.02)
    assert row[3] == pytest.approx(12**-0.5, abs=0.01)


PAIRS = "as_of DATE, user_id STRING, product_id STRING, candidate_source STRING, label INT, weight DOUBLE"
PRODUCTS = "as_of DATE, product_id STRING, product_buyers_recent FLOAT"
DAY = "2024-04-01"


def _favours(table: Callable[..., DataFrame], by: str, *sources: str) -> list[float]:
    pairs = [(DAY, "u", f"p{n}", source, 0, 1.0) for n, source in enumerate(sources)]
    buyers = [(DAY, f"p{n}", None if n == 0 else float(max(2, n))) for n in range(len(sources))]
    other_day = ("2024-05-01", "p1", 99.0)
    favoured = with_favour(table(PAIRS, *pairs), table(PRODUCTS, *buyers, other_day), NegativesConfig(by=by))
    return [row["favour"] for row in favoured.orderBy("product_id").collect()]


def test_what_is_favoured(table: Callable[..., DataFrame]) -> None:
    sources = ("popular", "popular+touched", "als+untouched", "touched", "a+b+c+d+e")
    assert _favours(table, "exposure", *sources) == [0, 1, 0, 1, 0]
    assert _favours(table, "hard", *sources) == pytest.approx([0, 1 / 3, 1 / 3, 0, 1])
    # by popularity: none of the bought has fewer buyers than p1 and p2, two of the other three have fewer than p3, all than p4
    assert _favours(table, "popularity", *sources) == pytest.approx([0, 0, 0, 2 / 3, 1])


@pytest.mark.parametrize("by", ["popularity", "exposure", "hard"])
def test_favoured_negatives_are_kept_more_often_and_count_as_if_all_had_been_kept_at_the_plain_rate(
    spark: SparkSession, by: str
) -> None:
    """In every stratum the weights add up to the pairs that were there, and the learn_weights to the plain rate of them."""
    rate = 0.1
    pairs = _labelled(spark).select(
        "*", F.when(F.substring("product_id", -1, 1) < "5", "touched+als+due+popular").otherwise("als").alias("candidate_source")
    )
    some = F.when(F.substring("product_id", -1, 1) < "5", 9.0).otherwise(1.0).cast("float").alias("product_buyers_recent")
    config = TrainConfig(negative_rate=rate, negatives=NegativesConfig(by=by, favour=5), seed=3)
    found = sampled(pairs, pairs.select("as_of", "product_id", some), config, F.lit(True))
    assert found.columns == pairs.columns
    kept = as_if_uniform(found, rate).toPandas()
    favoured = kept["candidate_source"].str.startswith("touched")
    # of two kinds of products the better half has a rank of a half: the mean of the others' ranks above it
    most = 1 + 4 * (0.5 if by == "popularity" else 1)
    for mine, times in ((favoured, most), (~favoured, 1)):
        negatives = kept[mine & (kept["label"] == 0)]
        there_were = ROWS / 2 * 2 / 3
        assert len(negatives) == pytest.approx(there_were * rate * times, rel=0.15)
        assert negatives["weight"].sum() == pytest.approx(there_were, rel=0.15)
        assert negatives["learn_weight"].sum() == pytest.approx(there_were * rate, rel=0.15)
    assert set(kept.loc[kept["label"] == 1, "learn_weight"]) == {1.0}
    everything = sampled(pairs, pairs.select("as_of", "product_id", some), config, F.lit(False))
    assert everything.count() == ROWS, "a date that keeps all"


@pytest.mark.parametrize(
    ("min_rows", "max_rows", "pairs", "rate"),
    [
        (1000, 10**6, 999, 1.0),
        (1000, 10**6, 1000, 1.0),
        (1000, 10**6, 1010, 0.99),
        (1000, 10**6, 5000, 0.2),
        (1000, 10**6, 0, 1.0),
        (0, 10**6, 10, 0.0),
        (250_000, 1000, 2000, 0.5),
    ],
)
def test_of_few_pairs_so_many_teach_as_are_wanted(min_rows: int, max_rows: int, pairs: int, rate: float) -> None:
    assert least_rate(TrainConfig(min_rows=min_rows, max_rows=max_rows), pairs) == rate
