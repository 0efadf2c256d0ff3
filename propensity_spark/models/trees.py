"""Gradient boosting: LightGBM, native in one task while one machine carries the rows, else on all slots, by SynapseML or a ring.

SynapseML is guarded against the ways in which it hangs or degrades silently.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from py4j.protocol import Py4JError
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession

from propensity_spark.config import LightGBMConfig, ModelsConfig
from propensity_spark.errors import TrainingFailed
from propensity_spark.features.spec import Feature
from propensity_spark.models import slots, staged
from propensity_spark.models.contract import LABEL, Fitted, learn_weight, make_scorer, shares, vector_column
from propensity_spark.models.fast import Matrix, Predict, Scorer
from propensity_spark.models.layout import Size, dealt, size
from propensity_spark.models.native import Parameters, fit_in_one_task
from propensity_spark.models.ring import fit_in_ring
from propensity_spark.models.rounds import Rounds
from propensity_spark.models.vectors import with_missing
from propensity_spark.models.watchdog import within

FAMILY = "lightgbm"
NATIVE, RING, SYNAPSEML = "native", "ring", "synapseml"
_NOT_LINKED = ("UnsatisfiedLinkError", "NoClassDefFoundError", "ExceptionInInitializerError")
_POSITIVES_A_LEAF, _FEWEST_LEAVES, _MOST_LEAVES = 1500, 7, 63
_LEAVES_IN_ALL, _SMALLEST_LEAF = 250, 20  # as many leaves of the least size may the rows make, and none of fewer rows


def fit_lightgbm(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit LightGBM; its importance is the gain.

    In one task the model depends on the rows' order: lay them out by their keys (partitioned and sorted) and persist them
    first, and equal rows give an equal model wherever it is trained.
    Where the engine fails, the one of models.lightgbm.fallback takes over, and the note says why.
    Raises TrainingFailed on a hang, on too few slots, and where fewer trees than asked for come back.
    """
    most = slots.check(rows.sparkSession, "models.lightgbm.tasks", config.lightgbm.tasks)
    extent = size(rows)
    settings = at_size(config.lightgbm, extent.rows)
    leaves, tasks = settings.leaves or leaves_for(extent.positives), _tasks(extent.rows, settings, most)

    def fit(engine: str) -> Fitted:
        if engine == SYNAPSEML:
            return _fit_on_slots(rows, features, settings, tasks, leaves, seed)
        return _fit_natively(rows, extent, features, settings, leaves, seed, tasks if engine == RING else 1)

    first = _engine(settings, extent.rows, tasks == 1 or slots.has_barriers(rows.sparkSession))
    try:
        return fit(first)
    except TrainingFailed as failure:
        if settings.fallback in ("none", first):
            raise
        second = fit(settings.fallback)
        note = f"{settings.fallback} took over, for {first} failed: {failure}"
        return replace(second, facts={**second.facts, "fell_back": 1.0}, note=note)


def _fit_natively(
    rows: DataFrame, extent: Size, features: Sequence[Feature], settings: LightGBMConfig, leaves: int, seed: int, tasks: int
) -> Fitted:
    names = [feature.name for feature in features]
    parameters = {"objective": "binary", "num_leaves": leaves, **shared(settings, seed)}
    asked = (LABEL, names, parameters, Rounds(settings.rounds, settings.random_share), settings.timeout_seconds)
    if tasks == 1:
        gamma, patience = settings.focal_gamma, settings.early_stopping_rounds
        model = fit_in_one_task(rows, *asked, focal_gamma=gamma, patience=patience)
    else:
        slots.check_barriers(rows.sparkSession, "models.lightgbm.engine: ring", "engine to synapseml or native")
        model = fit_in_ring(rows, extent, *asked, tasks)
    facts = _facts(model.text.count("\nTree="), leaves, tasks, settings)
    return replace(from_native(model.text, features, facts), curves=model.curves)


def from_native(model: str, features: Sequence[Feature], facts: dict[str, float]) -> Fitted:
    """A native model of the features as Spark ML's pipeline, as a scorer, and with its importance.

    The pipeline is SynapseML's where the JVM can load its library, which there is for x86 processors alone, else `staged`.
    """
    scorer = make_scorer(FAMILY, features, model)
    pipeline, note = _of_synapseml(model, features), ""
    if pipeline is None:
        note = "SynapseML has no LightGBM for this processor: the Spark model is of this package's own stage"
        pipeline = PipelineModel(stages=[staged.stage(scorer, vector_column(FAMILY, "probability"))])
    return Fitted(FAMILY, pipeline, scorer, _importance(model, features), facts, note)


def _of_synapseml(model: str, features: Sequence[Feature]) -> PipelineModel | None:
    """None where the JVM has no LightGBM."""
    from synapse.ml.lightgbm import LightGBMClassificationModel  # needs a running JVM

    vector = vector_column(FAMILY, "features")
    try:
        stage = LightGBMClassificationModel.loadNativeModelFromString(model)
    except Py4JError as problem:
        if not any(name in str(problem) for name in _NOT_LINKED):
            raise
        return None
    stage.setFeaturesCol(vector)
    stage.set(stage.probabilityCol, vector_column(FAMILY, "probability"))
    stage.set(stage.rawPredictionCol, "")  # each further column would score every row once more
    stage.set(stage.predictionCol, "")
    return PipelineModel(stages=[*with_missing(features, vector), stage])


def predictor(scorer: Scorer) -> Predict:
    """The native model's probabilities of a matrix of raw inputs."""
    import lightgbm

    native = lightgbm.Booster(model_str=scorer.payload)

    def predict(matrix: Matrix) -> Matrix:
        return np.asarray(native.predict(matrix, num_threads=1), dtype=np.float64)

    return predict


def shared(settings: LightGBMConfig, seed: int) -> Parameters:
    """The native parameters that all objectives share."""
    return {
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.min_data_in_leaf,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "max_bin": settings.max_bin,
        "seed": seed,
    }


def _engine(settings: LightGBMConfig, rows: int, can_ring: bool) -> str:
    """By size, unless one is named; where there can be no ring, SynapseML, whose tasks begin as they can."""
    few = not settings.tasks and rows <= settings.rows_on_one_task
    if settings.only_native and settings.engine == "auto" and not few:
        raise TrainingFailed(
            f"models.lightgbm.{settings.only_native} is for the native engine, and {rows} rows are more than "
            f"models.lightgbm.rows_on_one_task ({settings.rows_on_one_task}). Set {settings.only_native}: 0, or engine: native "
            "where one machine carries them."
        )
    if settings.engine == "auto":
        return NATIVE if few else RING if can_ring else SYNAPSEML
    return settings.engine


def _fit_on_slots(
    rows: DataFrame, features: Sequence[Feature], settings: LightGBMConfig, tasks: int, leaves: int, seed: int
) -> Fitted:
    """By SynapseML: a ring of tasks, one per slot."""
    spark, vector = rows.sparkSession, vector_column(FAMILY, "features")
    prepared, weight = PipelineModel(stages=with_missing(features, vector)), learn_weight(rows)
    vectors = prepared.transform(rows).select(LABEL, *weight, vector).persist()
    try:
        with _fixed_partitions(spark):
            vectors.count()  # fills the cache, on all cores
            laid_out, learner = _lay_out(vectors, tasks), _learner(settings, vector, tasks, leaves, seed, weight)
            what = f"fitting LightGBM on {tasks} task(s)"
            model = within(spark, settings.timeout_seconds, what, lambda: learner.fit(laid_out))
    finally:
        vectors.unpersist()
    native = model.getNativeModel()
    trees = native.count("\nTree=")
    if trees != settings.rounds:
        raise TrainingFailed(
            f"LightGBM stopped after {trees} of {settings.rounds} rounds: an iteration failed on an executor. "
            "Its log says why; more rows, fewer leaves or a smaller min_data_in_leaf usually mend it."
        )
    pipeline = PipelineModel(stages=[*prepared.stages, model])
    facts = _facts(trees, leaves, tasks, settings)
    note = "SynapseML splits exactly in all rounds, whatever models.lightgbm.random_share says" if settings.random_share else ""
    return Fitted(FAMILY, pipeline, make_scorer(FAMILY, features, native), _importance(native, features), facts, note)


def leaves_for(positives: int) -> int:
    """As many leaves as the positives can fill: with more, trees learn who bought by chance."""
    return max(_FEWEST_LEAVES, min(_MOST_LEAVES, positives // _POSITIVES_A_LEAF))


def at_size(settings: LightGBMConfig, rows: int) -> LightGBMConfig:
    """The settings for a fit of so many rows, whatever its engine: where they are few, so are those that a leaf needs.

    Else the usual 400, which are felt below some 30,000 rows, would leave nothing to split of a thousand.
    """
    return replace(settings, min_data_in_leaf=min(settings.min_data_in_leaf, max(_SMALLEST_LEAF, rows // _LEAVES_IN_ALL)))


def _learner(settings: LightGBMConfig, vector: str, tasks: int, leaves: int, seed: int, weight: Sequence[str]) -> Any:
    from synapse.ml.lightgbm import LightGBMClassifier  # needs a running JVM

    learner = LightGBMClassifier(
        objective="binary",
        featuresCol=vector,
        labelCol=LABEL,
        probabilityCol=vector_column(FAMILY, "probability"),
        rawPredictionCol="",  # each further column would score every row once more
        predictionCol="",
        numIterations=settings.rounds,
        numLeaves=leaves,
        learningRate=settings.learning_rate,
        minDataInLeaf=settings.min_data_in_leaf,
        featureFraction=settings.feature_fraction,
        baggingFraction=settings.bagging_fraction,
        baggingFreq=1,
        lambdaL2=settings.l2,
        maxBin=settings.max_bin,
        numTasks=tasks,
        samplingMode="global",  # `subset` takes bin boundaries from the first rows only
        dataTransferMode="streaming",
        seed=seed,
        baggingSeed=seed,
        deterministic=True,
        verbosity=-1,
        passThroughArgs="force_row_wise=true",  # one of the two layouts must be fixed for equal results
        timeout=float(settings.timeout_seconds),
    )
    return learner.setWeightCol(*weight) if weight else learner


def _tasks(rows: int, settings: LightGBMConfig, most: int) -> int:
    """One task while one machine carries the rows (faster, and equal everywhere); else all that can run at once."""
    return settings.tasks or (1 if rows <= settings.rows_on_one_task else most)


def _lay_out(vectors: DataFrame, tasks: int) -> DataFrame:
    """As many partitions as tasks. Rows that come laid out (see `fit_lightgbm`) keep their order."""
    return vectors.coalesce(1) if tasks == 1 else dealt(vectors, tasks)


def _facts(trees: int, leaves: int, tasks: int, settings: LightGBMConfig) -> dict[str, float]:
    told = {"trees": trees, "leaves": leaves, "tasks": tasks, "min_data_in_leaf": settings.min_data_in_leaf}
    return {name: float(value) for name, value in told.items()}


@contextmanager
def _fixed_partitions(spark: SparkSession) -> Iterator[None]:
    """Adaptive execution may change partition counts under the learner: off for the fit."""
    key = "spark.sql.adaptive.enabled"
    before = spark.conf.get(key, "true")
    spark.conf.set(key, "false")
    try:
        yield
    finally:
        spark.conf.set(key, str(before))


def _importance(model: str, features: Sequence[Feature]) -> dict[str, float]:
    """Each input's share of all gain."""
    import lightgbm

    return shares([float(gain) for gain in lightgbm.Booster(model_str=model).feature_importance("gain")], features)
