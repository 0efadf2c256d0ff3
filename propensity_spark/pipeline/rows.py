"""Assembled rows of the dates that a job needs, from the feature tables."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.pipeline.build_features import Moment, kept
from propensity_spark.schemas import VERSIONS
from propensity_spark.trainset import assemble, sampling


def of_dates(spark: SparkSession, moment: Moment, dates: Sequence[date], negative_rate: float = 1.0, seed: int = 0) -> DataFrame:
    """Candidate rows of the dates with the model's inputs, and the attributes that encoders read.

    Dates that keep all candidates may be thinned to `negative_rate` here, before anything is joined; dates that were
    sampled when they were written are taken as they are.
    """
    where = "as_of IN (" + ", ".join(f"DATE'{day}'" for day in dates) + ")"
    candidates = tables.read(spark, "trainset.candidates", where)
    if negative_rate < 1.0:
        candidates = _thin(candidates, moment, negative_rate, seed)
    features = {entity: tables.read(spark, f"features.{entity}", where) for entity in kept(moment.features)}
    features["products"] = tables.read(spark, "silver.products")
    for known in moment.attributes:  # while the rows are narrow
        candidates = known.add_to(candidates, tables.read(spark, VERSIONS[known.key]))
    also = [column for known in moment.attributes for column in known.columns]
    return assemble.assemble(candidates, features, moment.features, also)


def _thin(candidates: DataFrame, moment: Moment, negative_rate: float, seed: int) -> DataFrame:
    is_full = F.col("as_of").isin(list(moment.timeline.in_full))
    return sampling.sample_negatives(candidates, F.when(is_full, negative_rate).otherwise(1.0), seed)
