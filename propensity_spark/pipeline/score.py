"""Job: the champion's calibrated probabilities of one date, into gold.propensity, and of users whom it does not score, into
gold.cold_start; where the date's labels are already known, its backtest.
"""

import json
from datetime import date

from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import PropensityError
from propensity_spark.judge.order import add_ranking
from propensity_spark.models import fast
from propensity_spark.pipeline import candidate_scores, cold_start, figures, judging, rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.serve import registry, views
from propensity_spark.serve.bundle import Bundle
from propensity_spark.serve.score import KEEP, propensities


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> None:
    """Score the moment's date with the newest finished run for it, and say what is known of the users whom it does not score.

    The views over both are made last. A second run replaces the first.
    Raises PropensityError where that run was trained on other features, or on candidates that were made otherwise.
    """
    _score(spark, config, moment, progress)
    cold_start.run(spark, config, moment, progress)
    views.create(spark, config.score.top_products)


def _score(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> None:
    as_of = moment.timeline.as_of
    trained = registry.latest(config, as_of)
    if trained.bundle.feature_version != moment.features.version:
        raise PropensityError(
            f"run {trained.run_id} was trained on feature version {trained.bundle.feature_version}, the tables hold "
            f"{moment.features.version}. Run `propensity train` again."
        )
    bundle = trained.bundle
    if bundle.candidate_version and bundle.candidate_version != candidate_scores.version(config, moment.features):
        names = ", ".join(f"candidates.{name}" for name in candidate_scores.HANG_ON)
        raise PropensityError(
            f"run {trained.run_id} was trained on candidates whose scores were made by other settings (one of {names}, train.seed, "
            "shop.time_zone, or none of together, als and affinity) or by another version of propensity_spark. Run `propensity "
            "train` again, or set them as they were."
        )
    pairs = bundle.encoders.transform(_keyed(config, rows.of_dates(spark, moment, [as_of]), as_of, bundle))
    champion, ranker = bundle.scorers[bundle.champion].column, bundle.ranker.column if bundle.ranker else None
    if not moment.timeline.backtest:
        needed = [scorer for scorer in bundle.all_scorers if scorer.column in (champion, ranker)]
        return _write(add_ranking(fast.score(pairs, needed, (*KEEP, *bundle.reads)), champion, ranker), moment, trained, progress)
    everything = judging.scored(pairs, bundle.all_scorers, bundle.most_popular or judging.most_popular(spark), "candidate_source")
    scored = add_ranking(everything, champion, ranker).persist()
    try:
        _write(scored, moment, trained, progress)
        _backtest(scored, config, moment, trained, progress)
    finally:
        scored.unpersist()
    return None


def _keyed(config: Config, pairs: DataFrame, as_of: date, bundle: Bundle) -> DataFrame:
    """The pairs with all that their calibration reads. Raises PropensityError where the shop no longer tells it."""
    keyed = judging.with_segment(config, pairs, as_of)
    missing = {column for calibrator in bundle.calibrators.values() for column in calibrator.reads} - set(keyed.columns)
    if missing:
        raise PropensityError(f"the run is calibrated by {', '.join(missing)}, which these settings do not make; train again.")
    return keyed


def _write(scored: DataFrame, moment: Moment, trained: registry.Run, progress: Progress) -> None:
    spark, where, bundle = scored.sparkSession, f"as_of = DATE'{moment.timeline.as_of}'", trained.bundle
    with progress.stage("score") as stage:
        made = propensities(scored, tables.read(spark, "features.product", where), trained)
        stage.rows_out = tables.replace(made, "gold.propensity", where)
        stage.note = f"{bundle.champion} version {bundle.versions.get(bundle.champion)}"


def _backtest(scored: DataFrame, config: Config, moment: Moment, trained: registry.Run, progress: Progress) -> None:
    """Judge the scores of a date whose horizon has passed: the models could not know its labels, the data do."""
    spark, as_of, published = scored.sparkSession, moment.timeline.as_of, config.with_champion(trained.bundle.champion)
    with progress.stage("backtest") as stage:
        judged = judging.judge(spark, published, moment, scored, trained.bundle.calibrators, as_of, trained.bundle.thresholds)
        figures.write(spark, judged, as_of, "backtest", trained.run_id)
        texts = {"backtest.json": json.dumps(judged)}
        registry.add(config, trained.run_id, figures.logged(judged, "backtest"), texts)
        stage.rows_out = next(iter(judged["metrics"].values()))["rows"]
        stage.note = f"as of {as_of}"
