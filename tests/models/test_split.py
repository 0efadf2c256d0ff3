"""Models of their own per level: kept where they pay, all rows pooled where they do not, and each row finds its own."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from propensity_spark.config import ModelsConfig, SplitConfig
from propensity_spark.errors import NothingLearnt, TrainingFailed
from propensity_spark.features.spec import Feature
from propensity_spark.models import fast
from propensity_spark.models.contract import Fitted
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.split import Verdict

pytestmark = pytest.mark.fit
FEATURES = tuple(Feature(name=name, expression=name, description=name, unit="score") for name in ("x0", "x1"))
SETTINGS = SplitConfig(family="logistic", min_positives=100)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """In toys and books x0 tells who buys, in food x1; rare has few rows; of some rows the category is unknown."""
    draw = np.random.default_rng(8)
    made = []
    for name, count, weights in (
        ("toys", 900, (2, 0)),
        ("books", 900, (2, 0)),
        ("food", 900, (1, 3)),
        ("rare", 60, (0, 2)),
        (None, 300, (2, 0)),
    ):
        x = draw.standard_normal((count, 2))
        bought = draw.random(count) < 1 / (1 + np.exp(-(x @ np.array(weights) - 1)))
        made += [
            (f"u{len(made) + n}", name, float(a), float(b), int(y)) for n, ((a, b), y) in enumerate(zip(x, bought, strict=True))
        ]
    frame = spark.createDataFrame(made, "user_id STRING, category STRING, x0 FLOAT, x1 FLOAT, label INT")
    return frame.repartition(2, "user_id").sortWithinPartitions("user_id").persist()


def _fit(rows: DataFrame, **changed: object):
    return FAMILIES["split"](rows, FEATURES, ModelsConfig(split=replace(SETTINGS, **changed)), 1)


def test_a_level_has_a_model_of_its_own_where_that_pays(rows: DataFrame) -> None:
    fitted = _fit(rows)
    assert fitted.facts["levels_tried"] == 3, "rare has too few, and no category is no level"
    assert "food" in fitted.note.split("; pooled")[0]
    pooled = FAMILIES["logistic"](rows, FEATURES, ModelsConfig(), 1)
    told = fast.score(rows, [fitted.scorer, pooled.scorer], ["category", "label"]).toPandas()
    food, unknown = told[told["category"] == "food"], told[told["category"].isna() | (told["category"] == "rare")]
    own, all_ = (roc_auc_score(food["label"], food[column]) for column in (fitted.scorer.column, pooled.scorer.column))
    assert own > all_ + 0.02
    np.testing.assert_allclose(unknown[fitted.scorer.column], unknown[pooled.scorer.column], atol=1e-6)


def test_a_level_whose_model_contradicts_the_pooled_one_stays_pooled(rows: DataFrame) -> None:
    strict = _fit(rows, min_agreement=1.0)
    assert strict.facts["levels"] == 0
    assert "food (contradicts)" in strict.note


def test_rows_that_balancing_made_or_repeated_do_not_make_a_level_large(rows: DataFrame) -> None:
    bought = rows.where("label = 1 AND category = 'rare'").withColumn("weight", F.lit(0.0))
    more = rows.withColumn("weight", F.lit(1.0))
    for _ in range(10):
        more = more.unionByName(bought)
    assert _fit(more).facts["levels_tried"] == 3


@pytest.mark.parametrize("family", ["lightgbm", "xgboost"])
def test_the_fits_that_decide_are_stopped_as_the_last_ones_are(
    rows: DataFrame, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hold users out; were they the same, none would be left to stop the fit."""
    base, curves = FAMILIES[family], []

    def told(*asked: object) -> Fitted:
        fitted = base.fit(*asked)
        curves.append(fitted.curves)
        return fitted

    monkeypatch.setitem(FAMILIES, family, replace(base, fit=told))
    small = {"lightgbm": {"min_data_in_leaf": 10, "leaves": 7}, "xgboost": {"min_child_weight": 1}}[family]
    settings = {family: replace(getattr(ModelsConfig(), family), rounds=20, early_stopping_rounds=3, **small)}
    FAMILIES["split"](rows, FEATURES, ModelsConfig(split=replace(SETTINGS, family=family), **settings), 1)
    assert len(curves) > 4
    assert all(each["validation"] for each in curves)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict(0.1, 0.5), ""),
        (Verdict(0.1, 0.49), "contradicts"),
        (Verdict(0.0, 0.9), "no gain"),
        (Verdict(0.1, None), "tells nothing apart"),
        (Verdict(None, None), "too few rows"),
    ],
)
def test_a_refusal_says_why(verdict: Verdict, said: str) -> None:
    assert verdict.refusal(0.5) == said


@pytest.mark.parametrize(("told", "kept"), [(("books", "toys"), 2.0), ((), 0.0)])
def test_a_level_that_cannot_be_fitted_stays_pooled(
    rows: DataFrame, monkeypatch: pytest.MonkeyPatch, told: tuple[str, ...], kept: float
) -> None:
    base = FAMILIES[SETTINGS.family]

    def fit(some: DataFrame, *asked: object) -> Fitted:
        levels = {row["category"] for row in some.select("category").distinct().collect()}
        if len(levels) == 1 and not levels.intersection(told):
            raise NothingLearnt("found nothing to split on")
        return base.fit(some, *asked)

    monkeypatch.setitem(FAMILIES, SETTINGS.family, replace(base, fit=fit))
    fitted = _fit(rows)
    assert fitted.facts == {"levels": kept, "levels_tried": 3.0}
    assert "food (too few rows)" in fitted.note


@pytest.mark.parametrize("family", ["svm", "kernel_svm"])
def test_a_level_that_is_bought_whenever_it_is_offered_stays_pooled(rows: DataFrame, family: str) -> None:
    some = rows.where("category <> 'books' OR label = 1").where("category IN ('toys', 'books')")
    fitted = _fit(some, family=family, min_agreement=0.0)
    assert fitted.facts["levels_tried"] == 2.0
    assert "books (too few rows)" in fitted.note


def test_where_no_level_has_the_rows_all_are_pooled(rows: DataFrame) -> None:
    fitted = _fit(rows, min_positives=10_000)
    assert fitted.note == "all pooled: no category has 10000 bought rows"
    assert fitted.facts == {"levels": 0.0, "levels_tried": 0.0}


def test_a_column_that_the_rows_lack_is_named(rows: DataFrame) -> None:
    with pytest.raises(TrainingFailed, match=r"models\.split\.column is region, and the rows have no such column: user_id"):
        _fit(rows, column="region")


def test_the_pipeline_scores_as_batches_do(rows: DataFrame, table: Callable[..., DataFrame]) -> None:
    fitted = _fit(rows)
    asked = table(
        "category STRING, x0 FLOAT, x1 FLOAT", ("food", 0.5, 1.0), ("toys", 0.5, 1.0), ("unheard of", 0.5, 1.0), (None, None, 1.0)
    )
    batch = fast.score(asked, [fitted.scorer], ["category"]).toPandas()[fitted.scorer.column]
    whole = fitted.transform(asked).toPandas()[fitted.scorer.column]
    np.testing.assert_allclose(batch, whole, atol=1e-9)
    assert batch.iloc[0] != batch.iloc[1]
