"""Which pairs are worth scoring: what the user touched, what is popular now, and what all users together say of the rest.

Every source is counted per user and as_of, ties are broken by product_id, and all of it reads the past of as_of only.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset import collaborative, sources
from propensity_spark.trainset.collaborative import Learning
from propensity_spark.trainset.sources import KEYS, NAMES, Tables

_NONE = {
    "together_score": 0.0,
    "als_score": None,
    "affinity": None,
    "following_score": None,
    "peers_score": None,
    collaborative.RECENT: 0.0,
}  # where a pair has no score


def candidates(
    population: DataFrame,
    tables: Tables,
    past: DataFrame,
    config: CandidateConfig,
    learning: Learning,
    excluded: DataFrame | None = None,
) -> DataFrame:
    """All candidate pairs of the population.

    Takes   population as_of, user_id; `tables` as sources.of_others takes them; `past` from collaborative.history; `excluded`:
            as_of, product_id of what is no candidate, though it may be learnt from (None: nothing).
    Returns as_of, user_id, product_id, candidate_source (sources joined by '+') and the scores of `learning` FLOAT:
            together_score is 0 where it goes together with nothing bought; the others are null where a product is not
            among the listed, and where nothing is known of the user.
    """
    offered = _offered(tables, excluded)
    made, asked = sources.of_hers(population, offered, config), sources.of_others(population, offered, config)
    if config.together or config.als or config.affinity:
        named = reduce(DataFrame.unionByName, asked, _no_pairs(population))
        made.append(collaborative.collaborative(population, past, config, learning, named, excluded))
    else:
        made += asked
    united = reduce(DataFrame.unionByName, [_with_scores(frame, learning) for frame in made])
    best = [F.max(score).alias(score) for score in learning.scores]
    merged = united.groupBy(*KEYS).agg(F.bit_or("source").alias("_sources"), *best).where("_sources > 0")
    scores = [F.coalesce(name, F.lit(_NONE[name])).cast("float").alias(name) for name in learning.scores]
    return merged.select(*KEYS, _names("_sources").alias("candidate_source"), *scores)


def _no_pairs(population: DataFrame) -> DataFrame:
    """None, as sources give them."""
    return population.select("as_of", "user_id", F.lit("").alias("product_id"), F.lit(0).alias("source")).where(F.lit(False))


def _offered(tables: Tables, excluded: DataFrame | None) -> Tables:
    """The tables from which sources take products, without the excluded ones: they would fill the lists."""
    if excluded is None:
        return tables
    kept = {name: tables[name].join(excluded, ["as_of", "product_id"], "left_anti") for name in ("pair", "product")}
    return {**tables, **kept}


def _with_scores(frame: DataFrame, learning: Learning) -> DataFrame:
    empty = F.lit(None).cast("float")
    made = [(F.col(score) if score in frame.columns else empty).alias(score) for score in learning.scores]
    return frame.select(*KEYS, "source", *made)


def _names(bits: str) -> Column:
    """The sources in a set of bits, joined by '+'."""
    return F.concat_ws("+", *(F.when(F.col(bits).bitwiseAND(bit) > 0, name) for bit, name in NAMES.items()))
