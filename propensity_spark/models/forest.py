"""Spark ML's trees: a random forest and gradient boosting.

They take no missing values: a missing one is made longer ago than all days, or less than everything else, so that a split can
tell it from any value.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import GBTClassifier
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.ml.regression import RandomForestRegressor
from pyspark.sql import DataFrame

from propensity_spark.config import ForestConfig, GBTConfig, ModelsConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models.contract import LABEL, LEARN_WEIGHT, Fitted, learn_weight, make_scorer, shares, vector_column
from propensity_spark.models.fast import Matrix, Predict, Scorer, sigmoid
from propensity_spark.models.flat import Trees, Walk, from_text
from propensity_spark.models.vectors import filled, filler

FOREST, GBT = "forest", "gbt"


def fit_forest(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit a forest; its importance is what splits gain.

    Its trees are regressions of the label, whose leaves hold the rate of bought rows: the splits are those of Gini's impurity.
    Spark's classifier would merge leaves that vote for the same class, and where few rows are bought nearly all of them do.
    """
    prepare, model = _fitted(rows, features, FOREST, _forest(config.forest, seed))
    trees = from_text(model.toDebugString, [1.0 / model.getNumTrees] * model.getNumTrees)
    return _made(FOREST, [*prepare.stages, model, *_as_probability()], trees, model, features)


def fit_gbt(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit boosted trees; their importance is what splits gain."""
    prepare, model = _fitted(rows, features, GBT, _boosting(config.gbt, seed))
    trees = from_text(model.toDebugString, [float(weight) for weight in model.treeWeights])
    return _made(GBT, [*prepare.stages, model], trees, model, features)


def forest_predictor(scorer: Scorer) -> Predict:
    """The mean of the leaves' rates."""
    fill, walk = filler(scorer.units), Walk(Trees.from_json(scorer.payload))

    def predict(matrix: Matrix) -> Matrix:
        return np.asarray(np.clip(walk(fill(matrix)), 0.0, 1.0), dtype=np.float64)

    return predict


def gbt_predictor(scorer: Scorer) -> Predict:
    """The sigmoid of twice the margin: Spark's loss has labels -1 and 1."""
    fill, walk = filler(scorer.units), Walk(Trees.from_json(scorer.payload))
    return lambda matrix: sigmoid(2.0 * walk(fill(matrix)))


def _fitted(rows: DataFrame, features: Sequence[Feature], family: str, learner: Any) -> tuple[PipelineModel, Any]:
    vector = vector_column(family, "features")
    prepare, weight = PipelineModel(stages=filled(features, vector)), learn_weight(rows)
    vectors = prepare.transform(rows).select(LABEL, *weight, vector).persist()
    if weight:
        learner.setWeightCol(LEARN_WEIGHT)
    try:
        return prepare, learner.setFeaturesCol(vector).setLabelCol(LABEL).fit(vectors)
    finally:
        vectors.unpersist()


def _forest(settings: ForestConfig, seed: int) -> RandomForestRegressor:
    return RandomForestRegressor(
        predictionCol=vector_column(FOREST, "rate"),
        numTrees=settings.trees,
        maxDepth=settings.depth,
        minInstancesPerNode=settings.min_data_in_leaf,
        featureSubsetStrategy=_share(settings.feature_fraction),
        subsamplingRate=settings.bagging_fraction,
        maxBins=settings.max_bin,
        maxMemoryInMB=512,  # of the statistics of nodes that are split in one pass
        seed=seed,
    )


def _boosting(settings: GBTConfig, seed: int) -> GBTClassifier:
    learner = GBTClassifier(
        predictionCol=vector_column(GBT, "class"),
        maxIter=settings.rounds,
        maxDepth=settings.depth,
        stepSize=settings.learning_rate,
        minInstancesPerNode=settings.min_data_in_leaf,
        featureSubsetStrategy=_share(settings.feature_fraction),
        subsamplingRate=settings.bagging_fraction,
        maxBins=settings.max_bin,
        maxMemoryInMB=512,
        seed=seed,
    )
    return learner.setProbabilityCol(vector_column(GBT, "probability")).setRawPredictionCol(vector_column(GBT, "margin"))


def _share(fraction: float) -> str:
    if not fraction:
        return "sqrt"
    return "all" if fraction == 1.0 else str(fraction)


def _as_probability() -> list[Transformer]:
    """From the forest's rate to the vector of both classes' probabilities."""
    rate, other = vector_column(FOREST, "rate"), vector_column(FOREST, "other")
    both = VectorAssembler(inputCols=[other, rate], outputCol=vector_column(FOREST, "probability"))
    return [SQLTransformer(statement=f"SELECT *, 1.0D - {rate} AS {other} FROM __THIS__"), both]


def _made(family: str, stages: Sequence[Transformer], trees: Trees, model: Any, features: Sequence[Feature]) -> Fitted:
    scorer = make_scorer(family, features, trees.to_json())
    importance = shares(model.featureImportances.toArray().tolist(), features)
    facts = {"trees": float(len(trees.roots)), "nodes": float(len(trees.value)), "depth": float(trees.depth)}
    return Fitted(family, PipelineModel(stages=list(stages)), scorer, importance, facts)
