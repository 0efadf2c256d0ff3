"""The focal loss by its definition: its derivatives, its minimiser, and the way back from its scores to probabilities."""

from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.optimize import minimize_scalar

from propensity_spark.config import LightGBMConfig, ModelsConfig
from propensity_spark.errors import TrainingFailed
from propensity_spark.features.spec import Feature
from propensity_spark.judge import calibrate
from propensity_spark.judge.task import Task
from propensity_spark.models import fast, focal
from propensity_spark.models.contract import LEARN_WEIGHT, Fitted
from propensity_spark.models.trees import fit_lightgbm

GAMMAS = (0.0, 0.3, 1.0, 2.0, 5.0)
Z = np.linspace(-40, 40, 1601)


def _loss(z: float, bought: float, gamma: float, alpha: float = 0.5) -> float:
    """The expected loss of the score sigmoid(z) where that share is bought, as it is written."""
    q, off = np.exp(-np.logaddexp(0, -z)), np.exp(-np.logaddexp(0, z))
    return float(-bought * alpha * off**gamma * np.log(q) - (1 - bought) * (1 - alpha) * q**gamma * np.log(off))


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("alpha", [0.5, 0.25, 0.9])
def test_the_link_finds_the_probability_whose_expected_loss_is_least(gamma: float, alpha: float) -> None:
    for p in (1e-3, 0.02, 0.3, 0.5, 0.9, 0.999):
        least = minimize_scalar(
            lambda z, p=p: _loss(z, p, gamma, alpha), bounds=(-15, 15), method="bounded", options={"xatol": 1e-9}
        )
        found = focal.logit_of(np.array(least.x), gamma, alpha)
        assert float(found) == pytest.approx(np.log(p / (1 - p)), abs=1e-4)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_link_rises_everywhere_and_turns_round(gamma: float, spark: SparkSession) -> None:
    made = focal.logit_of(Z, gamma)
    assert np.isfinite(made).all()
    assert (np.diff(made) > 0).all()
    np.testing.assert_allclose(made, -made[::-1], atol=1e-9)
    for logit in (-9.0, -0.5, 0.0, 3.0):
        assert float(focal.logit_of(np.array(focal.z_of(logit, gamma)), gamma)) == pytest.approx(logit, abs=1e-9)
    frame = spark.createDataFrame([(float(z),) for z in Z[::20]], "z DOUBLE")
    column = [row[0] for row in frame.select(focal.logit_column(F.col("z"), gamma)).collect()]
    np.testing.assert_allclose(column, made[::20], rtol=1e-9, atol=1e-9)


def test_without_gamma_it_is_the_log_loss() -> None:
    np.testing.assert_array_equal(focal.logit_of(Z, 0.0), Z)
    first, second = focal.gradient(Z, np.ones_like(Z), 0.0)
    q = 1 / (1 + np.exp(-Z))
    np.testing.assert_allclose(first, -np.exp(-np.logaddexp(0, Z)), atol=1e-12)
    np.testing.assert_allclose(second, q * np.exp(-np.logaddexp(0, Z)), atol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_derivatives_are_those_of_finite_differences(gamma: float, label: float) -> None:
    z, step = np.linspace(-8, 8, 65), 1e-4
    below, at, above = (np.array([2 * _loss(x, label, gamma) for x in z + d]) for d in (-step, 0.0, step))
    first, second = focal.gradient(z, np.full_like(z, label), gamma)
    np.testing.assert_allclose(first, (above - below) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(second, (above - 2 * at + below) / step**2, atol=1e-5)


class _Data:
    def __init__(self, label: np.ndarray, weight: np.ndarray | None) -> None:
        self.get_label, self.get_weight = (lambda: label), (lambda: weight)


def test_the_objective_counts_weights_and_never_bends_down() -> None:
    z, label = np.array([-8.0, -1.0, 0.5, 7.0]), np.array([1.0, 1.0, 0.0, 0.0])
    plain = focal.objective(2.0)(z, _Data(label, None))
    assert (focal.gradient(z, label, 2.0)[1] < 0).any(), "the loss itself does"
    assert (plain[1] > 0).all()
    weight = np.array([1.0, 2.0, 3.0, 0.5])
    for one, other in zip(plain, focal.objective(2.0)(z, _Data(label, weight)), strict=True):
        np.testing.assert_allclose(other, one * weight)


FEATURES = tuple(Feature(name=name, expression=name, description=name) for name in ("x0", "x1"))
SMALL = ModelsConfig(
    lightgbm=LightGBMConfig(rounds=30, leaves=7, min_data_in_leaf=20, learning_rate=0.2, l2=0.0, focal_gamma=2.0, random_share=0.0)
)


@pytest.fixture(scope="module")
def pairs(spark: SparkSession) -> DataFrame:
    draw = np.random.default_rng(4)
    x = draw.normal(size=(8000, 2))
    truth = 1 / (1 + np.exp(2.5 - 1.5 * x[:, 0] + x[:, 1]))
    bought = draw.random(8000) < truth
    rows = [
        (f"u{n}", float(a), float(b), int(y), 1.0, float(t)) for n, ((a, b), y, t) in enumerate(zip(x, bought, truth, strict=True))
    ]
    ddl = "user_id STRING, x0 FLOAT, x1 FLOAT, label INT, weight DOUBLE, truth DOUBLE"
    return spark.createDataFrame(rows, ddl).coalesce(1).persist()


def _errors(pairs: DataFrame, scorer: fast.Scorer, gamma: float, odds: float = 1.0) -> tuple[float, float]:
    """How far predicted is from bought, and each probability from the truth, on average: without a fitted calibration."""
    scored = fast.score(pairs, [scorer], ["user_id", "label", "weight", "truth"])
    task = Task(score=scorer.column, method="none", focal_gamma=gamma, odds=odds)
    p = calibrate.fit_all(scored, {"it": task})["it"].apply(F.col(scorer.column))
    level, off = scored.agg(F.avg(p) / F.avg("label"), F.avg(F.abs(p - F.col("truth")))).collect()[0]
    return float(level), float(off)


@pytest.fixture(scope="module")
def fitted(pairs: DataFrame) -> Fitted:
    return fit_lightgbm(pairs, FEATURES, SMALL, 1)


@pytest.mark.fit
def test_a_focal_model_gives_probabilities_through_the_link_and_not_without_it(pairs: DataFrame, fitted: Fitted) -> None:
    level, off = _errors(pairs, fitted.scorer, 2.0)
    assert level == pytest.approx(1, abs=0.03)
    assert off < 0.03
    assert _errors(pairs, fitted.scorer, 0.0)[0] > 1.2


@pytest.mark.fit
def test_weights_and_the_focal_loss_are_undone_together(pairs: DataFrame) -> None:
    heavy = pairs.withColumn(LEARN_WEIGHT, F.when(F.col("label") == 1, 5.0).otherwise(1.0))
    level, off = _errors(pairs, fit_lightgbm(heavy, FEATURES, SMALL, 1).scorer, 2.0, odds=5.0)
    assert level == pytest.approx(1, abs=0.05)
    assert off < 0.035


@pytest.mark.fit
def test_batches_and_the_pipeline_give_one_score(pairs: DataFrame, fitted: Fitted) -> None:
    column = fitted.scorer.column
    batch = fast.score(pairs, [fitted.scorer], ["user_id"]).toPandas().sort_values("user_id")[column]
    pipeline = fitted.transform(pairs).select("user_id", column).toPandas().sort_values("user_id")[column]
    np.testing.assert_allclose(batch, pipeline, atol=1e-9)
    assert batch.between(0, 1, inclusive="neither").all()


def test_it_starts_where_the_loss_of_all_rows_together_is_least(pairs: DataFrame) -> None:
    slow = replace(SMALL, lightgbm=replace(SMALL.lightgbm, rounds=1, learning_rate=1e-5))
    fitted = fit_lightgbm(pairs, FEATURES, slow, 1)
    score = fast.score(pairs, [fitted.scorer], ["label"]).toPandas()
    bought = float(score["label"].mean())
    least = minimize_scalar(lambda z: _loss(z, bought, 2.0), bounds=(-15, 15), method="bounded").x
    assert score[fitted.scorer.column].to_numpy() == pytest.approx(1 / (1 + np.exp(-least)), abs=1e-4)


def test_more_rows_than_one_machine_carries_are_refused(pairs: DataFrame) -> None:
    large = replace(SMALL, lightgbm=replace(SMALL.lightgbm, rows_on_one_task=100))
    with pytest.raises(TrainingFailed, match=r"models\.lightgbm\.focal_gamma is for the native engine, and 8000 rows"):
        fit_lightgbm(pairs, FEATURES, large, 1)
