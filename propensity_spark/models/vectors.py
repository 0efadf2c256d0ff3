"""From feature columns to the vector that a learner takes, and from its probability vector to a number."""

from collections.abc import Sequence

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.features.spec import Feature
from propensity_spark.models.fast import Matrix, Predict

DAYS_SCALE = 7.0  # a week ago weighs half of just now
RATE_FLOOR = 0.001  # below this, one rate is as good as none
FAR = 1e12  # beyond every value of a feature


def with_missing(features: Sequence[Feature], output: str) -> list[Transformer]:
    """For learners that split on missing values themselves: the raw numbers, NaN where there is none."""
    names = [feature.name for feature in features]
    return [VectorAssembler(inputCols=names, outputCol=output, handleInvalid="keep")]


def scaled(features: Sequence[Feature], output: str) -> list[Transformer]:
    """For linear learners: days as closeness in (0, 1] with 0 for never, rates as logarithms, the rest as signed log(1 + x)."""
    columns = ", ".join(f"{_scale(feature)} AS {_scaled_name(feature)}" for feature in features)
    names = [_scaled_name(feature) for feature in features]
    return [
        SQLTransformer(statement=f"SELECT *, {columns} FROM __THIS__"),
        VectorAssembler(inputCols=names, outputCol=output),
    ]


def _scaled_name(feature: Feature) -> str:
    return f"_scaled_{feature.name}"


def _scale(feature: Feature) -> str:
    name = feature.name
    if feature.unit == "days":
        since = f"IF({name} < 0.0D, 0.0D, {name})"  # greatest() would take a null, which is never, for just now
        return f"coalesce(1.0D / (1.0D + {since} / {DAYS_SCALE}D), 0.0D)"
    if feature.unit == "rate":
        return f"ln({RATE_FLOOR}D + greatest(coalesce({name}, 0.0D), 0.0D))"
    return f"coalesce(CAST(signum({name}) * ln(1.0D + abs({name})) AS DOUBLE), 0.0D)"


def scaler(units: Sequence[str]) -> Predict:
    """What `scaled` does in SQL, to a matrix whose columns have these units, NaN where a value is missing."""
    is_days, is_rate = (np.array([unit == wanted for unit in units], dtype=bool) for wanted in ("days", "rate"))
    is_other = ~(is_days | is_rate)

    def scale(matrix: Matrix) -> Matrix:
        inputs = np.empty_like(matrix)
        inputs[:, is_days] = 1.0 / (1.0 + np.maximum(matrix[:, is_days], 0.0) / DAYS_SCALE)
        inputs[:, is_rate] = np.log(RATE_FLOOR + np.maximum(np.nan_to_num(matrix[:, is_rate], nan=0.0), 0.0))
        inputs[:, is_other] = np.sign(matrix[:, is_other]) * np.log1p(np.abs(matrix[:, is_other]))
        return np.nan_to_num(inputs, nan=0.0)

    return scale


def filled(features: Sequence[Feature], output: str) -> list[Transformer]:
    """For trees that take no missing values: the raw numbers, a missing one beyond all others (see `_beyond`)."""
    columns = ", ".join(
        f"coalesce(nanvl(CAST({f.name} AS DOUBLE), NULL), {_beyond(f.unit)}D) AS _filled_{f.name}" for f in features
    )
    names = [f"_filled_{feature.name}" for feature in features]
    return [
        SQLTransformer(statement=f"SELECT *, {columns} FROM __THIS__"),
        VectorAssembler(inputCols=names, outputCol=output),
    ]


def filler(units: Sequence[str]) -> Predict:
    """What `filled` does in SQL, to a matrix whose columns have these units."""
    beyond = np.array([_beyond(unit) for unit in units])
    return lambda matrix: np.where(np.isnan(matrix), beyond, matrix)


def _beyond(unit: str) -> float:
    """Days since what never happened are more than any; everything else that is missing is less than any value."""
    return FAR if unit == "days" else -FAR


def add_probability(rows: DataFrame, pipeline: PipelineModel, vector: str, output: str) -> DataFrame:
    """The rows plus `output`, the pipeline's probability of label 1; its own columns are left out."""
    probability = F.element_at(vector_to_array(F.col(vector)), 2)
    return pipeline.transform(rows).select(*rows.columns, probability.alias(output))
