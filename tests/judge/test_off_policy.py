"""A policy's value is found from another's log: of a simulated log where it is known, and of a real one that ran both."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.errors import InsufficientData
from propensity_spark.judge.off_policy import DR, IPS, SNIPS, Estimate, estimate, with_model

LOGGED, TARGET, RATES = np.array([0.7, 0.2, 0.06, 0.04]), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.05, 0.1, 0.3, 0.25])
TRUE = float(TARGET @ RATES)


@pytest.fixture(scope="module")
def seen() -> pd.DataFrame:
    draw = np.random.default_rng(17)
    action = draw.choice(4, 20_000, p=LOGGED)
    reward = (draw.random(20_000) < RATES[action]).astype(float)
    unit = np.char.add("u", (np.arange(20_000) // 4).astype(str))
    return pd.DataFrame({"unit": unit, "action": action, "reward": reward, "logged": LOGGED[action]})


@pytest.fixture(scope="module")
def log(spark: SparkSession, seen: pd.DataFrame) -> DataFrame:
    policy = spark.createDataFrame([(a, float(p)) for a, p in enumerate(TARGET)], "action BIGINT, target DOUBLE")
    return with_model(spark.createDataFrame(seen), policy).persist()


def _estimates(log: DataFrame, max_weight: float) -> dict[str, Estimate]:
    return estimate(log, max_weight, blocks=200, draws=300, seed=1)


def _near(each: Estimate) -> dict[str, object]:
    """Its figures but for the order in which Spark adds them up."""
    return {name: pytest.approx(getattr(each, name), rel=1e-9) for name in ("value", "low", "high", "effective_rows")}


def test_the_known_value_lies_in_every_interval(log: DataFrame, seen: pd.DataFrame) -> None:
    found = _estimates(log, 1e9)
    weight = (TARGET / LOGGED)[seen["action"]]
    assert found[IPS].value == pytest.approx((weight * seen["reward"]).mean())
    assert found[SNIPS].value == pytest.approx(np.average(seen["reward"], weights=weight))
    assert found[IPS].effective_rows == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    for each in found.values():
        assert each.low < TRUE < each.high, each
        assert each.clipped == 0
    assert abs(seen["reward"].mean() - TRUE) > 0.1, "the log's own mean is far off"
    width = {method: each.high - each.low for method, each in found.items()}
    assert width[DR] < width[IPS], "a model takes noise away"
    by_rows = 2 * 1.96 * (weight * seen["reward"]).std() / np.sqrt(len(seen))
    assert width[IPS] == pytest.approx(by_rows, rel=0.2)


def test_rows_of_which_nobody_knows_what_they_stand_for_are_left_out(log: DataFrame) -> None:
    broken = F.when(
        F.abs(F.hash("unit")) % 20 == 0, F.when(F.col("action") == 0, 0.0).when(F.col("action") == 1, float("nan"))
    ).otherwise(F.col("logged"))
    found, kept = _estimates(log.withColumn("logged", broken), 1e9), _estimates(log.where("abs(hash(unit)) % 20 != 0"), 1e9)
    assert found == kept
    assert found[IPS].rows < log.count()


def test_a_reward_that_pandas_lacks_is_one_that_is_not_there(spark: SparkSession, seen: pd.DataFrame) -> None:
    policy = spark.createDataFrame([(a, float(p)) for a, p in enumerate(TARGET)], "action BIGINT, target DOUBLE")
    plain = spark.createDataFrame(seen)
    lacking = F.abs(F.hash("unit")) % 20 == 0
    of_nan, of_null = (
        plain.withColumn("reward", F.when(lacking, F.lit(x)).otherwise(F.col("reward"))) for x in (float("nan"), None)
    )
    found, same = (_estimates(with_model(each, policy), 1e9) for each in (of_nan, of_null))
    for method, each in found.items():
        assert asdict(each) == {**asdict(same[method]), **_near(same[method])}
    assert found[DR].low < TRUE < found[DR].high
    later = with_model(plain, policy).withColumn("reward", F.when(lacking, F.lit(float("nan"))).otherwise(F.col("reward")))
    assert _estimates(later, 1e9)[IPS].value == pytest.approx(found[IPS].value, rel=1e-9)


def test_clipped_weights_lean_towards_the_log_and_are_told(log: DataFrame, seen: pd.DataFrame) -> None:
    found, free = _estimates(log, 6.0), _estimates(log, 1e9)
    assert found[IPS].clipped == pytest.approx((seen["action"] == 3).mean())  # a weight of 10; that of 5 stays
    assert found[IPS].value < free[IPS].value
    assert found[IPS].effective_rows > free[IPS].effective_rows
    assert abs(found[DR].value - TRUE) < abs(found[IPS].value - TRUE), "the model stands in for what was clipped"


def test_a_model_does_not_see_the_unit_that_it_is_held_against(spark: SparkSession, log: DataFrame, seen: pd.DataFrame) -> None:
    turned = seen.assign(reward=np.where(seen["unit"] == "u0", 1 - seen["reward"], seen["reward"]))
    policy = spark.createDataFrame([(a, float(p)) for a, p in enumerate(TARGET)], "action BIGINT, target DOUBLE")
    again = with_model(spark.createDataFrame(turned[["unit", "action", "reward", "logged"]]), policy)
    columns = ["expected", "expected_of_policy"]
    before, after = (frame.where("unit = 'u0'").orderBy("action").select(*columns).toPandas() for frame in (log, again))
    pd.testing.assert_frame_equal(before, after)


@pytest.mark.real
def test_the_uniform_policy_is_found_from_the_log_of_another(spark: SparkSession, data: Path) -> None:
    """Open Bandit: a Thompson sampling log says what random choice earns, and the random log, which ran beside it, agrees."""
    for campaign, items in (("men", 34), ("women", 46)):
        thompson, random = (pd.read_csv(data / "open_bandit" / f"{name}_{campaign}.csv.gz") for name in ("bts", "random"))
        rows = [(str(n), int(r.item_id), float(r.click), float(r.propensity_score)) for n, r in enumerate(thompson.itertuples())]
        log = spark.createDataFrame(rows, "unit STRING, action INT, reward DOUBLE, logged DOUBLE")
        policy = spark.createDataFrame([(n, 1 / items) for n in range(items)], "action INT, target DOUBLE")
        found, mean = estimate(with_model(log, policy), 100.0, blocks=200, draws=500, seed=1), random["click"].mean()
        own = 1.96 * np.sqrt(mean * (1 - mean) / len(random))
        for each in found.values():
            print(campaign, f"random log {mean:.5f} +- {own:.5f}, Thompson's own {thompson['click'].mean():.5f};", each)
            assert each.low - own < mean < each.high + own, each
            assert each.effective_rows < 0.9 * len(thompson)


def test_an_action_that_the_policy_never_shows_earns_it_nothing(spark: SparkSession) -> None:
    """Half a, half b were shown; a policy of a alone earns what a does, not twice as much."""
    draw = np.random.default_rng(5)
    action, n = draw.choice(["a", "b"], 4000), 4000
    reward = (draw.random(n) < np.where(action == "a", 0.3, 0.1)).astype(float)
    log = pd.DataFrame({"unit": [f"u{i}" for i in range(n)], "action": action, "reward": reward, "logged": 0.5})
    log.loc[::50, "reward"] = np.nan  # nobody knows what came of these: they are left out, and move nothing
    rows = spark.createDataFrame(log).replace(float("nan"), None, ["reward"])
    policy = spark.createDataFrame([("a", 1.0), ("never logged", 0.0)], "action STRING, target DOUBLE")
    found = _estimates(with_model(rows, policy), 100.0)
    known = log[log["reward"].notna()]
    for method in (IPS, SNIPS, DR):
        assert found[method].rows == len(known)
        assert found[method].value == pytest.approx(known[known["action"] == "a"]["reward"].mean(), abs=0.02)
    assert found[IPS].value == pytest.approx(2 * known["reward"].where(known["action"] == "a", 0).mean())
    unknown = spark.createDataFrame([("a", None), ("b", 1.0)], "action STRING, target DOUBLE")
    with pytest.raises(Exception, match="a policy names an action without a target"):
        _estimates(with_model(rows, unknown), 100.0)


_LOG = "unit STRING, action STRING, reward DOUBLE, logged DOUBLE"
_HALVES = ("u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7")


def test_no_action_at_all_is_an_action_as_well(spark: SparkSession) -> None:
    rows = [(unit, action, 0.5 if action else 0.25, 0.5) for unit in _HALVES for action in ("a", None)]
    policy = spark.createDataFrame([("a", 0.25), (None, 0.75)], "action STRING, target DOUBLE")
    made = with_model(spark.createDataFrame(rows, _LOG), policy, 0.0)
    found = {(row.action, row.target, row.expected, row.expected_of_policy) for row in made.collect()}
    assert found == {("a", 0.25, 0.5, 0.3125), (None, 0.75, 0.25, 0.3125)}
    each = _estimates(made, 100.0)
    assert each[DR].rows == len(rows)
    assert each[DR].value == pytest.approx(0.3125)


def test_what_nobody_of_the_other_half_was_shown_earns_what_all_do(spark: SparkSession) -> None:
    """Without shrinkage nothing else is known of it; a row without an expectation would be counted, and earn nothing."""
    rows = [(unit, "a", 0.5, 0.5) for unit in _HALVES] + [("u0", "b", 1.0, 0.5)]
    policy = spark.createDataFrame([("a", 0.5), ("b", 0.5)], "action STRING, target DOUBLE")
    made = with_model(spark.createDataFrame(rows, _LOG), policy, 0.0)
    (alone,) = made.where("action = 'b'").collect()
    assert (alone.expected, alone.expected_of_policy) == (0.5, 0.5)


@pytest.mark.parametrize("rewards", [{"u0": 1.0}, {"u0": 1.0, "u4": None}])
def test_a_half_without_rewards_says_so(spark: SparkSession, rewards: dict[str, float | None]) -> None:
    """u0 and u4 are in different halves."""
    policy = spark.createDataFrame([("a", 1.0)], "action STRING, target DOUBLE")
    log = spark.createDataFrame([(unit, "a", reward, 0.5) for unit, reward in rewards.items()], _LOG)
    with pytest.raises(InsufficientData, match="one has no row with a reward"):
        with_model(log, policy)
    enough = spark.createDataFrame([(unit, "a", reward, 0.5) for unit, reward in (rewards | {"u4": 0.0}).items()], _LOG)
    assert with_model(enough, policy).where("expected IS NOT NULL").count() == 2
