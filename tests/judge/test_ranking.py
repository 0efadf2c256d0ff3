"""Lists agree with a count by hand and with scikit-learn, whatever ties; what no list holds is still in the catalogue."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn import metrics as sk

from propensity_spark.judge import ranking

Make = Callable[..., DataFrame]
K = 4


def _slow(rows: list[tuple[str, str, int, float]], truth: set[tuple[str, str]]) -> dict[str, float]:
    """Every figure of the lists, one user after the other."""
    made: dict[str, list[float]] = {name: [] for name in ranking.FOUND}
    for user in sorted({user for user, _ in truth}):
        wanted = {product for who, product in truth if who == user}
        best = [p for _, p in sorted((-score, p) for who, p, _, score in rows if who == user)][:K]
        hits = [int(product in wanted) for product in best]
        precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
        ideal = sum(1 / np.log2(n + 2) for n in range(min(len(wanted), K)))
        made["recall"].append(sum(hits) / len(wanted))
        made["ndcg"].append(sum(hit / np.log2(n + 2) for n, hit in enumerate(hits)) / ideal)
        made["hit_rate"].append(float(any(hits)))
        made["map"].append(sum(p * hit for p, hit in zip(precision, hits, strict=True)) / min(len(wanted), K))
        made["mrr"].append(max((1 / (n + 1) for n, hit in enumerate(hits) if hit), default=0.0))
    return {name: float(np.mean(values)) for name, values in made.items()}


@pytest.fixture(scope="module")
def shop(spark: SparkSession) -> tuple[list[tuple[str, str, int, float]], set[tuple[str, str]], DataFrame, DataFrame]:
    """30 users, 12 candidates each with scores that tie, and purchases of which some are no candidates."""
    draw = np.random.default_rng(11)
    truth = {(f"u{u}", f"p{p}") for u in range(0, 30, 2) for p in draw.choice(20, draw.integers(1, 8), replace=False)}
    chosen = [(f"u{u}", f"p{p}") for u in range(30) for p in draw.choice(20, 12, replace=False)]
    rows = [(*pair, int(pair in truth), float(np.round(draw.random() + 0.3 * (pair in truth), 1))) for pair in chosen]
    scored = spark.createDataFrame(rows, "user_id STRING, product_id STRING, label INT, s DOUBLE").withColumn("t", -F.col("s"))
    return rows, truth, scored, spark.createDataFrame(sorted(truth), "user_id STRING, product_id STRING")


def test_every_figure_agrees_with_a_count_by_hand(shop) -> None:  # type: ignore[no-untyped-def]
    rows, truth, scored, bought = shop
    found = ranking.per_user(scored, bought, {"up": "s", "down": "t"}, k=K)
    turned = [(user, product, label, -score) for user, product, label, score in rows]
    for name, these in (("up", rows), ("down", turned)):
        assert {figure: getattr(found[name], figure) for figure in ranking.FOUND} == pytest.approx(_slow(these, truth)), name
    assert found["up"].users == 15
    assert found["up"].coverage == pytest.approx(sum(label for _, _, label, _ in rows) / len(truth))
    assert found["up"].catalogue_coverage is None, "nobody asked"


def test_ndcg_and_map_agree_with_scikit_learn(table: Make) -> None:
    """Where every purchase is a candidate and the list holds all of them."""
    labels, scores = [0, 1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]
    scored = table(
        "user_id STRING, product_id STRING, label INT, s DOUBLE",
        *(("ann", f"p{n}", y, s) for n, (y, s) in enumerate(zip(labels, scores, strict=True))),
    )
    found = ranking.per_user(scored, scored.where("label = 1").select("user_id", "product_id"), {"m": "s"}, k=6)["m"]
    assert found.ndcg == pytest.approx(sk.ndcg_score([labels], [scores], k=6))
    assert found.map == pytest.approx(sk.average_precision_score(labels, scores))
    assert found.mrr == pytest.approx(1 / 2)


def test_the_reach_of_the_lists_counts_every_product_of_the_catalogue(table: Make) -> None:
    scored = table(
        "user_id STRING, product_id STRING, label INT, s DOUBLE, t DOUBLE",
        ("ann", "a", 0, 0.9, 0.9),
        ("ann", "b", 1, 0.5, 0.1),
        ("bob", "a", 0, 0.9, 0.1),  # bob bought nothing: his list counts as well
        ("bob", "c", 0, 0.5, 0.9),
        ("bob", "new", 0, 0.6, 0.2),
    )
    catalogue = table("product_id STRING, share DOUBLE", ("a", 0.5), ("b", 0.25), ("c", 0.125), ("new", None), ("never", 0.125))
    truth = table("user_id STRING, product_id STRING", ("ann", "b"))
    scorers = {"m": "s", "n": "t"}
    with ranking.placed(scored, scorers, 1) as rows:
        found = ranking.reach(rows, catalogue, scorers, 1)
    assert found["m"] == (pytest.approx(1 / 5), pytest.approx(1.0))  # a and a
    assert found["n"] == (pytest.approx(2 / 5), pytest.approx((1 + 3) / 2))  # a and c
    with ranking.placed(scored, scorers, 2) as rows:
        reached = ranking.reach(rows, catalogue, scorers, 2)["m"]
        sums = ranking.sums(ranking.buyers(rows, truth, scorers, 2), scorers, {}, 2)
    both = ranking.of_sums(sums, "m", 2, reached)
    assert both.catalogue_coverage == pytest.approx(3 / 5)
    assert both.novelty == pytest.approx((1 + 2 + 1) / 3), "a product whose share is unknown is no part of the mean"
    assert {"map_at_2", "mrr_at_2", "catalogue_coverage_at_2", "novelty_at_2"} <= set(both.flat())


def test_nobody_bought_is_unknown_and_not_zero(table: Make) -> None:
    scored = table("user_id STRING, product_id STRING, label INT, s DOUBLE", ("ann", "a", 0, 0.9))
    found = ranking.per_user(scored, scored.where("label = 1").select("user_id", "product_id"), {"m": "s"}, k=1)["m"]
    assert (found.users, found.recall, found.map, found.coverage) == (0, None, None, None)


def test_rows_are_sorted_once_for_each_scorer_and_shuffled_once(shop) -> None:  # type: ignore[no-untyped-def]
    _, _, scored, _ = shop
    with ranking.placed(scored, {"up": "s", "down": "t"}, K) as rows:
        plan = rows._jdf.queryExecution().optimizedPlan().toString()
        physical = ranking._placed(scored, {"up": "s", "down": "t"}, K)._jdf.queryExecution().executedPlan().toString()
    assert "InMemoryRelation" in plan
    assert physical.count("Exchange hashpartitioning(user_id") == 1
    assert physical.count("Sort [user_id") == 2
