"""Figures of merit agree with scikit-learn and with arithmetic by hand; one class is unknown, not zero."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn import metrics as sk

from propensity_spark.errors import InsufficientData
from propensity_spark.judge import calibrate, ranking
from propensity_spark.judge.metrics import evaluate

Make = Callable[..., DataFrame]


def test_figures_agree_with_scikit_learn(spark: SparkSession) -> None:
    draw = np.random.default_rng(4)
    p = draw.beta(1, 8, 3000)
    y, w = (draw.random(3000) < p).astype(int), draw.choice([1.0, 5.0], 3000)
    frame = spark.createDataFrame(
        [(int(a), float(b), float(c)) for a, b, c in zip(y, w, p, strict=True)], "label INT, weight DOUBLE, p DOUBLE"
    )
    found = evaluate(frame, {"m": "p"})["m"]
    assert found.roc_auc == pytest.approx(sk.roc_auc_score(y, p, sample_weight=w), abs=1e-3)
    assert found.pr_auc == pytest.approx(sk.average_precision_score(y, p, sample_weight=w), abs=5e-3)
    assert found.log_loss == pytest.approx(sk.log_loss(y, p, sample_weight=w), rel=1e-9)
    assert found.brier == pytest.approx(np.average((p - y) ** 2, weights=w), rel=1e-9)
    assert found.base_rate == pytest.approx(np.average(y, weights=w))
    assert found.ece is not None
    assert found.ece < 0.03


def test_a_constant_prediction_is_off_by_its_distance(table: Make) -> None:
    rows = [(1, 1.0, 0.5)] * 3 + [(0, 1.0, 0.5)] * 7
    found = evaluate(table("label INT, weight DOUBLE, p DOUBLE", *rows), {"m": "p"})["m"]
    assert found.ece == pytest.approx(0.2)
    assert found.roc_auc == pytest.approx(0.5)


def test_one_class_is_unknown_and_not_zero(table: Make) -> None:
    found = evaluate(table("label INT, weight DOUBLE, p DOUBLE", (0, 1.0, 0.1), (0, 1.0, 0.2)), {"m": "p"})["m"]
    assert found.roc_auc is None
    assert found.pr_auc is None
    assert found.log_loss is not None


def test_ranking_counts_what_is_no_candidate_and_breaks_ties_by_product(table: Make) -> None:
    scored = table(
        "user_id STRING, product_id STRING, label INT, s DOUBLE",
        ("ann", "a", 0, 0.9),
        ("ann", "b", 1, 0.5),
        ("ann", "c", 1, 0.5),  # ties with b, and comes after it
        ("bob", "a", 0, 0.1),
    )
    truth = table("user_id STRING, product_id STRING", ("ann", "b"), ("ann", "c"), ("ann", "far"), ("bob", "far"))
    found = ranking.per_user(scored, truth, {"m": "s"}, k=2)["m"]
    assert found.users == 2
    assert found.recall == pytest.approx((1 / 3 + 0) / 2)
    assert found.hit_rate == pytest.approx(0.5)
    assert found.ndcg == pytest.approx(((1 / np.log2(3)) / (1 + 1 / np.log2(3)) + 0) / 2)
    assert found.coverage == pytest.approx(2 / 4)
    assert found.recall_ceiling == pytest.approx((2 / 3 + 1) / 2)


def test_the_prior_correction_undoes_a_sampling_of_negatives(table: Make) -> None:
    # a true rate of 2 % reads as .02 / (.02 + .98 x .2) where a fifth of the negatives was kept
    sampled = 0.02 / (0.02 + 0.98 * 0.2)
    frame = table("raw DOUBLE", (sampled,))
    made = calibrate.Calibrator(kind=calibrate.PROBABILITY, method="none", shift=float(np.log(0.2)))
    row = frame.select(made.apply(frame.raw).alias("p"))
    assert row.collect()[0].p == pytest.approx(0.02)


@pytest.mark.parametrize("method", ["platt", "isotonic", "auto"])
def test_calibration_recovers_a_known_distortion(spark: SparkSession, method: str) -> None:
    draw = np.random.default_rng(5)
    true = draw.beta(1, 6, 20_000)
    y = (draw.random(20_000) < true).astype(int)
    raw = 1 / (1 + np.exp(-(1.7 * np.log(true / (1 - true)) + 0.8)))
    rows = [(f"u{i % 500}", int(a), 1.0, float(b), float(t)) for i, (a, b, t) in enumerate(zip(y, raw, true, strict=True))]
    frame = spark.createDataFrame(rows, "user_id STRING, label INT, weight DOUBLE, raw DOUBLE, t DOUBLE")
    made = calibrate.fit(frame, "raw", method)
    found = frame.select(made.apply(frame.raw).alias("p"), "raw").toPandas().sort_values("raw")
    assert found["p"].between(0, 1, inclusive="neither").all()
    assert found["p"].is_monotonic_increasing
    back = np.sort(true)
    assert np.abs(found["p"].to_numpy() - back).mean() < 0.012
    on = made.on(np.log(found["raw"] / (1 - found["raw"])).to_numpy())
    np.testing.assert_allclose(found["p"], on, atol=1e-9)
    assert calibrate.Calibrator.from_json(made.to_json()) == made


def test_one_class_cannot_be_calibrated(table: Make) -> None:
    frame = table("user_id STRING, label INT, weight DOUBLE, raw DOUBLE", ("a", 0, 1.0, 0.1), ("b", 0, 1.0, 0.2))
    with pytest.raises(InsufficientData, match="bought and not bought"):
        calibrate.fit(frame, "raw", "platt")


def test_a_score_that_says_nothing_is_calibrated_to_the_mean_rate(spark: SparkSession) -> None:
    # falling rates make one pool; its ends once fell outside of the fitted range and turned the whole map into NaN
    rows = [(f"u{i % 50}", int(i % 10 < 5 - i // 500), 1.0, float(np.log1p(i // 100) * 3.1)) for i in range(2000)]
    frame = spark.createDataFrame(rows, "user_id STRING, label INT, weight DOUBLE, n DOUBLE")
    made = calibrate.fit(frame, "n", "isotonic", kind=calibrate.COUNT)
    found = frame.select(made.apply(frame.n).alias("p"), "label").toPandas()
    assert found["p"].notna().all()
    assert found["p"].mean() == pytest.approx(found["label"].mean(), abs=0.02)


def test_a_score_of_both_halves_of_the_users_is_one_knot(table: Make) -> None:
    rows = [(f"u{n}", n % 3, int(n % 7 < n % 3 * 2 + (n % 2)), 0.1 * (1 + n % 5)) for n in range(900)]
    scored = table("user_id STRING, seen INT, label INT, weight DOUBLE", *rows)
    knots = calibrate.fit(scored, "seen", "isotonic", kind=calibrate.COUNT).knots
    assert len(knots) == 3
    assert [value for _, value in knots] == pytest.approx(
        [sum(w for _, s, y, w in rows if s == seen and y) / sum(w for _, s, _, w in rows if s == seen) for seen in range(3)]
    )
