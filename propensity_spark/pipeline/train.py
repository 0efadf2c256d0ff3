"""Job: rehearse the procedure a horizon earlier and judge it, then train and calibrate what scores as_of; log both."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import InsufficientData
from propensity_spark.features import compute
from propensity_spark.judge import calibrate, metrics, ranking
from propensity_spark.judge.baselines import BASELINES, add_baselines
from propensity_spark.judge.calibrate import Calibrator
from propensity_spark.models import fast
from propensity_spark.models.contract import Fitted
from propensity_spark.models.families import FAMILIES
from propensity_spark.pipeline import rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.serve import registry
from propensity_spark.serve.bundle import Bundle
from propensity_spark.trainset.assemble import inputs
from propensity_spark.trainset.labels import bought
from propensity_spark.trainset.split import Procedure

KEEP = ("as_of", "user_id", "product_id", "label", "weight", "pair_orders", "product_buyers_recent")
_CALIBRATION_SALT = 3


@dataclass(frozen=True, slots=True)
class Trained:
    """One procedure's models, and the calibrators of models and baselines by name."""

    models: dict[str, Fitted]
    calibrators: dict[str, Calibrator]


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> registry.Run:
    """Train, calibrate, test; write gold.metrics and an MLflow run, which is returned.

    Raises InsufficientData where the purchases cannot carry a model: nothing is written then.
    """
    timeline = moment.timeline
    sampled_dates = sorted({*timeline.final.train, *timeline.rehearsal.train, timeline.rehearsal.calibrate})
    with progress.stage("training rows") as stage:
        sampled = rows.of_dates(spark, moment, sampled_dates).drop("candidate_source").persist()
        counts = _counts(sampled)
        stage.rows_out = sum(count for count, _, _ in counts.values())
    try:
        check_sufficient(config, timeline.final, counts)
        check_sufficient(config, timeline.rehearsal, counts)
        popular = most_popular(spark)
        judged = _rehearse(spark, config, moment, sampled, popular, progress)
        final = _final(spark, config, moment, sampled, popular, progress)
    finally:
        sampled.unpersist()
    with progress.stage("log to MLflow"):
        return _log(spark, config, moment, final, judged)


def _counts(sampled: DataFrame) -> dict[date, tuple[int, int, int]]:
    """Per as_of: rows, positives, and users with a positive."""
    found = sampled.groupBy("as_of").agg(
        F.count(F.lit(1)), F.sum("label"), F.count_distinct(F.when(F.col("label") == 1, F.col("user_id")))
    )
    return {row[0]: (int(row[1]), int(row[2] or 0), int(row[3])) for row in found.collect()}


def check_sufficient(config: Config, procedure: Procedure, counts: Mapping[date, tuple[int, int, int]]) -> None:
    """Refuse to train on too little.

    Raises InsufficientData naming what was found, what is needed and the setting.
    """
    train = [counts.get(day, (0, 0, 0)) for day in procedure.train]
    total, positives = sum(c[0] for c in train), sum(c[1] for c in train)
    buyers = max((c[2] for c in train), default=0)
    if positives < config.train.min_positives or buyers < config.train.min_buyers:
        raise InsufficientData(
            f"too few purchases to train: {positives} bought pairs by at most {buyers} users per date among the candidates "
            f"of {', '.join(map(str, procedure.train))}; needed are {config.train.min_positives} (train.min_positives) and "
            f"{config.train.min_buyers} (train.min_buyers). Nothing was scored."
        )
    if positives == total:
        raise InsufficientData("every training pair was bought: there is nothing to tell apart. Widen the candidates.")


def most_popular(spark: SparkSession) -> float:
    """The largest product_buyers_recent there is."""
    products = tables.read(spark, "features.product")
    return float(products.agg(F.max("product_buyers_recent")).collect()[0][0] or 0.0)


def _rehearse(
    spark: SparkSession, config: Config, moment: Moment, sampled: DataFrame, popular: float, progress: Progress
) -> dict[str, dict[str, object]]:
    """The procedure as of one horizon earlier, judged on labels that nothing in it has seen."""
    procedure = moment.timeline.rehearsal
    trained = _fit(config, moment, procedure, sampled, "rehearsal", progress)
    with progress.stage("calibrate") as stage:
        period = sampled.where(F.col("as_of") == procedure.calibrate)
        trained = _calibrate(config, trained, _scored(period, trained, popular), progress)
        stage.note = _methods(trained)
    with progress.stage("test") as stage:
        everything = rows.of_dates(spark, moment, [procedure.score])
        scored = with_probabilities(_scored(everything, trained, popular), trained.calibrators).persist()
        try:
            judged = judge(spark, config, moment, scored, procedure.score, list(trained.calibrators))
            stage.rows_out = scored.count()
        finally:
            scored.unpersist()
    return judged


def _final(
    spark: SparkSession, config: Config, moment: Moment, sampled: DataFrame, popular: float, progress: Progress
) -> Trained:
    procedure = moment.timeline.final
    trained = _fit(config, moment, procedure, sampled, "final", progress)
    with progress.stage("calibrate") as stage:
        seed = config.train.seed + _CALIBRATION_SALT
        period = rows.of_dates(spark, moment, [procedure.calibrate], config.train.negative_rate, seed)
        trained = _calibrate(config, trained, _scored(period, trained, popular), progress)
        stage.note = _methods(trained)
    return trained


def _fit(
    config: Config, moment: Moment, procedure: Procedure, sampled: DataFrame, what: str, progress: Progress
) -> Trained:
    models = {}
    train = sampled.where(F.col("as_of").isin(list(procedure.train)))
    for family in config.models.families:
        with progress.stage(f"fit {family}") as stage:
            models[family] = FAMILIES[family](train, inputs(moment.features), config.models, config.train.seed)
            stage.note = f"{what}: {', '.join(map(str, procedure.train))}"
    return Trained(models, {})


def _scored(assembled: DataFrame, trained: Trained, popular: float) -> DataFrame:
    scorers = [fitted.scorer for fitted in trained.models.values()]
    return add_baselines(fast.score(assembled, scorers, KEEP), popular)


def score_columns(families: list[str]) -> dict[str, str]:
    """Scorer -> the column of its uncalibrated score."""
    return {**{family: fast.raw_column(family) for family in families}, **{name: name for name in BASELINES}}


def _calibrate(config: Config, trained: Trained, scored: DataFrame, progress: Progress) -> Trained:
    scored = scored.persist()
    try:
        made = {}
        for name, column in score_columns(list(trained.models)).items():
            is_model = name in trained.models
            method = config.calibration.method if is_model else "isotonic"
            rate = config.train.negative_rate if is_model else 1.0
            kind = calibrate.PROBABILITY if is_model else calibrate.COUNT
            made[name] = calibrate.fit(scored, column, method, rate, kind)
    finally:
        scored.unpersist()
    return Trained(trained.models, made)


def _methods(trained: Trained) -> str:
    return ", ".join(f"{name} by {trained.calibrators[name].method}" for name in trained.models)


def with_probabilities(scored: DataFrame, calibrators: Mapping[str, Calibrator]) -> DataFrame:
    """The scored rows plus p_<scorer>, the calibrated probability of each scorer."""
    columns = score_columns([name for name in calibrators if name not in BASELINES])
    made = [calibrators[name].apply(F.col(column)).alias(f"p_{name}") for name, column in columns.items()]
    return scored.select("*", *made)


def judge(
    spark: SparkSession, config: Config, moment: Moment, scored: DataFrame, as_of: date, scorers: list[str]
) -> dict[str, dict[str, object]]:
    """Everything that is to be said about all scorers at one matured as_of, by part, as plain values."""
    columns = score_columns([name for name in scorers if name not in BASELINES])
    truth = purchases(spark, config, moment, as_of)
    probabilities = {name: f"p_{name}" for name in columns}
    flagged = F.coalesce(F.col("pair_orders"), F.lit(0.0)) > 0
    return {
        "metrics": {n: asdict(m) for n, m in metrics.evaluate(scored, probabilities).items()},
        "ranking": {n: asdict(m) for n, m in ranking.per_user(scored, truth, columns).items()},
        "repeat": {n: asdict(m) for n, m in metrics.evaluate(scored.where(flagged), probabilities).items()},
        "new": {n: asdict(m) for n, m in metrics.evaluate(scored.where(~flagged), probabilities).items()},
    }


def purchases(spark: SparkSession, config: Config, moment: Moment, as_of: date) -> DataFrame:
    """The distinct pairs bought within the horizon by the users who are scored at as_of, candidates or not."""
    events = tables.read(spark, "silver.events")
    dates = compute.moments(events, [as_of], config.shop.time_zone)
    everyone = tables.read(spark, "trainset.candidates", f"as_of = DATE'{as_of}'").select("user_id").distinct()
    pairs = bought(events, dates, moment.timeline.horizon_days, config.shop.time_zone)
    return pairs.select("user_id", "product_id").join(everyone, on="user_id", how="left_semi")


def _log(
    spark: SparkSession, config: Config, moment: Moment, final: Trained, judged: dict[str, dict[str, object]]
) -> registry.Run:
    bundle = Bundle(
        shop=config.shop.name,
        as_of=moment.timeline.as_of,
        horizon_days=moment.timeline.horizon_days,
        champion=config.models.champion,
        feature_version=moment.features.version,
        scorers={name: fitted.scorer for name, fitted in final.models.items()},
        calibrators=final.calibrators,
        versions={},
    )
    importance = {name: fitted.importance for name, fitted in final.models.items()}
    texts = {"judgement.json": json.dumps({"test": judged, "importance": importance}, default=str)}
    return registry.log(config, bundle, final.models, {}, texts)
