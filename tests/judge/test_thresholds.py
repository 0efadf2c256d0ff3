"""A threshold is the best of every one on the rows that chose it; ties go together; a budget is never overdrawn."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import SparkSession

from propensity_spark.config import JudgeConfig
from propensity_spark.judge import buckets, calibrate, thresholds
from propensity_spark.judge.task import Task
from propensity_spark.judge.thresholds import Levels, choose

Found = Callable[[], Levels]


def _levels(*rows: tuple[float, float, float]) -> Levels:
    """(threshold, pairs, bought) of each step, with a value of 20 a bought pair."""
    threshold, pairs, bought = np.array(rows).T
    return Levels(threshold, pairs.cumsum(), bought.cumsum(), bought.cumsum() * 20, bought.cumsum())


STEPS = _levels((0.8, 10, 8), (0.5, 10, 5), (0.2, 30, 6), (0.01, 950, 1))


def test_f1_is_the_best_of_every_threshold() -> None:
    tried = [(2 * b / (p + 20), t) for t, p, b in zip(STEPS.threshold, STEPS.pairs, STEPS.bought, strict=True)]
    assert choose(STEPS, JudgeConfig(), 1.0)["f1"] == max(tried)[1] == 0.5


@pytest.mark.parametrize(("missed", "chosen"), [(0.2, 1.0), (1.01, 0.5), (4.5, 0.2), (948, 0.2), (950, 0.01)])
def test_the_dearer_a_missed_purchase_the_lower_the_threshold(missed: float, chosen: float) -> None:
    """A step pays where what it finds is worth more than its contacts in vain: 8 for 2, 5 for 5, 6 for 24, 1 for 949."""
    assert choose(STEPS, JudgeConfig(cost_missed=missed), 1.0)["cost"] == chosen


def test_without_a_cost_a_missed_purchase_costs_its_price_and_without_prices_nothing_is_chosen() -> None:
    assert choose(STEPS, JudgeConfig(cost_missed=0), 1.0)["cost"] == 0.2  # 20 each
    half = Levels(STEPS.threshold, STEPS.pairs, STEPS.bought, STEPS.value / 2, STEPS.priced / 2)
    dear = JudgeConfig(cost_missed=0, cost_false_positive=4.5)
    assert choose(half, dear, 1.0)["cost"] == choose(STEPS, dear, 1.0)["cost"] == 0.2, (
        "what has no price is worth the mean, not nothing"
    )
    unknown = Levels(STEPS.threshold, STEPS.pairs, STEPS.bought, STEPS.value * 0, STEPS.priced * 0)
    assert set(choose(unknown, JudgeConfig(cost_missed=0), 1.0)) == {"f1", "budget"}


@pytest.mark.parametrize(
    ("budget", "held", "chosen"),
    [
        ({"budget_share": 0.05}, 1.0, 0.2),
        ({"budget_share": 0.0499}, 1.0, 0.5),
        ({"budget_share": 0.0099}, 1.0, 1.0),
        ({"budget_contacts": 40}, 0.5, 0.5),  # of all users: 20 among the half that chooses
        ({"budget_contacts": 39}, 0.5, 0.8),
    ],
)
def test_a_budget_is_used_as_far_as_it_goes_and_never_overdrawn(budget: dict[str, float], held: float, chosen: float) -> None:
    assert choose(STEPS, JudgeConfig(**budget), held)["budget"] == chosen  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_levels_count_the_pairs_at_or_above_each_threshold(spark: SparkSession, method: str) -> None:
    draw = np.random.default_rng(8)
    raw = np.round(draw.beta(1, 4, 3000), 2) * 0.98 + 0.01  # many ties; isotonic makes more
    y, w = (draw.random(3000) < raw).astype(int), draw.choice([1.0, 4.0], 3000)
    rows = [(f"u{n % 90}", int(a), float(b), float(c)) for n, (a, b, c) in enumerate(zip(y, w, raw, strict=True))]
    frame = spark.createDataFrame(rows, "user_id STRING, label INT, weight DOUBLE, raw DOUBLE")
    tasks = {"m": Task(score="raw", method=method)}
    found = buckets.collect(frame, tasks, frame.raw * 100)
    calibrator = calibrate.fit_buckets(found, tasks)["m"]
    p = np.array([row[0] for row in frame.select(calibrator.apply(frame.raw)).collect()])
    made = thresholds.levels(found, "m", calibrator)
    assert (np.diff(made.threshold) < 0).all()
    for at in range(0, len(made.threshold), 7):
        above = p >= made.threshold[at]
        assert made.pairs[at] == pytest.approx(w[above].sum())
        assert made.bought[at] == pytest.approx((w * y)[above].sum())
        assert made.value[at] == pytest.approx((w * y * raw * 100)[above].sum())


def test_rules_are_told_with_the_costs_and_the_budget_that_were_set() -> None:
    said = thresholds.told(JudgeConfig(cost_false_positive=0.5, cost_missed=7, budget_share=0.015))
    assert said["cost"] == "the least cost: 0.5 for a contact in vain, 7 for a missed purchase"
    assert said["budget"] == "a budget: at most 1.5% of the pairs"
    said = thresholds.told(JudgeConfig(cost_missed=0, budget_contacts=20000))
    assert said["cost"].endswith("the mean price of what was bought for a missed purchase")
    assert said["budget"] == "a budget: at most 20,000 contacts"
    assert set(said) == set(choose(STEPS, JudgeConfig(), 1.0)), "every rule has its words"
