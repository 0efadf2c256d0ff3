"""A multilayer perceptron on the inputs of the linear families, beside embeddings of keys; its fit needs the extra `network`.

Its batches are scored by numpy alone: only who fits one needs torch.
"""

import json
from collections.abc import Sequence

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from propensity_spark.config import ModelsConfig
from propensity_spark.errors import TrainingFailed
from propensity_spark.features.spec import Feature
from propensity_spark.models import handover, keys, packages, staged
from propensity_spark.models.contract import Fitted, make_scorer, shares, vector_column
from propensity_spark.models.fast import Matrix, Predict, Scorer, sigmoid
from propensity_spark.models.perceptron import Perceptron

FAMILY = "network"


def fit_network(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit the network; of the embedded columns those that the rows have.

    Its importance, told by the validation rows, is the mean absolute slope of the margin along each standardised input, and along
    a key how far its embedding moves the margin.
    Raises SetupError where torch is absent; TrainingFailed on a hang, on too few slots, and where there is nothing to learn.
    """
    packages.need("torch", FAMILY)
    settings = config.network
    found = keys.found(rows, settings.embeddings.columns, settings.embeddings.buckets)
    told = json.loads(handover.fit(rows, features, found, settings, seed))
    if told.get("problem"):
        raise TrainingFailed(f"the network learnt nothing: {told['problem']}")
    scorer = make_scorer(FAMILY, features, told["network"], found)
    pipeline = PipelineModel(stages=[staged.stage(scorer, vector_column(FAMILY, "probability"))])
    curves = {name: tuple(losses) for name, losses in told["curves"].items()}
    importance = shares(told["uses"], features, found)
    return Fitted(FAMILY, pipeline, scorer, importance, _facts(curves, told["best"], settings.workers), curves=curves)


def _facts(curves: dict[str, tuple[float, ...]], best: int, workers: int) -> dict[str, float]:
    facts = {"epochs": float(len(curves["train"])), "best_epoch": float(best), "workers": float(workers)}
    return facts | ({"validation_loss": curves["validation"][best - 1]} if "validation" in curves else {})


def predictor(scorer: Scorer) -> Predict:
    """The sigmoid of the margin, from a matrix of raw inputs and buckets."""
    network = Perceptron.from_text(scorer.payload)

    def predict(matrix: Matrix) -> Matrix:
        return sigmoid(network.margin(matrix))

    return predict
