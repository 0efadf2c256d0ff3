"""A segment's predictions are brought to what was bought there, less where little is known, and only where it helps."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from propensity_spark.judge import buckets, calibrate, segments, thresholds
from propensity_spark.judge.calibrator import PROBABILITY, Calibrator
from propensity_spark.judge.task import Task


def _rows(n: int, seed: int, lifted: float, kinds: int = 3) -> pd.DataFrame:
    """Rows whose logit is `lifted` where the product was bought before; each category is like the others."""
    draw = np.random.default_rng(seed)
    x, before = draw.normal(-2.5, 1.0, n), draw.random(n) < 0.3
    p = 1 / (1 + np.exp(-(x + np.where(before, lifted, 0.0))))
    made = {"user_id": np.char.add("u", (np.arange(n) % 900).astype(str)), "label": (draw.random(n) < p).astype(int), "weight": 1.0}
    category = np.char.add("c", draw.integers(0, kinds, n).astype(str))
    return pd.DataFrame(
        {**made, "raw": 1 / (1 + np.exp(-x)), "pair_orders": np.where(before, 2.0, 0.0), "category": category, "p": p}
    )


def test_an_offset_is_the_shrunken_ratio_of_observed_to_predicted() -> None:
    p, weight = np.array([0.1, 0.3, 0.2, 0.2]), np.array([400.0, 100.0, 50.0, 10.0])
    keys = np.array(["a", "a", "b", ""])
    positives = np.array([60.0, 50.0, 0.0, 9.0])  # a: 110 where 70 were predicted, b: none where 10 were
    offsets = dict(segments.fit(p, weight, positives, keys, shrinkage=20.0))
    assert set(offsets) == {"a", "b"}, "rows in no segment have no offset"
    moved = segments.moved(p, keys, tuple(offsets.items()))
    assert (weight * moved)[:2].sum() == pytest.approx(70 * (110 + 20) / (70 + 20))
    assert (weight * moved)[2] == pytest.approx(10 * 20 / 30), "never bought among few is not certain"
    assert moved[3] == pytest.approx(0.2)
    assert dict(segments.fit(p, weight, positives, keys, 1e12))["a"] == pytest.approx(0, abs=1e-6)


def test_only_the_largest_segments_have_an_offset() -> None:
    many = np.array([f"k{n:03}" for n in range(segments.MOST + 9)])
    weight = np.arange(1.0, len(many) + 1)
    found = segments.fit(np.full(len(many), 0.2), weight, weight / 2, many, 1.0)
    assert [name for name, _ in found] == list(many[9:])


def test_a_level_of_its_own_is_found_applied_and_kept(spark: SparkSession) -> None:
    rows = _rows(30_000, 1, lifted=1.2)
    frame = spark.createDataFrame(rows.drop(columns="p"))
    made = calibrate.fit_all(frame, {"it": Task(score="raw", method="platt", by=("exists", "activity"), shrinkage=50.0)})["it"]
    assert (made.by, made.reads) == ("exists", ("pair_orders",)), "activity is not tried: the rows lack the user's orders"
    losses, offsets = dict(made.segment_losses), dict(made.offsets)
    assert set(losses) == {"none", "exists"}
    assert losses["exists"] < losses["none"] - 0.001
    assert offsets["repeat"] - offsets["new"] == pytest.approx(1.2, abs=0.15)
    found = np.array([row[0] for row in frame.select(made.apply(frame.raw)).collect()])
    assert np.abs(found - rows["p"]).mean() < 0.01
    for before in (0.0, 2.0):
        mine = rows["pair_orders"] == before
        assert found[mine].mean() == pytest.approx(rows["label"][mine].mean(), rel=0.05)
    x = np.log(rows["raw"] / (1 - rows["raw"])).to_numpy()
    np.testing.assert_allclose(found, made.on(x, np.where(rows["pair_orders"] > 0, "repeat", "new")), atol=1e-9)
    assert Calibrator.from_json(made.to_json()) == made
    assert made.corrected.by == "", "nothing fitted is left"


def test_segments_that_do_not_differ_get_nothing_and_it_is_said_why(spark: SparkSession) -> None:
    frame = spark.createDataFrame(_rows(20_000, 6, lifted=0.0, kinds=12).drop(columns="p"))
    made = calibrate.fit_all(frame, {"it": Task(score="raw", method="platt", by=("category",), shrinkage=1.0)})["it"]
    losses = dict(made.segment_losses)
    assert losses["category"] > losses["none"]
    assert (made.by, made.offsets, made.reads) == ("", (), ())


@pytest.mark.parametrize("seed", range(6))
def test_on_rows_to_come_the_default_never_costs_much(spark: SparkSession, seed: int) -> None:
    """Half of the time the segments are alike: what chance then accepts is shrunk to nothing that matters."""
    rows = _rows(24_000, 10 + seed, lifted=0.5 * (seed % 2))
    seen, later = rows[:8000], rows[8000:]
    task = Task(score="raw", method="platt", by=("exists",))
    made = calibrate.fit_all(spark.createDataFrame(seen.drop(columns="p")), {"it": task})["it"]
    x, keys = np.log(later["raw"] / (1 - later["raw"])).to_numpy(), np.where(later["pair_orders"] > 0, "repeat", "new")

    def loss(p: np.ndarray) -> float:
        """Against the true probability: no chance in what is bought."""
        return float(-(later["p"] * np.log(p) + (1 - later["p"]) * np.log1p(-p)).mean())

    gain = loss(made.on(x)) - loss(made.on(x, keys))
    assert gain > (0.0005 if seed % 2 else -0.0001)


def test_a_segment_never_seen_or_unknown_stays_at_the_overall_level(spark: SparkSession) -> None:
    made = Calibrator(kind=PROBABILITY, method="none", by="category", offsets=(("tea", 1.0),))
    rows = [(0.2, "tea"), (0.2, "jam"), (0.2, None)]
    frame = spark.createDataFrame(rows, "raw DOUBLE, category STRING")
    tea, jam, unknown = (row[0] for row in frame.select(made.apply(frame.raw)).collect())
    assert tea == pytest.approx(1 / (1 + 4 * np.exp(-1)))
    assert (jam, unknown) == pytest.approx((0.2, 0.2))


def test_of_very_many_segments_those_with_the_most_purchases_are_told_apart(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "MOST_KEYS", 2)
    made = [("much", 6), ("some", 3), ("more", 4), ("none", 0), (None, 0)]
    rows = [(f"u{n}", 0.2, 1.0, int(n < bought), name, 1.0) for name, bought in made for n in range(10)]
    frame = spark.createDataFrame(rows, "user_id STRING, raw DOUBLE, weight DOUBLE, label INT, category STRING, pair_orders DOUBLE")
    scored = spark.sparkContext.accumulator(0)

    def counted(pages: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for page in pages:
            scored.add(len(page))
            yield page

    frame = frame.mapInPandas(counted, frame.schema)
    found = buckets.collect(frame, {"it": Task(score="raw", by=("category", "exists"), blocks=5)})
    for mine in (found[found["block"] == buckets.EVERYONE], found[found["block"] != buckets.EVERYONE]):
        by_key = mine[mine["by"] == "category"].groupby("key")["positives"].sum()
        assert dict(by_key) == {"much": 6.0, "more": 4.0, "": 3.0}
    assert set(found[found["by"] == "exists"]["key"]) == {"repeat"}
    assert scored.value == len(rows), "a row is scored once"


def test_an_older_calibrator_has_no_segments() -> None:
    old = json.loads(Calibrator(kind=PROBABILITY, method="platt", slope=0.9).to_json())
    for later in ("slope_high", "by", "offsets", "segment_losses"):
        del old[later]
    assert Calibrator.from_json(json.dumps(old)) == Calibrator(kind=PROBABILITY, method="platt", slope=0.9)


def test_thresholds_count_rows_at_the_level_of_their_segment(spark: SparkSession) -> None:
    rows = _rows(5000, 3, lifted=1.5)
    frame = spark.createDataFrame(rows.drop(columns="p"))
    tasks = {"m": Task(score="raw", method="platt", by=("exists",))}
    found = buckets.collect(frame, tasks)
    made = calibrate.fit_buckets(found, tasks)["m"]
    assert made.by == "exists"
    p = np.array([row[0] for row in frame.select(made.apply(F.col("raw"))).collect()])
    levels = thresholds.levels(found, "m", made)
    assert levels.pairs[-1] == 5000
    for at in range(20, len(levels.threshold), 40):
        inside = [(p >= levels.threshold[at] * off).sum() for off in (1.01, 0.99)]  # to a bucket of a hundredth of a logit
        assert inside[0] <= levels.pairs[at] <= inside[1]
