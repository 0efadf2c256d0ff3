"""Calibrated scores are probabilities: they undo sampling and distortion, and claim no certainty that the rows do not give."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.isotonic import IsotonicRegression

from propensity_spark.errors import InsufficientData
from propensity_spark.judge import calibrate, isotonic
from propensity_spark.judge.baselines import BASELINES, KINDS, add_baselines
from propensity_spark.judge.calibrator import COUNT, PROBABILITY, REAL, Calibrator
from propensity_spark.judge.task import Task
from propensity_spark.models import focal

Make = Callable[..., DataFrame]


def test_the_prior_correction_undoes_a_sampling_of_negatives(table: Make) -> None:
    # a true rate of 2 % reads as .02 / (.02 + .98 x .2) where a fifth of the negatives was kept
    sampled = 0.02 / (0.02 + 0.98 * 0.2)
    frame = table("raw DOUBLE", (sampled,))
    made = Calibrator(kind=PROBABILITY, method="none", shift=float(np.log(0.2)))
    row = frame.select(made.apply(frame.raw).alias("p"))
    assert row.collect()[0].p == pytest.approx(0.02)


def test_the_correction_undoes_sampling_and_balancing_together(table: Make) -> None:
    # a fifth of the negatives kept, then a bought row counted threefold: odds of .02 / .98 are read fifteen times as high
    odds = 0.02 / 0.98 * 5 * 3
    rows = [("a", 1, 1.0, odds / (1 + odds)), ("b", 0, 1.0, odds / (1 + odds))]
    frame = table("user_id STRING, label INT, weight DOUBLE, raw DOUBLE", *rows)
    task = Task(score="raw", method="none", negative_rate=0.2, odds=3.0)
    made = calibrate.fit_all(frame, {"it": task})["it"]
    assert [row.p for row in frame.select(made.apply(frame.raw).alias("p")).collect()] == pytest.approx([0.02, 0.02])
    count = Task(score="raw", kind=COUNT, negative_rate=0.2, odds=3.0)
    assert count.shift == 0.0, "a count learnt from nothing"


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_a_focal_score_is_calibrated_through_its_link(spark: SparkSession, method: str) -> None:
    draw = np.random.default_rng(6)
    z = draw.normal(-1.0, 0.7, 8000)
    y = (draw.random(8000) < 1 / (1 + np.exp(-focal.logit_of(z, 2.0)))).astype(int)
    rows = [(f"u{i % 500}", int(b), 1.0, float(1 / (1 + np.exp(-a)))) for i, (a, b) in enumerate(zip(z, y, strict=True))]
    frame = spark.createDataFrame(rows, "user_id STRING, label INT, weight DOUBLE, raw DOUBLE")
    made = calibrate.fit_all(frame, {"it": Task(score="raw", method=method, focal_gamma=2.0)})["it"]
    found = frame.select(made.apply(frame.raw)).toPandas().iloc[:, 0].to_numpy()
    np.testing.assert_allclose(found, made.on(z), atol=1e-9)
    assert np.abs(found - 1 / (1 + np.exp(-focal.logit_of(z, 2.0)))).mean() < 0.02
    if method == "platt":
        assert (made.intercept, made.slope) == pytest.approx((0, 1), abs=0.1), "the link left nothing to mend"
    assert Calibrator.from_json(made.to_json()) == made
    np.testing.assert_allclose(made.corrected.on(z), 1 / (1 + np.exp(-focal.logit_of(z, 2.0))), err_msg="without what was fitted")


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic", "auto"])
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
    assert Calibrator.from_json(made.to_json()) == made


def test_one_class_cannot_be_calibrated(table: Make) -> None:
    frame = table("user_id STRING, label INT, weight DOUBLE, raw DOUBLE", ("a", 0, 1.0, 0.1), ("b", 0, 1.0, 0.2))
    with pytest.raises(InsufficientData, match="bought and not bought"):
        calibrate.fit(frame, "raw", "platt")


def test_a_score_that_says_nothing_is_calibrated_to_the_mean_rate(spark: SparkSession) -> None:
    # falling rates make one pool; its ends once fell outside of the fitted range and turned the whole map into NaN
    rows = [(f"u{i % 50}", int(i % 10 < 5 - i // 500), 1.0, float(np.log1p(i // 100) * 3.1)) for i in range(2000)]
    frame = spark.createDataFrame(rows, "user_id STRING, label INT, weight DOUBLE, n DOUBLE")
    made = calibrate.fit(frame, "n", "isotonic", kind=COUNT)
    found = frame.select(made.apply(frame.n).alias("p"), "label").toPandas()
    assert found["p"].notna().all()
    assert found["p"].mean() == pytest.approx(found["label"].mean(), abs=0.02)


def test_a_score_of_both_halves_of_the_users_is_one_knot(table: Make) -> None:
    rows = [(f"u{n}", n % 3, int(n % 7 < n % 3 * 2 + (n % 2)), 0.1 * (1 + n % 5)) for n in range(900)]
    scored = table("user_id STRING, seen INT, label INT, weight DOUBLE", *rows)
    knots = calibrate.fit(scored, "seen", "isotonic", kind=COUNT).knots
    assert len(knots) == 3
    assert [value for _, value in knots] == pytest.approx(
        [sum(w for _, s, y, w in rows if s == seen and y) / sum(w for _, s, _, w in rows if s == seen) for seen in range(3)]
    )


SCORED = "user_id STRING, seen INT, label INT, weight DOUBLE"


def _knots(table: Make, bought: dict[int, tuple[int, int]]) -> list[tuple[float, float]]:
    """The knots of users who saw a product `seen` times: of so many, so many bought."""
    rows = [(f"u{seen}-{n}", seen, int(n < buyers), 1.0) for seen, (users, buyers) in bought.items() for n in range(users)]
    made = calibrate.fit(table(SCORED, *rows), "seen", "isotonic", kind=COUNT)
    return [(float(np.expm1(x)), value) for x, value in made.knots]


@pytest.mark.parametrize("bought", [60, 150, 1000])
def test_a_line_through_the_pools_predicts_as_much_as_was_bought(bought: int) -> None:
    """Drawn through the centres of pools of a bell of logits it lies above them."""
    draw = np.random.default_rng(bought)
    for _ in range(5):
        x = np.sort(draw.normal(-4.0, 1.0, bought * 40))
        positives = (draw.random(len(x)) < 1 / (1 + np.exp(-x))).astype(float)
        made = calibrate.fit_points((x, np.ones(len(x)), positives), Calibrator(kind=PROBABILITY, method="none"), "isotonic")
        assert made.on(x).sum() == pytest.approx(positives.sum(), rel=1e-6)
        assert (np.diff([value for _, value in made.knots]) > 0).all()


@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_of_few_purchases_a_slope_is_learnt_with_caution(slope: float) -> None:
    """Around 1 it strays less than Platt's does; where it is far from 1, as a boosted model's may be, it goes most of the way."""
    draw, none = np.random.default_rng(3), Calibrator(kind=PROBABILITY, method="none")
    slopes: dict[str, list[float]] = {"shrunk": [], "platt": []}
    for _ in range(40):
        x = draw.normal(-5.5 / slope, 1.3 / slope, 4000)
        positives = (draw.random(4000) < 1 / (1 + np.exp(-slope * x))).astype(float)
        for method, found in slopes.items():
            made = calibrate.fit_points((x, np.ones(4000), positives), none, method)
            assert made.on(x).sum() == pytest.approx(positives.sum(), rel=1e-4)
            found.append(made.slope)
    assert np.std(slopes["shrunk"]) < np.std(slopes["platt"])
    assert np.mean(slopes["shrunk"]) == pytest.approx(slope, abs=0.12)
    assert Calibrator.from_json(made.to_json()) == made


@pytest.mark.parametrize(("bought", "is_few"), [(calibrate.FEW - 1, True), (calibrate.FEW, False)])
def test_few_purchases_do_not_choose_among_shapes(table: Make, bought: int, is_few: bool) -> None:
    rows = [(f"u{n}", int(n % 20 == 0 and n < bought * 20), 1.0, 0.02 + 0.01 * (n % 3)) for n in range(2000)]
    frame = table("user_id STRING, label INT, weight DOUBLE, raw DOUBLE", *rows)
    made = calibrate.fit(frame, "raw", "auto")
    assert (made.method == "shrunk", made.log_losses == ()) == (is_few, is_few)
    of_margins = calibrate.fit_all(frame, {"raw": Task(score="raw", is_margin=True)})["raw"]
    assert (of_margins.method == "platt") or not is_few, "of a margin nothing says that the slope is near 1"
    p = np.array([row[0] for row in frame.select(made.apply(frame.raw)).collect()])
    assert p.sum() == pytest.approx(bought, rel=1e-3)
    raw = np.array([row[3] for row in rows])
    np.testing.assert_allclose(made.on(np.log(raw / (1 - raw))), p, atol=1e-9)


def test_never_or_always_bought_among_a_few_is_not_certain(table: Make) -> None:
    seen = {0: (30, 0), 1: (10, 1), 2: (10, 5), 3: (8, 6), 4: (4, 4)}
    knots = _knots(table, seen)
    assert knots[1][0] == pytest.approx(2)  # what lies between stays as it is
    at, value = np.log1p([x for x, _ in knots]), np.array([value for _, value in knots])
    pools = np.array([1 / 40, 0.5, 10 / 12])
    moved = (value / (1 - value)) / (pools / (1 - pools))
    np.testing.assert_allclose(moved, moved[0], err_msg="by one offset")
    predicted = sum(users * np.interp(np.log1p(times), at, value) for times, (users, _) in seen.items())
    assert predicted == pytest.approx(16), "as much as was bought"


def test_a_score_that_parts_the_classes_in_two_is_still_not_certain(table: Make) -> None:
    assert [value for _, value in _knots(table, {0: (9, 0), 1: (3, 3)})] == pytest.approx([3 / 12])


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_a_real_score_of_any_scale_and_sign_is_calibrated_in_its_order(spark: SparkSession, scale: float) -> None:
    """scikit-learn's isotonic regression says the same of the same scores."""
    draw = np.random.default_rng(9)
    score = draw.normal(0.2, 0.4, 4000).round(2) * scale
    y = (draw.random(4000) < 1 / (1 + np.exp(2 - 3 * score / scale))).astype(int)
    rows = [(f"u{i % 80}", int(a), 1.0, float(b)) for i, (a, b) in enumerate(zip(y, score, strict=True))]
    frame = spark.createDataFrame(rows, "user_id STRING, label INT, weight DOUBLE, s DOUBLE")
    made = calibrate.fit(frame, "s", "auto", kind=REAL)
    assert made.method == "isotonic"
    p = np.array([row[0] for row in frame.select(made.apply(frame.s)).collect()])
    assert (np.diff(p[np.argsort(score, kind="stable")]) >= -1e-12).all()
    assert np.abs(p - IsotonicRegression().fit_transform(score, y)).mean() < 0.015


def test_every_baseline_has_a_kind_and_a_missing_fit_is_below_all_others(table: Make) -> None:
    assert set(KINDS) == set(BASELINES)
    rows = table("pair_orders FLOAT, product_buyers_recent FLOAT, als_score FLOAT", (1.0, 3.0, -0.4), (0.0, 9.0, None))
    known, missing = add_baselines(rows, 9.0).collect()
    assert known.als == pytest.approx(-0.4)
    assert missing.als < known.als
    assert (known.own_popular, missing.own_popular, missing.own) == (13.0, 9.0, 0.0)


def test_a_threshold_at_the_highest_level_holds_for_the_rows_of_that_level(table: Make) -> None:
    """y0 + (y1 - y0) is not always y1 in floating point."""
    draw = np.random.default_rng(1)
    pairs = np.sort(draw.random((3000, 2)) ** 6)
    ends = [(float(low), float(high)) for low, high in pairs if low + (high - low) < high]
    assert len(ends) >= 5
    frame = table("x DOUBLE", (2.0,), (3.0,))
    for low, high in ends[:5]:
        level = isotonic.segments(frame.x, ((1.0, low), (2.0, high)))
        assert [row[0] for row in frame.select(level).collect()] == [high, high]


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_a_floor_under_probabilities_adds_no_purchases_where_hardly_any_are_made(method: str) -> None:
    """Of 2,000 million pairs some 100 were bought."""
    draw = np.random.default_rng(4)
    x = np.sort(draw.normal(-18.0, 1.5, 2000))
    weight = np.full(2000, 1e6)
    positives = draw.poisson(weight / (1 + np.exp(-x))).astype(float)
    made = calibrate.fit_points((x, weight, positives), Calibrator(kind=PROBABILITY, method="none"), method)
    assert (weight * made.on(x)).sum() == pytest.approx(positives.sum(), rel=0.01)
