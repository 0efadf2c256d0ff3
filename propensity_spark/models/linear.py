"""Logistic regression of Spark ML, with elastic net on standardised features."""

import json
from collections.abc import Sequence

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.ml.linalg import Vector
from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame

from propensity_spark.config import LogisticConfig, ModelsConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models.contract import LABEL, Fitted, learn_weight, make_scorer, shares, vector_column
from propensity_spark.models.fast import Matrix, Predict, Scorer, sigmoid
from propensity_spark.models.vectors import scaled, scaler

FAMILY = "logistic"


def fit_logistic(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit logistic regression; its importance is the absolute standardised coefficient.

    The fit has no randomness: `seed` is part of the contract only.
    """
    vector = vector_column(FAMILY, "features")
    prepare, weight = PipelineModel(stages=scaled(features, vector)), learn_weight(rows)
    vectors = prepare.transform(rows).select(LABEL, *weight, vector).persist()
    try:
        model = _learner(config.logistic, vector, weight).fit(vectors)
        importance = importance_of(model.coefficients, vectors, vector, features)
    finally:
        vectors.unpersist()
    facts = {"iterations": float(model.summary.totalIterations), "intercept": float(model.intercept)}
    pipeline = PipelineModel(stages=[*prepare.stages, model])
    return Fitted(FAMILY, pipeline, make_scorer(FAMILY, features, payload_of(model)), importance, facts)


def payload_of(model: LogisticRegressionModel) -> str:
    """What `predictor` needs of a line."""
    return json.dumps({"coefficients": model.coefficients.toArray().tolist(), "intercept": float(model.intercept)})


def predictor(scorer: Scorer) -> Predict:
    """The same probabilities from a matrix of raw inputs."""
    weights = json.loads(scorer.payload)
    coefficients, intercept = np.array(weights["coefficients"]), float(weights["intercept"])
    scale = scaler(scorer.units)

    def predict(matrix: Matrix) -> Matrix:
        return sigmoid(scale(matrix) @ coefficients + intercept)

    return predict


def _learner(settings: LogisticConfig, vector: str, weight: Sequence[str]) -> LogisticRegression:
    learner = LogisticRegression(
        featuresCol=vector,
        labelCol=LABEL,
        probabilityCol=vector_column(FAMILY, "probability"),
        rawPredictionCol=vector_column(FAMILY, "margin"),
        predictionCol=vector_column(FAMILY, "class"),
        regParam=settings.regularisation,
        elasticNetParam=settings.elastic_net,
        maxIter=settings.max_iterations,
        standardization=True,
    )
    return learner.setWeightCol(*weight) if weight else learner


def importance_of(coefficients: Vector, vectors: DataFrame, vector: str, features: Sequence[Feature]) -> dict[str, float]:
    """Each feature's share of the absolute coefficients, standardised."""
    spread = vectors.select(Summarizer.std(vectors[vector])).collect()[0][0]
    return shares([abs(c * s) for c, s in zip(coefficients.toArray(), spread.toArray(), strict=True)], features)
