"""Figures of merit agree with scikit-learn and with arithmetic by hand; one class is unknown, not zero."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn import metrics as sk

from propensity_spark.judge import ranking
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
