"""Job: the champion's calibrated probabilities of one date, into gold.propensity."""

from pyspark.sql import SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import PropensityError
from propensity_spark.pipeline import rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.serve import registry
from propensity_spark.serve.score import propensities


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> None:
    """Score the moment's date with the newest finished run for it; a second run replaces the first.

    Raises PropensityError where that run was trained on other features.
    """
    as_of = moment.timeline.as_of
    trained = registry.latest(config, as_of)
    if trained.bundle.feature_version != moment.features.version:
        raise PropensityError(
            f"run {trained.run_id} was trained on feature version {trained.bundle.feature_version}, the tables hold "
            f"{moment.features.version}. Run `propensity train` again."
        )
    where = f"as_of = DATE'{as_of}'"
    with progress.stage("score") as stage:
        pairs = rows.of_dates(spark, moment, [as_of])
        scored = propensities(pairs, tables.read(spark, "features.product", where), trained)
        stage.rows_out = tables.replace(scored, "gold.propensity", where)
        stage.note = f"{trained.bundle.champion} version {trained.bundle.versions.get(trained.bundle.champion)}"
