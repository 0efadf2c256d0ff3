"""What every model family is: fit on rows of numeric feature columns, score rows, say what mattered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from propensity_spark.config import ModelsConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models.fast import Scorer
from propensity_spark.models.keys import Key
from propensity_spark.models.vectors import add_probability
from propensity_spark.trainset import sampling

LABEL = "label"
LEARN_WEIGHT = sampling.LEARN_WEIGHT


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, still uncalibrated.

    `pipeline` is the Spark ML model (for the registry), `scorer` the same model for batches (for score tables).
    `importance` gives each feature's share of what the model uses, summing to 1; `facts` are numbers worth logging, `note` a
    line worth telling. `curves` are losses by name, a number per round or epoch.
    """

    family: str
    pipeline: PipelineModel
    scorer: Scorer
    importance: dict[str, float]
    facts: dict[str, float]
    note: str = ""
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def transform(self, rows: DataFrame) -> DataFrame:
        """The same rows plus the scorer's column, computed by the Spark pipeline."""
        return add_probability(rows, self.pipeline, vector_column(self.family, "probability"), self.scorer.column)


def learn_weight(rows: DataFrame) -> tuple[str, ...]:
    """The column that says how much each row counts in a fit; none where all count alike."""
    return (LEARN_WEIGHT,) if LEARN_WEIGHT in rows.columns else ()


def vector_column(family: str, part: str) -> str:
    """The name of a column inside a family's pipeline, apart from all other families'."""
    return f"_{family}_{part}"


def make_scorer(family: str, features: Sequence[Feature], payload: str, keys: tuple[Key, ...] = ()) -> Scorer:
    """A scorer of the family for these inputs and keys."""
    return Scorer(family, tuple(f.name for f in features), tuple(f.unit for f in features), payload, keys=keys)


def shares(weights: Sequence[float], features: Sequence[Feature], keys: Sequence[Key] = ()) -> dict[str, float]:
    """Each feature's, and after them each key column's, share of the weights."""
    names = [*(feature.name for feature in features), *(key.column for key in keys)]
    total = sum(weights) or 1.0
    return {name: float(weight / total) for name, weight in zip(names, weights, strict=True)}


class Builder(Protocol):
    """How a family is fitted.

    Takes   rows with label INT (0, 1) and the features' columns, in any order; missing values are null. Where there is a
            learn_weight DOUBLE > 0, each row counts that much (see `learn_weight`).
    Raises  TrainingFailed where no usable model comes out.
    """

    def __call__(self, rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
        """Fit the family on the rows."""
        ...
