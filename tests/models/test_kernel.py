"""Machines with a margin: a curved one by random waves, and the weight of few bought rows."""

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel

from propensity_spark.config import KernelSVMConfig, ModelsConfig, SVMConfig
from propensity_spark.errors import TrainingFailed
from propensity_spark.features.spec import Feature
from propensity_spark.models import fast, kernel
from propensity_spark.models.families import FAMILIES

pytestmark = pytest.mark.fit
FEATURES = tuple(Feature(name=name, expression=name, description=name, unit="count") for name in ("x0", "x1"))


@pytest.fixture(scope="module")
def squares(spark: SparkSession) -> DataFrame:
    """Bought where both inputs are on the same side of the middle: nothing that a line could tell."""
    draw = np.random.default_rng(5).uniform(-3, 3, (600, 2))
    rows = [(i, float(a), float(b), int(a * b > 0)) for i, (a, b) in enumerate(draw)]
    return spark.createDataFrame(rows, "id INT, x0 FLOAT, x1 FLOAT, label INT").coalesce(1).persist()


def test_a_kernel_finds_what_no_line_does(squares: DataFrame) -> None:
    config = ModelsConfig(
        svm=SVMConfig(max_iterations=10), kernel_svm=KernelSVMConfig(components=128, gamma=1.0, max_iterations=20)
    )
    scorers = [FAMILIES[family](squares, FEATURES, config, 1).scorer for family in ("svm", "kernel_svm")]
    found = fast.score(squares, scorers, ["label"]).toPandas()
    assert roc_auc_score(found["label"], found["raw_svm"]) < 0.65
    assert roc_auc_score(found["label"], found["raw_kernel_svm"]) > 0.97


def test_waves_of_random_directions_stand_for_the_gaussian_kernel(spark: SparkSession) -> None:
    inputs = np.random.default_rng(0).normal(size=(30, 3))
    directions = kernel._projection(3, 5000, 0.4, seed=1).pc.toArray()
    waves = np.hstack([np.cos(inputs @ directions), np.sin(inputs @ directions)]) / np.sqrt(5000)
    np.testing.assert_allclose(waves @ waves.T, rbf_kernel(inputs, gamma=0.4), atol=0.06)


def test_by_default_gamma_is_one_over_the_inputs_that_vary(squares: DataFrame) -> None:
    three = (*FEATURES, Feature(name="same", expression="same", description="same", unit="count"))
    config = ModelsConfig(kernel_svm=KernelSVMConfig(components=8, max_iterations=2))
    fitted = FAMILIES["kernel_svm"](squares.withColumn("same", F.lit(4.0)), three, config, 1)
    assert fitted.facts["gamma"] == 0.5
    assert fitted.importance["same"] == 0


def test_few_bought_rows_weigh_as_much_as_all_others_unless_told_otherwise(squares: DataFrame) -> None:
    few = squares.withColumn("label", (F.col("id") % 20 == 0).cast("int"))

    def level(weight: float) -> float:
        settings = ModelsConfig(svm=SVMConfig(positive_weight=weight))
        scorer = FAMILIES["svm"](few, FEATURES, settings, 1).scorer
        return float(fast.score(few, [scorer], ["id"]).agg(F.avg(scorer.column)).collect()[0][0])

    assert level(1) < 0.3  # the margin of a row that is not bought: sigmoid(-1)
    assert level(40) > 0.7
    assert 0.3 < level(0) < 0.7


def test_rows_of_one_kind_cannot_be_told_apart(squares: DataFrame) -> None:
    with pytest.raises(TrainingFailed, match="only one kind"):
        FAMILIES["svm"](squares.where("label = 0"), FEATURES, ModelsConfig(), 1)
