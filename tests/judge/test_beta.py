"""Beta calibration is a logistic regression on both logarithms of the score, and never falls; platt is one on its logit."""

import numpy as np
import pytest
from pyspark.sql import SparkSession
from sklearn.linear_model import LogisticRegression

from propensity_spark.judge import beta, calibrate, newton, platt
from propensity_spark.judge.calibrator import PROBABILITY, Calibrator
from propensity_spark.judge.isotonic import Vector
from propensity_spark.judge.task import Task


def _sigmoid(x: Vector) -> Vector:
    return np.asarray(1 / (1 + np.exp(-x)))


def _grouped(c: float, a: float, b: float, seed: int) -> tuple[Vector, Vector, Vector]:
    """Points of the axis with drawn weights, and purchases drawn from the beta curve."""
    draw = np.random.default_rng(seed)
    x = draw.normal(-1.0, 1.8, 300)
    weight = draw.integers(2000, 20_000, 300)  # so many that what a bend costs is nothing beside what they say
    positives = draw.binomial(weight, _sigmoid(beta.margin(x, c, a, b)))
    return x, weight.astype(float), positives.astype(float)


def _regression(columns: Vector, weight: Vector, positives: Vector) -> tuple[float, ...]:
    """scikit-learn's, without a penalty to speak of: each point once as bought and once as not."""
    twice, label = np.vstack([columns, columns]), np.repeat([1, 0], len(columns))
    made = LogisticRegression(C=1e8, tol=1e-10, max_iter=5000)
    made.fit(twice, label, sample_weight=np.concatenate([positives, weight - positives]))
    return (float(made.intercept_[0]), *map(float, made.coef_[0]))


@pytest.mark.parametrize(("c", "a", "b"), [(0.3, 0.6, 1.4), (-0.5, 1.5, 0.2), (0.0, 1.0, 1.0)])
def test_both_fits_are_those_of_a_logistic_regression(c: float, a: float, b: float) -> None:
    x, weight, positives = _grouped(c, a, b, seed=3)
    s = _sigmoid(x)
    assert beta.fit(x, weight, positives) == pytest.approx(
        _regression(np.column_stack([np.log(s), -np.log(1 - s)]), weight, positives), abs=2e-3
    )
    assert platt.fit(x, weight, positives) == pytest.approx(_regression(x[:, None], weight, positives), abs=2e-3)


@pytest.mark.parametrize(("middle", "pairs"), [(-11.0, 4_000_000), (-9.0, 1_000_000), (-7.0, 200_000), (-5.0, 50_000)])
def test_where_purchases_are_rare_the_best_pairs_are_not_called_sure(middle: float, pairs: int) -> None:
    """Scores that are right as they are: no curve may say otherwise of a score beyond those that it was fitted on."""
    for seed in range(6):
        draw = np.random.default_rng(seed)
        score = draw.normal(middle, 1.5, pairs)
        bought = draw.random(pairs) < _sigmoid(score)
        place = np.unique(np.floor(score / 0.01), return_inverse=True)[1]
        weight, positives = np.bincount(place).astype(float), np.bincount(place, bought).astype(float)
        x = np.bincount(place, score) / weight
        made = beta.fit(x, weight, positives)
        beyond = x.max() + np.arange(3)
        assert np.abs(np.log(_sigmoid(beta.margin(beyond, *made)) / _sigmoid(beyond))).max() < 0.7


def test_what_a_bend_costs_goes_by_the_slope_of_the_scores() -> None:
    """That of a margin may be any: a curve through its scores is as free as one through probabilities."""
    draw = np.random.default_rng(1)
    x = draw.normal(-1.2, 0.5, 40_000)
    weight = np.full_like(x, 50.0)
    positives = draw.binomial(50, _sigmoid(beta.margin(x, -1.0, 6.0, 1.0))).astype(float)
    _, a, b = beta.fit(x, weight, positives)
    assert a - b > 3.0, "with a spread of its own size whatever the slope it would be half of it"


def test_a_slope_that_would_fall_is_none_and_the_rest_is_the_best_without_it() -> None:
    x, weight, positives = _grouped(0.0, 1.0, -1.5, seed=4)  # the more a high score says, the less is bought
    c, a, b = beta.fit(x, weight, positives)
    s = _sigmoid(x)
    free = _regression(np.column_stack([np.log(s), -np.log(1 - s)]), weight, positives)
    assert min(free[1:]) < 0, "else the test tests nothing"
    assert b == 0
    assert (c, a) == pytest.approx(_regression(np.log(s)[:, None], weight, positives), abs=2e-3)
    assert (np.diff(beta.margin(np.linspace(-12, 12, 99), c, a, b)) >= 0).all()
    best = newton.loss(beta.margin(x, c, a, b), weight, positives)
    for other in ((c, 0.0, 0.0), (c + 0.1, a, 0.0), (c, a, 0.1), (c, a + 0.1, 0.0)):
        assert best < newton.loss(beta.margin(x, *other), weight, positives)


def test_scores_that_tell_the_contrary_are_made_level() -> None:
    x = np.linspace(-3, 1, 50)
    weight, positives = np.full(50, 100.0), np.linspace(60, 5, 50).round()
    c, a, b = beta.fit(x, weight, positives)
    assert (a, b) == (0, 0)
    assert _sigmoid(np.array(c)) == pytest.approx(positives.sum() / weight.sum())
    intercept, slope = platt.fit(x, weight, positives)
    assert 0 < slope < 1e-5
    assert _sigmoid(np.array(intercept)) == pytest.approx(positives.sum() / weight.sum(), rel=1e-4)


def test_the_prior_and_the_focal_link_come_first(spark: SparkSession) -> None:
    """The score is that of the moved axis, in Spark as in numpy, out to where numbers end."""
    made = Calibrator(kind=PROBABILITY, method="beta", shift=-1.6, intercept=0.2, slope=0.8, slope_high=1.7, focal_gamma=1.5)
    raw = np.concatenate([[0.0, 1e-14, 1.0], np.linspace(0.001, 0.999, 40)])
    frame = spark.createDataFrame([(float(s),) for s in raw], "raw DOUBLE")
    x = np.log(np.clip(raw, 1e-12, 1 - 1e-12)) - np.log1p(-np.clip(raw, 1e-12, 1 - 1e-12))
    found = np.array([row[0] for row in frame.select(made.apply(frame.raw)).collect()])
    np.testing.assert_allclose(found, made.on(x), atol=1e-9)
    moved = made.moved(x)
    s = _sigmoid(moved)
    inside = (s > 1e-6) & (s < 1 - 1e-6)
    expected = _sigmoid(0.2 + 0.8 * np.log(s[inside]) - 1.7 * np.log(1 - s[inside]))
    np.testing.assert_allclose(found[inside], np.clip(expected, 1e-6, 1 - 1e-6), rtol=1e-6)
    assert (np.diff(found[np.argsort(raw)]) >= 0).all()
    assert Calibrator.from_json(made.to_json()) == made


def test_auto_takes_the_curve_where_the_truth_is_one(spark: SparkSession) -> None:
    draw = np.random.default_rng(7)
    x = draw.normal(-0.5, 1.5, 12_000)
    y = draw.random(12_000) < _sigmoid(beta.margin(x, 0.0, 0.3, 2.0))
    rows = [(f"u{n % 700}", int(b), 1.0, float(s)) for n, (b, s) in enumerate(zip(y, _sigmoid(x), strict=True))]
    frame = spark.createDataFrame(rows, "user_id STRING, label INT, weight DOUBLE, raw DOUBLE")
    made = calibrate.fit_all(frame, {"it": Task(score="raw")})["it"]
    losses = dict(made.log_losses)
    assert set(losses) == {"platt", "beta", "isotonic"}
    assert made.method == min(losses, key=lambda name: losses[name]) == "beta"
    assert (made.intercept, made.slope, made.slope_high) == pytest.approx((0.0, 0.3, 2.0), abs=0.2)
