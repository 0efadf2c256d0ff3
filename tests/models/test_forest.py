"""Spark ML's trees as flat arrays: the same leaves, rare labels, missing values; and XGBoost's refusals."""

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import roc_auc_score

from propensity_spark.config import ForestConfig, ModelsConfig, XGBoostConfig
from propensity_spark.errors import SetupError, TrainingFailed
from propensity_spark.features.spec import Feature
from propensity_spark.models import fast, flat, packages
from propensity_spark.models.families import FAMILIES

fit = pytest.mark.fit
TEXT = """GBTClassificationModel: uid = g, numTrees=2, numClasses=2, numFeatures=3
  Tree 0 (weight 1.0):
    If (feature 2 <= 0.5)
     If (feature 0 <= -1.0E-3)
      Predict: -1.5
     Else (feature 0 > -1.0E-3)
      Predict: 2.0
    Else (feature 2 > 0.5)
     Predict: 4.0
  Tree 1 (weight 0.1):
    Predict: 10.0
"""


def test_a_row_goes_left_up_to_the_threshold_and_right_beyond() -> None:
    walk = flat.Walk(flat.Trees.from_json(flat.from_text(TEXT, [1.0, 0.1]).to_json()))
    rows = np.array([[-0.001, 9, 0.5], [-0.0009, 9, 0.5], [-0.001, 9, 0.51]])
    np.testing.assert_allclose(walk(rows), [-1.5 + 1, 2.0 + 1, 4.0 + 1])
    many = np.tile(rows, (3000, 1))
    np.testing.assert_allclose(walk(many), np.tile(walk(rows), 3000))
    assert walk(rows[:0]).shape == (0,)


def test_flat_trees_know_how_deep_they_are() -> None:
    trees = flat.from_text(TEXT, [1.0, 0.1])
    assert (trees.depth, trees.roots, len(trees.value)) == (2, [0, 5], 6)


def _feature(name: str, unit: str) -> Feature:
    return Feature(name=name, expression=name, description=name, unit=unit)


@pytest.fixture(scope="module")
def rare(spark: SparkSession) -> DataFrame:
    """One in fifty bought, of the upper half of `x` only; `gone` is missing there, `ago` (in days) too."""
    draw = np.random.default_rng(2)
    x, luck = draw.uniform(0, 1, 3000), draw.uniform(0, 1, 3000)
    rows = [
        (i, float(a), None if a > 0.5 else 0.0, None if a > 0.5 else 900.0, int(a > 0.5 > 12.5 * b))
        for i, (a, b) in enumerate(zip(x, luck, strict=True))
    ]
    return spark.createDataFrame(rows, "id INT, x FLOAT, gone FLOAT, ago FLOAT, label INT").coalesce(1).persist()


@fit
@pytest.mark.parametrize(
    "column", [_feature("x", "count"), _feature("gone", "count"), _feature("ago", "days")], ids=lambda f: f.name
)
def test_a_forest_tells_rare_rows_apart_though_no_leaf_has_a_majority_of_them(rare: DataFrame, column: Feature) -> None:
    fitted = FAMILIES["forest"](rare, (column,), ModelsConfig(forest=ForestConfig(trees=5, depth=3)), 1)
    found = fast.score(rare, [fitted.scorer], ["label"]).toPandas()
    rate = found["label"].mean()
    assert rate < 0.05
    assert roc_auc_score(found["label"], found["raw_forest"]) > 0.7
    assert found["raw_forest"].mean() == pytest.approx(rate, rel=0.1), "its scores are rates"
    assert found["raw_forest"].max() < 0.2


@fit
def test_xgboost_without_its_package_says_how_to_get_it(rare: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"pip install 'propensity_spark\[xgboost\]'"):
        FAMILIES["xgboost"](rare, (_feature("x", "count"),), ModelsConfig(), 1)


@fit
def test_more_workers_than_slots_are_refused_and_never_waited_for(rare: DataFrame) -> None:
    with pytest.raises(TrainingFailed, match=r"xgboost\.workers is 99, but only 2 task"):
        FAMILIES["xgboost"](rare, (_feature("x", "count"),), ModelsConfig(xgboost=XGBoostConfig(workers=99)), 1)


@fit
def test_xgboost_with_nothing_to_split_on_says_so(rare: DataFrame) -> None:
    few = ModelsConfig(xgboost=XGBoostConfig(rounds=2, min_child_weight=10_000))
    with pytest.raises(TrainingFailed, match="nothing to split on"):
        FAMILIES["xgboost"](rare, (_feature("x", "count"),), few, 1)
