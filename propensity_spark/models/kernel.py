"""Support vector machine with a Gaussian kernel, by random Fourier features: cosines and sines of random projections.

The projections of two rows have inner products near exp(-gamma distance^2) of their standardised inputs (Rahimi and Recht, 2007),
so that a line through them is a curve through the inputs, at the cost of a line.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import PCAModel, StandardScaler, StandardScalerModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import DenseMatrix, Vectors
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.ml.wrapper import JavaWrapper
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import ModelsConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models.contract import LABEL, Fitted, learn_weight, make_scorer, shares, vector_column
from propensity_spark.models.fast import Matrix, Predict, Scorer, matrix_of, sigmoid
from propensity_spark.models.svm import as_probability, fit_margin
from propensity_spark.models.vectors import scaled, scaler

FAMILY = "kernel_svm"
_PCA = "org.apache.spark.ml.feature.PCAModel"


class Waves(Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable["Waves"], DefaultParamsWritable):
    """A vector's cosines, and then its sines. A process that loads it needs this package, and no SynapseML: see the README."""

    def _transform(self, dataset: DataFrame) -> DataFrame:
        angles = vector_to_array(F.col(self.getInputCol()))
        both = F.concat(F.transform(angles, lambda x: F.cos(x)), F.transform(angles, lambda x: F.sin(x)))
        return dataset.withColumn(self.getOutputCol(), array_to_vector(both))


def fit_kernel_svm(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit the machine; its importance is the mean absolute slope of the margin along each standardised input.

    Raises NothingLearnt where one class is absent.
    """
    settings, vector = config.kernel_svm, vector_column(FAMILY, "features")
    prepare, weight = PipelineModel(stages=scaled(features, vector)), learn_weight(rows)
    standard = _standard(prepare.transform(rows).select(vector), vector)
    gamma = settings.gamma or 1.0 / max(int(np.count_nonzero(standard.std.toArray())), 1)
    projection = _projection(len(features), settings.components // 2, gamma, seed)
    whole = PipelineModel(stages=[*prepare.stages, standard, projection, _waves()])
    waves = vector_column(FAMILY, "waves")
    vectors = whole.transform(rows).select(LABEL, *weight, waves).persist()
    try:
        machine = fit_margin(vectors, waves, settings)
    finally:
        vectors.unpersist()
    model = as_probability(machine, FAMILY, waves)
    scorer = make_scorer(FAMILY, features, _payload(standard, projection, model))
    facts = {"gamma": float(gamma), "components": float(2 * (settings.components // 2))}
    return Fitted(FAMILY, PipelineModel(stages=[*whole.stages, model]), scorer, _importance(rows, scorer, features), facts)


def _standard(vectors: DataFrame, vector: str) -> StandardScalerModel:
    """Mean 0 and standard deviation 1; an input that does not vary is 0."""
    learner = StandardScaler(inputCol=vector, outputCol=vector_column(FAMILY, "standard"), withMean=True, withStd=True)
    return learner.fit(vectors)


def _projection(inputs: int, directions: int, gamma: float, seed: int) -> PCAModel:
    """Random directions as Spark ML's linear projection: a PCA's that was never fitted."""
    drawn = np.random.RandomState(seed).normal(0.0, np.sqrt(2.0 * gamma), (inputs, directions))  # its stream is fixed for good
    matrix = DenseMatrix(inputs, directions, drawn.flatten(order="F").tolist())
    java = JavaWrapper._new_java_obj(_PCA, f"projection_{seed}", matrix, Vectors.dense([0.0] * directions))
    model = PCAModel(java)
    model._set(k=directions)
    model.setInputCol(vector_column(FAMILY, "standard"))
    model.setOutputCol(vector_column(FAMILY, "angles"))
    return model


def _waves() -> Waves:
    made = Waves()
    made._set(inputCol=vector_column(FAMILY, "angles"), outputCol=vector_column(FAMILY, "waves"))
    return made


def _payload(standard: StandardScalerModel, projection: PCAModel, model: LogisticRegressionModel) -> str:
    """Directions of the scaled inputs (standardising taken into them), where their angles begin, and the line."""
    spread = standard.std.toArray()
    factor = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    directions = factor[:, None] * projection.pc.toArray()
    parts = {
        "directions": directions.tolist(),
        "begin": (-standard.mean.toArray() @ directions).tolist(),
        "coefficients": model.coefficients.toArray().tolist(),
        "intercept": float(model.intercept),
        "spread": spread.tolist(),
    }
    return json.dumps(parts)


class _Machine:
    """The machine as arrays."""

    def __init__(self, scorer: Scorer) -> None:
        parts = json.loads(scorer.payload)
        self.directions, self.begin = np.array(parts["directions"]), np.array(parts["begin"])
        self.cosines, self.sines = np.split(np.array(parts["coefficients"]), 2)
        self.intercept, self.spread = float(parts["intercept"]), np.array(parts["spread"])
        self.scale = scaler(scorer.units)

    def angles(self, matrix: Matrix) -> Matrix:
        return np.asarray(self.scale(matrix) @ self.directions + self.begin, dtype=np.float64)

    def margin(self, matrix: Matrix) -> Matrix:
        angles = self.angles(matrix)
        return np.asarray(np.cos(angles) @ self.cosines + np.sin(angles) @ self.sines + self.intercept, dtype=np.float64)

    def slopes(self, matrix: Matrix) -> Matrix:
        """The margin's derivative by each standardised input, row by row."""
        angles = self.angles(matrix)
        along = np.cos(angles) * self.sines - np.sin(angles) * self.cosines
        return np.asarray((along @ self.directions.T) * self.spread, dtype=np.float64)


def predictor(scorer: Scorer) -> Predict:
    """The sigmoid of the margin, from a matrix of raw inputs."""
    machine = _Machine(scorer)
    return lambda matrix: sigmoid(machine.margin(matrix))


def _importance(rows: DataFrame, scorer: Scorer, features: Sequence[Feature]) -> dict[str, float]:
    found = rows.select(*scorer.inputs).mapInArrow(_sums_of_slopes(scorer), "place INT, slope DOUBLE")
    sums = {row[0]: float(row[1]) for row in found.groupBy("place").agg(F.sum("slope")).collect()}
    return shares([sums.get(place, 0.0) for place in range(len(features))], features)


def _sums_of_slopes(scorer: Scorer) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        machine = _Machine(scorer)
        for batch in batches:
            slopes = np.abs(machine.slopes(matrix_of(batch, scorer.inputs))).sum(axis=0)
            made = [pa.array(np.arange(len(slopes), dtype=np.int32)), pa.array(slopes)]
            yield pa.RecordBatch.from_arrays(made, names=["place", "slope"])

    return run
