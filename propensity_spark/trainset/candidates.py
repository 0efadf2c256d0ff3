"""Which pairs are worth scoring: what the user touched, what is popular now, and what all users together say of the rest.

Every source is counted per user and as_of, ties are broken by product_id, and all of it reads the past of as_of only.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset import collaborative
from propensity_spark.trainset.collaborative import AFFINITY, ALS, TOGETHER, Learning

KEYS = ("as_of", "user_id", "product_id")
TOUCHED, POPULAR = 1, 2
SOURCES = {TOUCHED: "touched", POPULAR: "popular", TOGETHER: "together", ALS: "als", AFFINITY: "affinity"}
_NONE = {
    "together_score": 0.0,
    "als_score": None,
    "affinity": None,
    "following_score": None,
    "peers_score": None,
    collaborative.RECENT: 0.0,
}  # where a pair has no score


def candidates(
    population: DataFrame, pairs: DataFrame, products: DataFrame, past: DataFrame, config: CandidateConfig, learning: Learning
) -> DataFrame:
    """All candidate pairs of the population.

    Takes   population as_of, user_id; pairs (features.pair) with pair_seen_last; products (features.product) with
            product_buyers_recent; `past` from collaborative.history.
    Returns as_of, user_id, product_id, candidate_source (sources joined by '+') and the scores of `learning` FLOAT:
            together_score is 0 where it goes together with nothing bought; the others are null where a product is not
            among the listed.
    """
    made = []
    if config.touched:
        made.append(touched(population, pairs, config))
    if config.popular:
        made.append(population.join(F.broadcast(popular(products, config)), on="as_of", how="inner"))
    if config.together or config.als or config.affinity:
        made.append(collaborative.collaborative(population, past, config, learning))
    united = reduce(DataFrame.unionByName, [_with_scores(frame, learning) for frame in made])
    best = [F.max(score).alias(score) for score in learning.scores]
    merged = united.groupBy(*KEYS).agg(F.bit_or("source").alias("_sources"), *best).where("_sources > 0")
    scores = [F.coalesce(name, F.lit(_NONE[name])).cast("float").alias(name) for name in learning.scores]
    return merged.select(*KEYS, _names("_sources").alias("candidate_source"), *scores)


def _with_scores(frame: DataFrame, learning: Learning) -> DataFrame:
    empty = F.lit(None).cast("float")
    made = [(F.col(score) if score in frame.columns else empty).alias(score) for score in learning.scores]
    return frame.select(*KEYS, "source", *made)


def _names(bits: str) -> Column:
    """The sources in a set of bits, joined by '+'."""
    return F.concat_ws("+", *(F.when(F.col(bits).bitwiseAND(bit) > 0, name) for bit, name in SOURCES.items()))


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
