"""Which pairs are worth scoring: what the user touched, what is popular now, what goes together with what was bought.

Every source is counted per user and as_of, ties are broken by product_id, and all of it reads the past of as_of only.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset.together import together

KEYS = ("as_of", "user_id", "product_id")
TOUCHED, POPULAR, TOGETHER = 1, 2, 4
_SOURCE_NAMES = {TOUCHED: "touched", POPULAR: "popular", TOGETHER: "together"}


def candidates(
    population: DataFrame, pairs: DataFrame, products: DataFrame, config: CandidateConfig, half_life_days: float | None = None
) -> DataFrame:
    """All candidate pairs of the population.

    Takes   population as_of, user_id; pairs (features.pair) with pair_seen_last, pair_purchases_last;
            products (features.product) with product_buyers_recent.
    Returns as_of, user_id, product_id, candidate_source (sources joined by '+'), together_score (0: does not go
            together with anything bought); with a half-life together_recent FLOAT, the same by what was bought lately.
    """
    made, scores = [], ["together_score", *(["together_recent"] if half_life_days else [])]
    if config.touched:
        made.append(touched(population, pairs, config))
    if config.popular:
        made.append(population.join(F.broadcast(popular(products, config)), on="as_of", how="inner"))
    if config.together:
        close = together(population, pairs, config, half_life_days)
        made.append(close.withColumn("source", F.lit(TOGETHER)))
    united = reduce(DataFrame.unionByName, [_with_scores(frame, scores) for frame in made])
    best = [F.max(score).cast("float").alias(score) for score in scores]
    merged = united.groupBy(*KEYS).agg(F.bit_or("source").alias("_sources"), *best)
    return merged.select(*KEYS, _names("_sources").alias("candidate_source"), *scores)


def _with_scores(frame: DataFrame, scores: list[str]) -> DataFrame:
    made = [(F.col(score) if score in frame.columns else F.lit(0.0)).alias(score) for score in scores]
    return frame.select(*KEYS, "source", *made)


def _names(bits: str) -> Column:
    """The sources in a set of bits, joined by '+'."""
    return F.concat_ws("+", *(F.when(F.col(bits).bitwiseAND(bit) > 0, name) for bit, name in _SOURCE_NAMES.items()))


def touched(population: DataFrame, pairs: DataFrame, config: CandidateConfig) -> DataFrame:
    """The products that a user had anything to do with, the latest first."""
    recent = pairs.where(f"pair_seen_last <= {config.touched_days}").join(population, on=["as_of", "user_id"], how="left_semi")
    return _top(recent, ["as_of", "user_id"], [F.col("pair_seen_last").asc()], config.touched).select(
        *KEYS, F.lit(TOUCHED).alias("source")
    )


def popular(products: DataFrame, config: CandidateConfig) -> DataFrame:
    """The products with the most buyers lately: as_of, product_id."""
    ranked = products.where("product_buyers_recent > 0")
    return _top(ranked, ["as_of"], [F.col("product_buyers_recent").desc()], config.popular).select(
        "as_of", "product_id", F.lit(POPULAR).alias("source")
    )


def _top(frame: DataFrame, group: list[str], order: list[Column], most: int) -> DataFrame:
    by = Window.partitionBy(*group).orderBy(*order, F.col("product_id").asc())
    return frame.withColumn("_place", F.row_number().over(by)).where(F.col("_place") <= most).drop("_place")
