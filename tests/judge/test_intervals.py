"""Blocks of users say how sure a figure is as users drawn one by one do, and the lead is over the best baseline of each figure."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn import metrics as sk

from propensity_spark.judge import bootstrap, cells, intervals, metrics, ranking
from propensity_spark.judge.cells import View

USERS, EACH = 2000, 8
SCORERS = {"m": "p", "n": "q"}


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """Pairs of users who differ: some buy much, and are hard to tell; scores on a grid, so that they tie."""
    draw = np.random.default_rng(13)
    user = np.repeat(np.arange(USERS), EACH)
    rate = np.clip(draw.beta(1, 8, USERS)[user] * draw.gamma(2.0, 0.5, USERS * EACH), 0.002, 0.95)
    p = np.clip(np.round(rate * np.exp(draw.normal(0, 0.4, USERS)[user]), 2), 0.005, 0.96)
    q = np.clip(np.round(rate * np.exp(draw.normal(0, 0.9, USERS)[user]), 2), 0.005, 0.96)
    made = {"user_id": np.char.add("u", user.astype(str)), "user": user, "label": (draw.random(len(p)) < rate).astype(int)}
    return pd.DataFrame({**made, "weight": 1.0, "p": p, "q": q})


@pytest.fixture(scope="module")
def found(spark: SparkSession, people: pd.DataFrame) -> pd.DataFrame:
    """The cells of two views: each user a block, and 200 blocks."""
    frame = spark.createDataFrame(people)
    views = [View("user", frame.user, SCORERS, cells.COARSE), View(intervals.BLOCK, intervals.block(200), SCORERS, cells.COARSE)]
    return cells.collect(frame, views)


def _of(found: pd.DataFrame, view: str, scorer: str) -> pd.DataFrame:
    return found[(found["view"] == view) & (found["scorer"] == scorer)]


def test_a_sample_is_that_of_rows_counted_as_often_as_their_user(people: pd.DataFrame, found: pd.DataFrame) -> None:
    times = intervals.drawn(USERS, 3, seed=1)
    assert (times[0] == 1).all()
    made = intervals.of_pairs(_of(found, "user", "m"), times)
    for number, often in enumerate(times):
        w, y, p = often[people["user"]], people["label"], people["p"]
        assert made["pr_auc"][number] == pytest.approx(sk.average_precision_score(y, p, sample_weight=w), abs=1e-3)
        assert made["log_loss"][number] == pytest.approx(sk.log_loss(y, p, sample_weight=w))
        assert made["predicted_over_observed"][number] == pytest.approx((w * p).sum() / (w * y).sum())


def test_samples_without_the_best_cell_count_as_well() -> None:
    """The best pair is one user's: a third of the samples miss her, and their figures are those of the other users."""
    draw = np.random.default_rng(7)
    blocks = pd.DataFrame({"key": np.arange(40), "bucket": draw.permutation(40), "weight": 1.0, "loss": 0.3})
    blocks = blocks.assign(positives=(blocks["bucket"] > 30).astype(float), predicted=0.2)
    times = intervals.drawn(40, 300, seed=6)
    made = intervals.of_pairs(blocks, times)["pr_auc"]
    assert np.isfinite(made).all()
    for number in np.flatnonzero(times[:, blocks["bucket"].argmax()] == 0)[:20]:
        often, y = times[number][blocks["key"]], blocks["positives"]
        assert made[number] == pytest.approx(sk.average_precision_score(y, blocks["bucket"], sample_weight=often))


def test_of_no_rows_and_of_no_purchases_nothing_is_known() -> None:
    cells = pd.DataFrame({"key": [0], "bucket": [3], "weight": [2.0], "positives": [0.0], "predicted": [0.4], "loss": [0.5]})
    made = intervals.of_pairs(cells, np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert np.isnan(made["pr_auc"]).all()
    assert made["ece"] == pytest.approx([0.2, np.nan], nan_ok=True)
    assert intervals.sure(0.2, made["ece"]) is None


def test_blocks_of_users_are_as_sure_as_users_one_by_one(people: pd.DataFrame, found: pd.DataFrame) -> None:
    """The slow way: rows of users drawn with replacement, for the figure and for the lead of one scorer over the other."""
    user, label = people["user"].to_numpy(), people["label"].to_numpy()
    curves = {name: bootstrap.average_precision(user, label, people[c].to_numpy()) for name, c in SCORERS.items()}
    draw = np.random.default_rng(2)
    plain = np.array(
        [
            [curve(np.bincount(draw.integers(0, USERS, USERS), minlength=USERS).astype(float)) for curve in (curves["m"],)]
            for _ in range(400)
        ]
    )
    low, high = np.percentile(plain[:, 0], [2.5, 97.5])
    paired = bootstrap.paired(curves, "n", USERS, 400, seed=3)["m"]
    times = intervals.drawn(200, 1000, seed=4)
    m, n = (intervals.of_pairs(_of(found, intervals.BLOCK, name), times)["pr_auc"] for name in ("m", "n"))
    everyone = curves["m"](np.ones(USERS))
    made, gain = intervals.sure(everyone, m), intervals.sure(everyone - curves["n"](np.ones(USERS)), m - n)
    assert made is not None
    assert gain is not None
    assert made.interval.high - made.interval.low == pytest.approx(high - low, rel=0.2)
    assert (made.interval.low, made.interval.high) == pytest.approx((low, high), abs=0.25 * (high - low))
    assert gain.interval.high - gain.interval.low == pytest.approx(paired.high - paired.low, rel=0.25)
    assert gain.interval.high - gain.interval.low < made.interval.high - made.interval.low, "the same users are drawn for both"


def test_rows_of_one_user_stand_or_fall_together(spark: SparkSession, people: pd.DataFrame) -> None:
    frame = spark.createDataFrame(people[["user_id", "user"]]).select("user_id", intervals.block(200).alias("block"))
    each = frame.distinct().groupBy("user_id").count().agg(F.max("count")).collect()[0][0]
    assert each == 1
    assert frame.select("block").distinct().count() == 200


def test_lists_are_means_over_the_buyers_of_the_drawn_blocks(spark: SparkSession) -> None:
    rows = [(f"u{u}", f"p{p}", int((u + p) % 3 == 0), float((u * 7 + p * 3) % 10)) for u in range(40) for p in range(6)]
    scored = spark.createDataFrame(rows, "user_id STRING, product_id STRING, label INT, s DOUBLE")
    truth = scored.where("label = 1 AND user_id < 'u35'").select("user_id", "product_id")
    with ranking.placed(scored, {"m": "s"}, 3) as kept:
        each = ranking.buyers(kept, truth, {"m": "s"}, 3)
        by_block = ranking.sums(each, {"m": "s"}, {intervals.BLOCK: intervals.block(25)}, 3)
        one_by_one = each.withColumn("block", intervals.block(25)).toPandas()
    blocks = by_block[by_block["view"] == intervals.BLOCK]
    times = intervals.drawn(25, 4, seed=5)
    made = intervals.of_lists(blocks, "m", times)
    for number, often in enumerate(times):
        weight = often[one_by_one["block"]]
        for figure in intervals.LISTS:
            expected = np.average(one_by_one[f"{figure}_m"], weights=weight)
            assert made[figure][number] == pytest.approx(expected), figure


def test_the_lead_is_over_the_baseline_that_is_best_in_that_figure() -> None:
    names = {**intervals.PAIRS, **intervals.LISTS}
    low, high = dict.fromkeys(names, 0.2), dict.fromkeys(names, 0.3)
    figures = {"champion": dict.fromkeys(names, 0.5), "a": low, "b": high}
    samples = {s: {n: np.array([0.0, 0.1, 0.2]) if s == "champion" else np.zeros(3) for n in names} for s in figures}
    told = intervals.told("champion", ("a", "b"), figures, samples)
    assert told["pr_auc_gain"] == pytest.approx(0.2), "more is better: b"
    assert told["log_loss_gain"] == pytest.approx(0.3), "less is better: a"
    assert "predicted_over_observed_gain" not in told
    assert told["pr_auc_low"] == pytest.approx(0.5 + 0.1 + 0.1 * 0.025)
    unknown = intervals.told("champion", ("a",), {**figures, "champion": dict.fromkeys(names)}, samples)
    assert set(unknown.values()) == {None}


def test_names_carry_k_only_where_they_are_of_lists() -> None:
    told = ["recall_low", "ndcg_gain_high", "pr_auc_low", "map", "mrr", "novelty"]
    assert [ranking.with_k(name, 5) for name in told] == [
        "recall_at_5_low", "ndcg_at_5_gain_high", "pr_auc_low", "map_at_5", "mrr_at_5", "novelty_at_5"
    ]  # fmt: skip
    assert metrics.ece(np.array([2.0]), np.array([1.0]), np.array([0.5])) == pytest.approx(0.25)
