"""Negatives: a share of them, chosen by a hash of the pair (so that a rerun chooses the same), with the rate kept."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import NegativesConfig, TrainConfig
from propensity_spark.trainset.sources import NAMES, TOUCHED

LEARN_WEIGHT = "learn_weight"  # how much a row counts in a fit; not `weight`, which says how many pairs it stands for
_FAVOUR = "favour"
_STEPS = 1_000_000  # resolution of a rate
_HARDEST = 4  # sources that name a pair; more make it no harder


def uniform(seed: int, *columns: str) -> Column:
    """A number in [0, 1) that depends on the seed and the columns' values alone."""
    return F.pmod(F.xxhash64(F.lit(seed), *columns), F.lit(_STEPS)) / F.lit(float(_STEPS))


def sample_negatives(labelled: DataFrame, rate: Column, seed: int) -> DataFrame:
    """Keep every positive and a share `rate` of the rest; a kept row's weight grows by what it now stands for.

    Takes   as_of, user_id, product_id, label INT (1, 0, or null: not matured; such rows count as the rest), weight DOUBLE.
    """
    positive = F.coalesce(F.col("label") == 1, F.lit(False))
    kept = positive | (uniform(seed, "as_of", "user_id", "product_id") < rate)
    grown = F.when(positive, F.col("weight")).otherwise(F.col("weight") / rate)
    return labelled.where(kept).withColumn("weight", grown)


def sampled(pairs: DataFrame, products: DataFrame, config: TrainConfig, where: Column) -> DataFrame:
    """The pairs with their negatives sampled as configured `where` that holds, and all kept elsewhere.

    Takes   pairs: as sample_negatives takes them, and candidate_source; products: features.product of the same dates.
    """
    rate = F.when(where, rate_of(config.negative_rate, config.negatives)).otherwise(1.0)
    return sample_negatives(with_favour(pairs, products, config.negatives), rate, config.seed).select(*pairs.columns)


def with_favour(pairs: DataFrame, products: DataFrame, config: NegativesConfig) -> DataFrame:
    """The pairs plus favour DOUBLE in [0, 1]: how much their kind is to be kept rather than others.

    Takes   pairs: as_of, product_id, candidate_source; products: features.product of the same dates.
            By popularity it is the share of the date's bought products that have fewer buyers lately.
    """
    if config.by != "popularity":
        return pairs.withColumn(_FAVOUR, _favour(config.by))
    bought = products.where("product_buyers_recent > 0").select("as_of", "product_id", "product_buyers_recent")
    rank = F.expr("percent_rank() OVER (PARTITION BY as_of ORDER BY product_buyers_recent)")
    ranked = bought.select("as_of", "product_id", rank.alias(_FAVOUR))
    return pairs.join(F.broadcast(ranked), ["as_of", "product_id"], "left").fillna(0.0, [_FAVOUR])


def rate_of(plain: float, config: NegativesConfig) -> Column:
    """The share of the negatives that is kept of a pair's kind, by its favour; at most all."""
    return F.least(F.lit(1.0), F.lit(plain) * (1 + F.col(_FAVOUR) * (config.favour - 1)))


def least_rate(config: TrainConfig, pairs: int) -> float:
    """The share of the negatives that teaches at least, where a fit has no more than so many pairs: of few, all are wanted.

    With it about train.min_rows of them teach (train.max_rows where that is less). Where some are favoured it is the share of
    the others.
    """
    return float(f"{min(1.0, min(config.min_rows, config.max_rows) / max(pairs, 1)):.3g}")


def as_if_uniform(rows: DataFrame, plain: float) -> DataFrame:
    """The sampled rows with the learn_weight that makes them count as if each negative had been kept at the rate `plain`.

    What is fitted to them is then off by the same factor of the odds everywhere, and that is undone exactly.
    """
    return rows.withColumn(LEARN_WEIGHT, F.when(F.col("label") == 1, 1.0).otherwise(F.col("weight") * plain))


def _favour(by: str) -> Column:
    """By what the candidates' sources say; uniform favours none."""
    sources = F.split("candidate_source", r"\+")
    if by == "exposure":
        return F.array_contains(sources, NAMES[TOUCHED]).cast("double")
    if by == "hard":
        return F.least((F.size(sources) - 1) / F.lit(_HARDEST - 1), F.lit(1.0))
    return F.lit(0.0)
