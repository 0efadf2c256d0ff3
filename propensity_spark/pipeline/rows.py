"""Assembled rows of the dates that a job needs, from the feature tables."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import TrainConfig
from propensity_spark.pipeline.build_features import Moment, kept
from propensity_spark.schemas import VERSIONS
from propensity_spark.trainset import assemble, sampling


def of_dates(spark: SparkSession, moment: Moment, dates: Sequence[date], learnt: TrainConfig | None = None) -> DataFrame:
    """Candidate rows of the dates with the model's inputs, and the attributes that encoders read.

    Rows that are `learnt` from are sampled: dates that keep all candidates here, before anything is joined; dates that were
    sampled when they were written are taken as they are. Where rates differ, a learn_weight makes up for it.
    """
    where = "as_of IN (" + ", ".join(f"DATE'{day}'" for day in dates) + ")"
    candidates = tables.read(spark, "trainset.candidates", where)
    if learnt and learnt.negative_rate < 1.0:
        candidates = _thin(candidates, tables.read(spark, "features.product", where), moment, learnt)
    features = {entity: tables.read(spark, f"features.{entity}", where) for entity in kept(moment.features)}
    features["products"] = tables.read(spark, "silver.products")
    for known in moment.attributes:  # while the rows are narrow
        candidates = known.add_to(candidates, tables.read(spark, VERSIONS[known.key]))
    also = [column for known in moment.attributes for column in known.columns]
    made = assemble.assemble(candidates, features, moment.features, also)
    if learnt is None or learnt.negatives.by == "uniform":
        return made
    return sampling.as_if_uniform(made, learnt.negative_rate)


def _thin(candidates: DataFrame, products: DataFrame, moment: Moment, learnt: TrainConfig) -> DataFrame:
    is_full = F.col("as_of").isin(list(moment.timeline.in_full))
    return sampling.sampled(candidates, products, learnt, is_full)
