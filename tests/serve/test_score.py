"""The score table tells between which probabilities a score's level lies, where the run knows it, and orders lists as before."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql import DataFrame

from propensity_spark.judge.calibrator import PROBABILITY, Calibrator
from propensity_spark.models.fast import Scorer
from propensity_spark.schemas import PROPENSITY
from propensity_spark.serve.bundle import Bundle
from propensity_spark.serve.registry import Run
from propensity_spark.serve.score import propensities

Make = Callable[..., DataFrame]
KNOTS = ((-4.0, -5.0, -3.5), (0.0, -0.2, 0.1), (4.0, 3.0, 5.0))
PLAIN = Calibrator(kind=PROBABILITY, method="none")
SURE = replace(PLAIN, band=(("", KNOTS), ("repeat", KNOTS)), interval=0.9, by="exists", offsets=(("repeat", 2.0),))


def _run(calibrator: Calibrator) -> Run:
    bundle = Bundle(
        shop="shop",
        as_of=date(2024, 4, 1),
        horizon_days=28,
        champion="logistic",
        feature_version="v",
        scorers={"logistic": Scorer("logistic", ("a",), ("days",), "{}")},
        calibrators={"logistic": calibrator},
        versions={"logistic": "3"},
    )
    return Run("r1", bundle)


@pytest.mark.parametrize("calibrator", [PLAIN, SURE])
def test_the_ends_stand_beside_the_score_or_are_null(table: Make, calibrator: Calibrator) -> None:
    ddl = "as_of DATE, user_id STRING, product_id STRING, candidate_source STRING, raw_logistic DOUBLE, ranking_score DOUBLE"
    rows = [("2024-04-01", "u", p, "touched", s, s, n) for p, s, n in (("a", 0.5, 0.0), ("b", 0.2, 3.0))]
    scored = table(f"{ddl}, pair_orders DOUBLE", *rows)
    products = table("as_of DATE, product_id STRING, product_price DOUBLE", ("2024-04-01", "a", 10.0))
    made = propensities(scored, products, _run(calibrator))
    assert tuple(made.columns) == PROPENSITY.columns
    a, b = made.orderBy("product_id").collect()
    assert (a["rank"], b["rank"]) == (1, 2)
    assert a.propensity == pytest.approx(0.5)
    assert a.expected_value == pytest.approx(5.0)
    if calibrator is PLAIN:
        assert (a.propensity_low, a.propensity_high) == (None, None)
        return
    assert (a.propensity_low, a.propensity_high) == pytest.approx((0.45017, 0.52498), abs=1e-4)
    assert b.propensity == pytest.approx(0.2 / (0.2 + 0.8 * 2.718281828**-2), abs=1e-6)
    assert b.propensity_high == b.propensity, "beyond what the samples say it is still within"
    assert b.propensity_low < b.propensity
