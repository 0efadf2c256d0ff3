"""The level of a score lies within its interval about as often as is said, and the calibrated one always does."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark.judge import band, buckets, calibrate, intervals, segments
from propensity_spark.judge.calibrator import PROBABILITY, Calibrator
from propensity_spark.judge.isotonic import Vector
from propensity_spark.judge.task import Task

BLOCKS, USERS, EACH = 100, 600, 15
TIMES = intervals.drawn(BLOCKS, 100, seed=42)


def _truth(x: Vector) -> Vector:
    return np.asarray(1 / (1 + np.exp(-(0.4 + 0.8 * x))))


def _people(seed: int) -> pd.DataFrame:
    """Pairs of users who differ in how much they buy, those of one user stand together; the mean at a score is true."""
    draw = np.random.default_rng(seed)
    user = np.repeat(np.arange(USERS), EACH)
    x = draw.normal(-3.0, 1.0, USERS * EACH) + draw.normal(0, 0.5, USERS)[user]
    eager = draw.choice([0.5, 1.5], USERS)[user]  # on average 1, and no probability above 1
    label = draw.random(len(x)) < np.minimum(_truth(x) * eager, 1.0)
    return pd.DataFrame({"user": user, "x": x, "label": label.astype(int), "weight": 1.0})


def _buckets(people: pd.DataFrame) -> pd.DataFrame:
    """What buckets.collect makes of them, without Spark."""
    made = []
    for block, half, width in (
        (buckets.EVERYONE, people["user"] % 2, buckets.WIDTH),
        (people["user"] % BLOCKS, 0, buckets.COARSEST),
    ):
        bucket = np.floor(people["x"] / width).astype(int)
        rows = people.assign(block=block, half=half, bucket=bucket, y=people["label"] * people["weight"], at=people["x"])
        each = rows.groupby(["block", "half", "bucket"], as_index=False).agg(
            weight=("weight", "sum"), positives=("y", "sum"), x=("at", "mean")
        )
        made.append(each)
    return pd.concat(made).assign(name="m", by="", key="", value=0.0)


@pytest.mark.parametrize(("method", "least", "most"), [("platt", 0.8, 0.97), ("beta", 0.8, 0.97), ("isotonic", 0.82, 0.98)])
def test_nine_of_ten_score_bins_have_their_true_level_within(method: str, least: float, most: float) -> None:
    """Over twenty shops, of the bins of equal mass that each one's scores make."""
    inside, task = [], Task(score="s", method=method, blocks=BLOCKS)
    for seed in range(20):
        people = _people(seed)
        rows = _buckets(people)
        made = band.fit(rows, "m", calibrate.fit_buckets(rows, {"m": task})["m"], task, TIMES, 0.9)
        bins = np.array_split(np.sort(people["x"].to_numpy()), 10)
        middle = np.array([each.mean() for each in bins])
        low, high = _ends(made, middle)
        inside += list((low <= _truth(middle)) & (_truth(middle) <= high))
    assert least < np.mean(inside) < most, f"{np.mean(inside):.3f}"


def _ends(made: Calibrator, x: Vector) -> tuple[Vector, Vector]:
    """`Calibrator.ends` in numpy, of rows in no segment."""
    at, low, high = np.array(dict(made.band)[""]).T
    moved, p = made.moved(x), made.on(x)
    ends = [1 / (1 + np.exp(-np.interp(moved, at, end))) for end in (low, high)]
    return np.minimum(ends[0], p), np.maximum(ends[1], p)


def test_the_ends_leave_out_a_tenth_of_the_samples_half_on_each_side() -> None:
    rows, task = _buckets(_people(2)), Task(score="s", method="platt", blocks=BLOCKS)
    made = band.fit(rows, "m", calibrate.fit_buckets(rows, {"m": task})["m"], task, TIMES, 0.9)
    x, low, high = np.array(dict(made.band)[""]).T
    samples = band._samples(buckets.in_blocks(rows, "m", ""), TIMES)
    curves = np.array([band._curves(samples.of(n), made, task, x)[""] for n in range(1, 101)])
    assert (curves < low).mean() == pytest.approx(0.05, abs=0.011)
    assert (curves > high).mean() == pytest.approx(0.05, abs=0.011)


def test_of_more_users_more_is_known() -> None:
    task = Task(score="s", method="platt", blocks=BLOCKS)
    wide, narrow = [], []
    for people, kept in ((_people(1)[lambda rows: rows["user"] < 150], wide), (_people(1), narrow)):
        rows = _buckets(people)
        low, high = _ends(
            band.fit(rows, "m", calibrate.fit_buckets(rows, {"m": task})["m"], task, TIMES, 0.9), np.array([-4.0, -3.0])
        )
        kept.extend(high - low)
    assert (np.array(wide) > 1.4 * np.array(narrow)).all()


def _frame(spark: SparkSession) -> tuple[pd.DataFrame, DataFrame]:
    people = _people(3)
    before = (people["user"] + people.index) % 3 == 0
    people["label"] = np.where(before & (np.random.default_rng(1).random(len(people)) < 0.2), 1, people["label"])
    made = {"user_id": "u" + people["user"].astype(str), "label": people["label"], "weight": 1.0}
    raw = 1 / (1 + np.exp(-people["x"]))
    rows = pd.DataFrame({**made, "raw": raw, "pair_orders": np.where(before, 1.0, 0.0)})
    return rows, spark.createDataFrame(rows)


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
@pytest.mark.parametrize("by", [(), ("exists",)])
def test_in_spark_the_ends_rise_with_the_score_and_hold_the_probability(
    spark: SparkSession, method: str, by: tuple[str, ...]
) -> None:
    _, frame = _frame(spark)
    task = Task(score="raw", method=method, by=by, blocks=BLOCKS, negative_rate=0.7)
    found = buckets.collect(frame, {"m": task})
    made = band.fit(found, "m", calibrate.fit_buckets(found, {"m": task})["m"], task, TIMES, 0.9)
    assert (made.by, made.interval) == ("exists" if by else "", 0.9)
    assert {key for key, _ in made.band} == ({"", "new", "repeat"} if by else {""})
    assert all(len(knots) <= band.KNOTS for _, knots in made.band)
    grid = np.concatenate([[0.0, 1.0], np.linspace(1e-4, 0.999, 400)])
    asked = spark.createDataFrame([(float(s), before) for s in grid for before in (0.0, 1.0)], "raw DOUBLE, pair_orders DOUBLE")
    low, high = made.ends(asked.raw, made.apply(asked.raw))
    told = asked.select("raw", "pair_orders", low.alias("low"), made.apply(asked.raw).alias("p"), high.alias("high")).toPandas()
    assert ((told["low"] <= told["p"]) & (told["p"] <= told["high"])).all()
    assert told[["low", "high"]].to_numpy().min() > 0
    assert told[["low", "high"]].to_numpy().max() < 1
    for _, mine in told.sort_values("raw").groupby("pair_orders"):
        assert (np.diff(mine["low"]) >= -1e-12).all()
        assert (np.diff(mine["high"]) >= -1e-12).all()
        within = mine[mine["raw"].between(0.02, 0.3)]
        assert (within["high"] - within["low"]).between(0.001, 0.3).all(), "neither a point nor everything"
    assert Calibrator.from_json(made.to_json()) == made


def test_blocks_hold_every_row_once_and_change_nothing_else(spark: SparkSession) -> None:
    rows, frame = _frame(spark)
    plain = Task(score="raw", method="auto", by=("exists",))
    asked = {"with": replace(plain, blocks=BLOCKS), "without": plain}
    found = buckets.collect(frame, asked)
    for by in ("", "exists"):
        blocks = buckets.in_blocks(found, "with", by)
        assert (blocks["weight"].sum(), blocks["positives"].sum()) == (len(rows), rows["label"].sum())
        assert set(blocks["key"]) == ({"new", "repeat"} if by else {""})
    assert set(found[found["name"] == "without"]["block"]) == {buckets.EVERYONE}
    made = calibrate.fit_buckets(found, asked)
    assert made["with"] == made["without"]


def test_where_nothing_was_fitted_nothing_is_said() -> None:
    rows, task = _buckets(_people(1)), Task(score="s", method="none", blocks=BLOCKS)
    assert band.fit(rows, "m", task.corrected, task, TIMES, 0.9).band == ()


def test_segments_are_those_of_the_calibrator_whichever_are_large_in_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty categories as large as one another: of the twenty that have an offset each sample has some of its own twenty."""
    people = _people(1)
    rows = pd.concat([_buckets(people[people["user"] % 40 == k]).assign(by="category", key=f"c{k:02}") for k in range(40)])
    offsets = tuple((f"c{k:02}", 1.0) for k in range(20))
    made = Calibrator(kind=PROBABILITY, method="platt", by="category", offsets=offsets)
    asked = []

    def fit(*given: object) -> object:
        asked.append(segments.fit(*given))  # type: ignore[arg-type]
        return asked[-1]

    monkeypatch.setattr(band, "segments", SimpleNamespace(fit=fit, NONE=segments.NONE))
    task = Task(score="s", method="platt", by=("category",), blocks=BLOCKS)
    told = band.fit(rows, "m", made, task, TIMES[:31], 0.9)
    assert {key for key, _ in told.band} == {"", *(key for key, _ in offsets)}
    assert all({key for key, _ in each} <= {key for key, _ in offsets} for each in asked)
    assert min(map(len, asked)) > 15, "but for those of whom a sample has no user"


def test_of_too_few_samples_with_both_classes_nothing_is_said() -> None:
    """One block of users holds all purchases: a third of the samples miss it."""
    people = _people(1)
    people["label"] = ((people["user"] == 7) & (people.index % 2 == 0)).astype(int)
    rows, task = _buckets(people), Task(score="s", method="platt", blocks=BLOCKS)
    made = calibrate.fit_buckets(rows, {"m": task})["m"]
    assert band.fit(rows, "m", made, task, TIMES[:21], 0.9).band == ()
    assert band.fit(rows, "m", made, task, TIMES, 0.9).band != ()


def test_a_calibrator_from_before_there_were_intervals_tells_none(spark: SparkSession) -> None:
    old = json.loads(Calibrator(kind=PROBABILITY, method="platt").to_json())
    for later in ("band", "interval"):
        del old[later]
    made, frame = Calibrator.from_json(json.dumps(old)), spark.createDataFrame([(0.3,)], "raw DOUBLE")
    row = frame.select(
        *(end.alias(name) for end, name in zip(made.ends(frame.raw, made.apply(frame.raw)), ("low", "high"), strict=True))
    )
    assert row.dtypes == [("low", "double"), ("high", "double")]
    assert tuple(row.collect()[0]) == (None, None)
