"""Figures of merit agree with scikit-learn and with arithmetic by hand; one class is unknown, not zero."""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn import metrics as sk

from propensity_spark.judge import cells, ranking
from propensity_spark.judge.cells import View
from propensity_spark.judge.metrics import TOP, evaluate, from_plain, of_all, of_keys

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


def test_counts_above_thresholds_agree_with_scikit_learn_where_scores_tie(spark: SparkSession) -> None:
    """A threshold is one of the scores, and those of one cell lie on both sides of it."""
    draw = np.random.default_rng(6)
    p = np.round(draw.beta(2, 5, 2000), 2) + draw.choice([0.0, 1e-5], 2000)
    y, w = (draw.random(2000) < p).astype(int), draw.choice([1.0, 5.0], 2000)
    rows = [(int(a), float(b), float(c), "new" if n % 3 else "old") for n, (a, b, c) in enumerate(zip(y, w, p, strict=True))]
    frame = spark.createDataFrame(rows, "label INT, weight DOUBLE, p DOUBLE, part STRING")
    cuts = {"cost": 0.25 + 1e-5, "f1": 0.4, "budget": 1.0}
    found = cells.collect(frame, [View("parts", frame.part, {"m": "p"})], {"m": list(cuts.values())})
    judged = {"all": of_all(found, "parts", {"m": "p"}, {"m": cuts}), **of_keys(found, "parts", {"m": "p"}, {"m": cuts})}
    for part, mine in (("all", np.ones(2000, bool)), ("new", np.arange(2000) % 3 > 0)):
        for cut in judged[part]["m"].cuts[:2]:
            chosen, truth = p[mine] >= cut.threshold, y[mine]
            assert cut.share == pytest.approx(np.average(chosen, weights=w[mine]))
            assert cut.precision == pytest.approx(sk.precision_score(truth, chosen, sample_weight=w[mine]))
            assert cut.recall == pytest.approx(sk.recall_score(truth, chosen, sample_weight=w[mine]))
            assert cut.f1 == pytest.approx(sk.f1_score(truth, chosen, sample_weight=w[mine]))
    nobody = judged["all"]["m"].cuts[2]
    assert (nobody.share, nobody.precision, nobody.recall, nobody.f1) == (0, None, 0, 0)
    assert judged["all"]["m"].flat()["cost_cut_threshold"] == cuts["cost"]
    assert from_plain(**asdict(judged["all"]["m"])) == judged["all"]["m"]


def test_deciles_and_what_the_best_capture_share_ties_out(spark: SparkSession) -> None:
    """Equal scores have one place: each of them is in the best tenth by the same share."""
    draw = np.random.default_rng(7)
    p = np.round(draw.beta(1, 6, 1000), 1) / 2 + 0.01
    y, worth = (draw.random(1000) < 2 * p).astype(int), draw.exponential(20.0, 1000)
    rows = [(int(a), 1.0, float(b), None if n % 10 == 0 else float(c)) for n, (a, b, c) in enumerate(zip(y, p, worth, strict=True))]
    worth[::10] = 0.0  # a price that is unknown
    frame = spark.createDataFrame(rows, "label INT, weight DOUBLE, p DOUBLE, price DOUBLE")
    found = evaluate(frame, {"m": "p"}, price=frame.price)["m"]

    def share(top: float, what: np.ndarray) -> float:
        orders = [np.lexsort((np.random.default_rng(n).random(1000), -p)) for n in range(400)]
        return float(np.mean([what[order[: round(top * 1000)]].sum() for order in orders]) / what.sum())

    for n, top in enumerate(TOP):
        assert found.captured[n] == pytest.approx(share(top, y.astype(float)), abs=0.01)
        assert found.value_captured[n] == pytest.approx(share(top, y * worth), abs=0.01)
    gain = np.cumsum(found.lift) / 10
    assert gain[-1] == pytest.approx(1.0)
    assert (gain[0], gain[1]) == pytest.approx((found.captured[2], found.captured[3]))
    assert evaluate(frame, {"m": "p"})["m"].value_captured == ()


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
