"""A scorer as a stage of a Spark pipeline, for families that Spark ML knows no model of.

A process that loads it needs this package, and no SynapseML: see the README.
"""

from collections.abc import Callable
from typing import Iterator  # noqa: UP035  (Spark reads this one from a function's annotations)

import numpy as np
import pandas as pd
from pyspark.ml import Transformer
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from propensity_spark.models.fast import Scorer


class Scoring(Transformer, HasOutputCol, DefaultParamsReadable["Scoring"], DefaultParamsWritable):
    """The rows plus a vector of the probabilities of label 0 and of label 1."""

    scorer: Param[str] = Param(Params._dummy(), "scorer", "the scorer as text", typeConverter=TypeConverters.toString)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        scorer = Scorer.from_json(self.getOrDefault(self.scorer))
        numbers = [F.col(name).cast("double").alias(name) for name in scorer.inputs]
        matrix = F.struct(*numbers, *(key.bucket() for key in scorer.keys))
        return dataset.withColumn(self.getOutputCol(), array_to_vector(_both(scorer)(matrix)))


def stage(scorer: Scorer, output: str) -> Scoring:
    """The scorer as a stage that writes the column `output`."""
    made = Scoring()
    made._set(scorer=scorer.to_json(), outputCol=output)
    return made


def _both(scorer: Scorer) -> Callable[[Column], Column]:
    def run(batches: Iterator[pd.DataFrame]) -> Iterator[pd.Series]:
        from propensity_spark.models.families import FAMILIES  # they import this module

        predict = FAMILIES[scorer.family].predictor(scorer)
        for batch in batches:
            bought = predict(batch.to_numpy(dtype=np.float64))
            yield pd.Series(list(np.column_stack([1.0 - bought, bought])))

    return pandas_udf(run, "array<double>")  # type: ignore[call-overload, no-any-return]
