"""Linear support vector machine of Spark ML, on the inputs of the logistic regression.

Its score is the sigmoid of the margin: between 0 and 1, in the margin's order, and no probability before it is calibrated.
"""

from collections.abc import Sequence
from typing import Protocol

from pyspark.ml import PipelineModel
from pyspark.ml.classification import LinearSVC, LinearSVCModel, LogisticRegressionModel
from pyspark.ml.wrapper import JavaWrapper
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import ModelsConfig
from propensity_spark.errors import NothingLearnt
from propensity_spark.features.spec import Feature
from propensity_spark.models import linear
from propensity_spark.models.contract import LABEL, LEARN_WEIGHT, Fitted, learn_weight, make_scorer, vector_column
from propensity_spark.models.vectors import scaled

FAMILY = "svm"
_LOGISTIC = "org.apache.spark.ml.classification.LogisticRegressionModel"
predictor = linear.predictor


class Settings(Protocol):
    """What a machine with a linear margin is set by."""

    @property
    def regularisation(self) -> float:
        """How much long coefficients cost."""
        ...

    @property
    def max_iterations(self) -> int:
        """The steps that it may take."""
        ...

    @property
    def positive_weight(self) -> float:
        """How many rows a bought one counts for; 0: both classes weigh the same."""
        ...


def fit_svm(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit the machine; its importance is the absolute standardised coefficient.

    The fit has no randomness: `seed` is part of the contract only. Raises NothingLearnt where one class is absent.
    """
    vector = vector_column(FAMILY, "features")
    prepare = PipelineModel(stages=scaled(features, vector))
    vectors = prepare.transform(rows).select(LABEL, *learn_weight(rows), vector).persist()
    try:
        machine = fit_margin(vectors, vector, config.svm)
        importance = linear.importance_of(machine.coefficients, vectors, vector, features)
    finally:
        vectors.unpersist()
    model = as_probability(machine, FAMILY, vector)
    pipeline = PipelineModel(stages=[*prepare.stages, model])
    facts = {"intercept": float(machine.intercept)}
    return Fitted(FAMILY, pipeline, make_scorer(FAMILY, features, linear.payload_of(model)), importance, facts)


def fit_margin(vectors: DataFrame, vector: str, settings: Settings) -> LinearSVCModel:
    """The line with the widest margin between the rows' vectors of both labels."""
    learner = LinearSVC(
        featuresCol=vector,
        labelCol=LABEL,
        regParam=settings.regularisation,
        maxIter=settings.max_iterations,
        standardization=True,
        weightCol=LEARN_WEIGHT,
    )
    fitted: LinearSVCModel = learner.fit(vectors.withColumn(LEARN_WEIGHT, _weight(vectors, settings.positive_weight)))
    return fitted


def _weight(vectors: DataFrame, positive_weight: float) -> Column:
    """How much each row counts: its learn_weight, a bought one's times `positive_weight` (0: to half of the whole)."""
    own = F.col(LEARN_WEIGHT) if LEARN_WEIGHT in vectors.columns else F.lit(1.0)
    if not positive_weight:
        bought = F.col(LABEL) == 1
        found = vectors.agg(F.sum(F.when(bought, own)), F.sum(F.when(~bought, own))).collect()[0]
        if not found[0] or not found[1]:
            raise NothingLearnt("a support vector machine needs bought and not bought rows; there is only one kind of them.")
        positive_weight = found[1] / found[0]
    return own * F.when(F.col(LABEL) == 1, positive_weight).otherwise(1.0)


def as_probability(machine: LinearSVCModel, family: str, vector: str) -> LogisticRegressionModel:
    """The machine as Spark ML's logistic model of the same line: its probability is the sigmoid of the margin.

    Spark's own LinearSVCModel has none, and no built-in stage would make it of its margin.
    """
    java = JavaWrapper._new_java_obj(_LOGISTIC, machine.uid, machine.coefficients, float(machine.intercept))
    model = LogisticRegressionModel(java)
    model.setFeaturesCol(vector)
    model.setProbabilityCol(vector_column(family, "probability"))
    model.setRawPredictionCol(vector_column(family, "margin"))
    model.setPredictionCol(vector_column(family, "class"))
    return model
