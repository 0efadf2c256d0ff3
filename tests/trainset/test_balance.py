"""Balancing changes what rows are learnt from by a known factor, and corrected probabilities are those of the truth."""

import json
import math
from collections.abc import Callable
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import BalanceConfig, LightGBMConfig, LogisticConfig, ModelsConfig
from propensity_spark.errors import InsufficientData
from propensity_spark.features.spec import Feature
from propensity_spark.judge import calibrate
from propensity_spark.judge.task import Task
from propensity_spark.models import fast
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.layout import size
from propensity_spark.trainset.balance import balance
from propensity_spark.trainset.sampling import LEARN_WEIGHT, sample_negatives

Vector = npt.NDArray[np.float64]
ROWS, SEED = 120_000, 3
FEATURES = tuple(Feature(name=name, expression=name, description=name) for name in ("x0", "x1"))
TRUE = np.array([-4.9, 1.0, -0.7])  # on signed log(1 + x), which the linear family takes
MODELS = ModelsConfig(logistic=LogisticConfig(regularisation=0.0, max_iterations=100))


@pytest.fixture(scope="module")
def world() -> pd.DataFrame:
    """Pairs whose true odds are logistic in the inputs; one in eighty is bought."""
    draw = np.random.default_rng(8)
    made = pd.DataFrame({name: draw.gamma(2.0, 1.5, ROWS).astype(np.float32) for name in ("x0", "x1")})
    truth = 1 / (1 + np.exp(-_design(made) @ TRUE))
    keys = {
        "as_of": date(2024, 4, 1),
        "user_id": [f"u{n % 997}" for n in range(ROWS)],
        "product_id": [f"p{n}" for n in range(ROWS)],
    }
    return made.assign(**keys, truth=truth, label=(draw.random(ROWS) < truth).astype(np.int32), weight=1.0)


def _design(rows: pd.DataFrame) -> Vector:
    return np.column_stack([np.ones(len(rows)), *(np.log1p(rows[name]) for name in ("x0", "x1"))])


@pytest.fixture(scope="module")
def everyone(spark: SparkSession, world: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    file = tmp_path_factory.mktemp("world") / "pairs.parquet"
    world.to_parquet(file)
    return spark.read.parquet(str(file)).repartition(2, "user_id").sortWithinPartitions("user_id", "product_id").persist()


@pytest.fixture(scope="module")
def rate(world: pd.DataFrame) -> float:
    """The share of negatives that leaves fifty for each pair that was bought."""
    return float(50 * world["label"].sum() / (1 - world["label"]).sum())


@pytest.fixture(scope="module")
def sampled(everyone: DataFrame, rate: float) -> DataFrame:
    return sample_negatives(everyone, F.lit(rate), SEED).drop("truth").persist()


METHODS = (BalanceConfig(), *(BalanceConfig(method=method) for method in ("weights", "under", "over", "smote")))
SOME = (
    BalanceConfig(method="weights", ratio=7.0),
    BalanceConfig(method="under", ratio=3.0),
    BalanceConfig(method="over", ratio=2.5),
)


@pytest.mark.fit
@pytest.mark.parametrize("how", [*METHODS[:4], SOME[2]], ids=lambda how: f"{how.method}-{how.ratio}")
def test_corrected_probabilities_are_those_of_the_truth(
    how: BalanceConfig, everyone: DataFrame, world: pd.DataFrame, sampled: DataFrame, rate: float
) -> None:
    balanced = balance(sampled, FEATURES, how, SEED)
    fitted = FAMILIES["logistic"](balanced.rows, FEATURES, MODELS, SEED)
    task = Task(score=fitted.scorer.column, method="none", negative_rate=rate, odds=balanced.odds)
    scored = fast.score(everyone, [fitted.scorer], ["user_id", "label", "weight", "truth"])
    made = calibrate.fit_all(scored, {"logistic": task})["logistic"]
    mean = float(scored.agg(F.avg(made.apply(F.col(fitted.scorer.column)))).collect()[0][0])
    bought, kept = int(world["label"].sum()), 1 / balanced.odds if how.method == "under" else 1.0
    error = 3 * math.sqrt(1 / bought + 1 / (kept * 50 * bought))  # relative, of the buyers and of the negatives kept
    assert mean == pytest.approx(float(world["truth"].mean()), rel=error)
    found = json.loads(fitted.scorer.payload)
    corrected = np.array([found["intercept"] + made.shift, *found["coefficients"]])
    assert (np.abs(corrected - TRUE) < _errors(world, kept * rate)).all()


def _errors(world: pd.DataFrame, rate: float) -> Vector:
    """Four standard errors of the coefficients where that share of the negatives is learnt from, by Fisher's information."""
    x, p = _design(world), world["truth"].to_numpy()
    odds = p / (1 - p) / rate
    q = odds / (1 + odds)
    information = (x * ((p + rate * (1 - p)) * q * (1 - q))[:, None]).T @ x
    return np.asarray(4 * np.sqrt(np.diag(np.linalg.inv(information))))


@pytest.mark.fit
def test_after_smote_corrected_and_calibrated_probabilities_are_near_the_truth(
    everyone: DataFrame, world: pd.DataFrame, sampled: DataFrame, rate: float
) -> None:
    """The made rows lie closer together than bought ones: corrected odds are off by a little, and Platt mends their level."""
    balanced = balance(sampled, FEATURES, BalanceConfig(method="smote"), SEED)
    fitted = FAMILIES["logistic"](balanced.rows, FEATURES, MODELS, SEED)
    column, mean, bought = fitted.scorer.column, float(world["truth"].mean()), int(world["label"].sum())
    scored = fast.score(everyone, [fitted.scorer], ["user_id", "label", "weight", "truth"]).persist()

    def found(method: str, odds: float) -> tuple[float, float]:
        task = Task(score=column, method=method, negative_rate=rate, odds=odds)
        p = calibrate.fit_all(scored, {"it": task})["it"].apply(F.col(column))
        level, off = scored.agg(F.avg(p), F.avg(F.abs(p - F.col("truth")))).collect()[0]
        return level / mean, off / mean

    sampling = 3 / math.sqrt(bought)
    corrected, calibrated, plain = found("none", balanced.odds), found("platt", balanced.odds), found("none", 1.0)
    assert corrected[0] == pytest.approx(1, abs=0.1 + sampling)
    assert calibrated[0] == pytest.approx(1, abs=sampling)
    assert calibrated[1] < 0.12, "each for itself as well: off by less than an eighth of the mean"
    assert plain[0] > 10, "the correction is needed"


@pytest.mark.parametrize("how", [*METHODS[1:], *SOME], ids=lambda how: f"{how.method}-{how.ratio}")
def test_the_odds_are_what_is_in_the_rows(how: BalanceConfig, sampled: DataFrame) -> None:
    def odds(rows: DataFrame) -> float:
        weight = F.col(LEARN_WEIGHT) if LEARN_WEIGHT in rows.columns else F.lit(1.0)
        found = rows.agg(F.sum(weight * F.col("label")), F.sum(weight * (1 - F.col("label")))).collect()[0]
        return float(found[0] / found[1])

    balanced = balance(sampled, FEATURES, how, SEED)
    close = 0.06 if how.method in ("under", "over") else 1e-9  # by a hash: of the design, not of what was drawn
    assert odds(balanced.rows) / odds(sampled) == pytest.approx(balanced.odds, rel=close)
    if how.ratio:
        assert balanced.odds == pytest.approx(how.ratio, rel=1e-9)
    else:
        assert odds(balanced.rows) == pytest.approx(1.0, rel=max(close, 1e-3))


DDL = "as_of DATE, user_id STRING, product_id STRING, label INT, weight DOUBLE, x0 FLOAT, x1 FLOAT"
FEW = [("2024-04-01", f"u{n}", f"p{n}", int(n < 20), 1.0, float(n), float(n % 3)) for n in range(100)]


def test_repeated_rows_lie_together_and_stand_for_as_many_pairs_as_before(table: Callable[..., DataFrame]) -> None:
    given = table(DDL, *FEW).coalesce(1)
    found = balance(given, FEATURES, BalanceConfig(method="over", ratio=2.5), SEED).rows.toPandas()
    times = found.groupby("user_id", sort=False).size()
    assert list(times.index) == [f"u{n}" for n in range(100)], "in the order of the rows"
    assert list(found["user_id"]) == list(np.repeat(times.index, times))
    assert set(times[:20]) == {2, 3}
    assert set(times[20:]) == {1}
    assert found.groupby("user_id")["weight"].sum().to_numpy() == pytest.approx(np.ones(100))


@pytest.mark.parametrize("how", [SOME[2], METHODS[4]], ids=lambda how: how.method)
def test_repeated_and_made_rows_add_no_leaves_to_a_tree(how: BalanceConfig, table: Callable[..., DataFrame]) -> None:
    balanced = balance(table(DDL, *FEW), FEATURES, how, SEED).rows
    assert balanced.where("label = 1").count() > 40
    assert size(balanced)[:2] == (balanced.count(), 20)


def test_weights_multiply_those_that_are_there(table: Callable[..., DataFrame]) -> None:
    given = table(DDL, *FEW).withColumn(LEARN_WEIGHT, F.lit(2.0))
    found = balance(given, FEATURES, BalanceConfig(method="weights", ratio=5.0), SEED).rows.toPandas()
    assert set(zip(found["label"], found[LEARN_WEIGHT], strict=True)) == {(1, 10.0), (0, 2.0)}


@pytest.mark.parametrize("how", METHODS[1:], ids=lambda how: how.method)
def test_rows_of_which_half_was_bought_are_balanced_already(how: BalanceConfig, table: Callable[..., DataFrame]) -> None:
    given = table(DDL, *FEW[:40])
    balanced = balance(given, FEATURES, how, SEED)
    assert (balanced.rows, balanced.odds) == (given, 1.0)


def test_without_a_bought_row_there_is_nothing_to_balance_with(table: Callable[..., DataFrame]) -> None:
    with pytest.raises(InsufficientData, match=r"train\.balance\.method over needs bought pairs"):
        balance(table(DDL, *FEW[20:]), FEATURES, BalanceConfig(method="over"), SEED)


def test_flags_and_what_is_one_value_in_several_columns_are_nominal(table: Callable[..., DataFrame]) -> None:
    flags = [Feature(name=name, expression=name, description=name, unit="flag") for name in ("x1", "x2", "x3")]
    rows = [(*row[:6], row[6] % 2, float(n % 2), float(1 - n % 2)) for n, row in enumerate(FEW)]
    given = table(f"{DDL}, x2 FLOAT, x3 FLOAT", *rows)
    balanced = balance(given, [FEATURES[0], *flags], BalanceConfig(method="smote"), SEED, [("x2", "x3")])
    made = balanced.rows.where("weight = 0").toPandas()
    assert len(made) == 60
    assert set(made["x1"]) <= {0.0, 1.0}
    assert {tuple(pair) for pair in made[["x2", "x3"]].to_numpy()} <= {(0.0, 1.0), (1.0, 0.0)}
    assert (made["x0"] % 1 > 0).any(), "numbers are between"


@pytest.mark.fit
@pytest.mark.parametrize("family", ["lightgbm", "logistic"])
def test_weights_of_1_and_no_balancing_change_nothing(family: str, table: Callable[..., DataFrame]) -> None:
    models = ModelsConfig(lightgbm=LightGBMConfig(rounds=5, leaves=4, min_data_in_leaf=5))
    given = table(DDL, *FEW).coalesce(1).persist()
    plain = FAMILIES[family](given, FEATURES, models, SEED).scorer
    balanced = balance(given, FEATURES, BalanceConfig(), SEED)
    assert balanced.rows is given
    assert FAMILIES[family](balanced.rows, FEATURES, models, SEED).scorer.to_json() == plain.to_json()
    ones = given.withColumn(LEARN_WEIGHT, F.lit(1.0))
    assert FAMILIES[family](ones, FEATURES, models, SEED).scorer.to_json() == plain.to_json()
