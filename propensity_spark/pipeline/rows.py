"""Assembled rows of the dates that a job needs, from the feature tables."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import TrainConfig
from propensity_spark.pipeline.build_features import Moment, kept, on_dates, products_at
from propensity_spark.schemas import VERSIONS
from propensity_spark.trainset import assemble, sampling


def of_dates(spark: SparkSession, moment: Moment, dates: Sequence[date], learnt: TrainConfig | None = None) -> DataFrame:
    """Candidate rows of the dates with the model's inputs, and the attributes that encoders read.

    Rows that are `learnt` from are sampled before anything is joined. Where rates differ, a learn_weight makes up for it.
    """
    where = on_dates(dates)
    candidates = tables.read(spark, "trainset.candidates", where)
    if learnt:
        candidates = _thin(candidates, tables.read(spark, "features.product", where), learnt)
    features = {entity: tables.read(spark, f"features.{entity}", where) for entity in kept(moment.features)}
    features["products"] = products_at(spark, moment, dates)
    for known in moment.attributes:  # while the rows are narrow
        candidates = known.add_to(candidates, tables.read(spark, VERSIONS[known.key]))
    also = [column for known in moment.attributes for column in known.columns]
    made = assemble.assemble(candidates, features, moment.features, also)
    if learnt is None or learnt.negatives.by == "uniform":
        return made
    return sampling.as_if_uniform(made, learnt.negative_rate)


def count_learnt(spark: SparkSession, dates: Sequence[date], learnt: TrainConfig) -> dict[date, tuple[int, int]]:
    """How many rows `of_dates` gives of each date to learn from, and how many of them were bought."""
    where = on_dates(dates)
    sampled = _thin(tables.read(spark, "trainset.candidates", where), tables.read(spark, "features.product", where), learnt)
    found = sampled.groupBy("as_of").agg(F.count(F.lit(1)), F.count_if(F.col("label") == 1)).collect()
    return {day: (int(rows), int(bought)) for day, rows, bought in found}


def _thin(candidates: DataFrame, products: DataFrame, learnt: TrainConfig) -> DataFrame:
    """The candidates with their negatives sampled.

    Some dates were sampled when they were written, at this rate or a higher one, and by the same hash: what is kept at a lower
    rate is among what was kept, and stands for as many pairs as if all had been there.
    """
    if learnt.negative_rate >= 1.0:
        return candidates
    return sampling.sampled(candidates.withColumn("weight", F.lit(1.0)), products, learnt, F.lit(True))
