"""Encoders are learnt from the training dates alone, give Spark and plain Python the same numbers, and never fail on a value."""

import json
import math
import re
import zlib
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler, TargetEncoder

from propensity_spark.config import ENCODERS, SCALERS, EncoderConfig, ModelsConfig
from propensity_spark.errors import ConfigError, InsufficientData, MissingColumns, PropensityError
from propensity_spark.features import encoders
from propensity_spark.features.encoding import summary, target
from propensity_spark.features.encoding.hashing import bucket_of
from propensity_spark.features.encoding.values import checksum_of, level_of
from propensity_spark.models import fast
from propensity_spark.models.families import FAMILIES

Make = Callable[..., DataFrame]
DAY, NEXT = date(2024, 4, 1), date(2024, 5, 1)
ROW = "as_of DATE, user_id STRING, label INT, weight DOUBLE, c STRING, x DOUBLE"
EVERY = tuple(EncoderConfig(column="x" if how in SCALERS else "c", how=how) for how in ENCODERS)
NASTY = (None, "", " ", "NaN", "null", "True", "ü", "日本", "a'b\"", "\x00", "a" * 500, "🦆")


def _rows(spark: SparkSession, *rows: tuple[Any, ...]) -> DataFrame:
    """(user_id, label, c, x) or (user_id, label, c, x, weight), all of DAY."""
    return spark.createDataFrame([(DAY, r[0], r[1], *(r[4:] or (1.0,)), r[2], r[3]) for r in rows], ROW)


def _random(spark: SparkSession, count: int, seed: int) -> DataFrame:
    """Rows of 40 users with weights that doubles cannot hold, some values missing, one in ten levels nasty."""
    draw = np.random.default_rng(seed)
    levels = [
        NASTY[draw.integers(len(NASTY))] if draw.random() < 0.1 else f"level {int(draw.exponential(5))}" for _ in range(count)
    ]
    numbers = [None if draw.random() < 0.1 else float(draw.normal(3, 10)) for _ in range(count)]
    users, labels = draw.integers(0, 40, count), draw.random(count) < 0.3
    weights = np.where(labels, 1.0, 1 / 0.3)
    return _rows(
        spark,
        *((f"u{u}", int(y), c, x, float(w)) for u, y, c, x, w in zip(users, labels, levels, numbers, weights, strict=True)),
    )


def _fit(rows: DataFrame, *declared: EncoderConfig) -> encoders.Fitted:
    return encoders.fit(rows, declared, [DAY], seed=5)


def _values(frame: DataFrame, name: str) -> list[Any]:
    return [row[name] for row in frame.select(name).collect()]


def _of(fitted: encoders.Fitted, name: str, values: Sequence[Any]) -> list[float]:
    columns = {encoding.column for encoding in fitted.encodings}
    return fitted.transform_values(dict.fromkeys(columns, values))[name].tolist()


BY_HAND = (
    EncoderConfig(column="c", how="index"),
    EncoderConfig(column="c", how="frequency"),
    EncoderConfig(column="c", how="one_hot", levels=2, name="cat"),
    EncoderConfig(column="c", how="hash", buckets=7, signed=True, name="signed"),
    *(EncoderConfig(column="c", how=how, levels=1, name=f"one_{how}") for how in ("index", "frequency")),
    EncoderConfig(column="c", how="target", levels=1, name="one_target", shrinkage=2.0),
)


@pytest.fixture(scope="module")
def few(spark: SparkSession) -> DataFrame:
    """b three times, a and d twice, lamp once, missing once; 4 of 9 rows bought."""
    levels = ["b", "b", "b", "d", "d", "a", "a", "lamp", None]
    labels = [1, 1, 0, 0, 0, 1, 0, 1, 0]
    return _rows(spark, *((f"u{i}", y, c, float(i)) for i, (y, c) in enumerate(zip(labels, levels, strict=True)))).persist()


@pytest.fixture(scope="module")
def by_hand(few: DataFrame) -> encoders.Fitted:
    """BY_HAND on the few rows."""
    return _fit(few, *BY_HAND)


@pytest.fixture(scope="module")
def many(spark: SparkSession) -> DataFrame:
    """Five hundred random rows."""
    return _random(spark, 500, 1).persist()


@pytest.fixture(scope="module")
def every(many: DataFrame) -> encoders.Fitted:
    """One encoder of every kind on the random rows."""
    return _fit(many, *EVERY)


# levels


def test_an_index_falls_by_frequency_and_ties_go_by_value(by_hand: encoders.Fitted) -> None:
    assert _of(by_hand, "c_index", ["b", "a", "d", "lamp", "never seen", None]) == [0, 1, 2, 3, 4, 5]


def test_a_frequency_is_a_share_of_rows(by_hand: encoders.Fitted) -> None:
    assert _of(by_hand, "c_frequency", ["b", "a", "never seen", None]) == pytest.approx([3 / 9, 2 / 9, 0, 1 / 9])


def test_weight_counts_as_rows(spark: SparkSession) -> None:
    rows = _rows(spark, ("u", 0, "light", None, 1.0), ("u", 0, "light", None, 1.0), ("u", 1, "heavy", None, 6.0))
    fitted = _fit(rows, *(EncoderConfig(column="c", how=how) for how in ("index", "frequency")))
    assert _of(fitted, "c_index", ["heavy", "light"]) == [0, 1]
    assert _of(fitted, "c_frequency", ["heavy", "light", "never seen", None]) == [0.75, 0.25, 0, 0]


def test_one_hot_has_a_column_for_the_most_frequent_others_and_missing(by_hand: encoders.Fitted) -> None:
    ends = ("1", "2", "other", "missing")
    made = np.column_stack([_of(by_hand, f"cat_{end}", ["b", "a", "d", "never seen", None]) for end in ends])
    np.testing.assert_array_equal(made, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    meant = {feature.name: feature.description for feature in by_hand.features}
    assert [meant[f"cat_{end}"] for end in ends] == ["c is 'b'", "c is 'a'", "c is any other value", "c is missing"]


def test_one_hot_is_that_of_scikit_learn(spark: SparkSession) -> None:
    levels = [f"l{i}" for i in range(8) for _ in range(i + 1)]
    theirs = OneHotEncoder(max_categories=5, handle_unknown="infrequent_if_exist", sparse_output=False)
    theirs.fit(np.array(levels, dtype=object)[:, None])
    fitted = _fit(_rows(spark, *(("u", 0, c, None) for c in levels)), EncoderConfig(column="c", how="one_hot", levels=4))
    asked = [*levels, "never seen"]
    mine = np.column_stack([_of(fitted, f"c_one_hot_{end}", asked) for end in (4, 3, 2, 1, "other")])  # theirs go by name
    np.testing.assert_array_equal(mine, theirs.transform(np.array(asked, dtype=object)[:, None]))


def test_levels_beyond_the_table_are_one_with_their_common_rate(by_hand: encoders.Fitted) -> None:
    assert _of(by_hand, "one_index", ["b", "a", "never seen", None]) == [0, 1, 1, 2]
    assert _of(by_hand, "one_frequency", ["b", "a", "never seen", None]) == pytest.approx([3 / 9, 0, 0, 1 / 9])
    prior = 4 / 9
    rates = [(2 + 2 * prior) / (3 + 2), *[(2 + 2 * prior) / (5 + 2)] * 2, 2 * prior / (1 + 2)]
    assert _of(by_hand, "one_target", ["b", "a", "never seen", None]) == pytest.approx(rates)


# target encoding


def test_target_encoding_is_that_of_scikit_learn_and_unseen_is_the_overall_rate(spark: SparkSession) -> None:
    draw = np.random.default_rng(2)
    levels, labels = draw.integers(0, 20, 300).astype(str), draw.integers(0, 2, 300)
    theirs = TargetEncoder(smooth=7.0, target_type="binary").fit(levels[:, None], labels)
    rows = _rows(spark, *((f"u{i}", int(y), str(c), None) for i, (c, y) in enumerate(zip(levels, labels, strict=True))))
    fitted = _fit(rows, EncoderConfig(column="c", how="target", shrinkage=7.0))
    np.testing.assert_allclose(_of(fitted, "c_target", levels), theirs.transform(levels[:, None])[:, 0], rtol=1e-12)
    assert _of(fitted, "c_target", ["never seen"]) == pytest.approx([labels.mean()])
    np.testing.assert_allclose(_values(fitted.transform(rows), "c_target"), _of(fitted, "c_target", levels), rtol=0)


def test_out_of_fold_is_what_the_other_folds_say(spark: SparkSession) -> None:
    declared = EncoderConfig(column="c", how="target", shrinkage=3.0, folds=4, levels=6)
    rows = _random(spark, 400, 8).withColumn("fold", target.fold(5, 4)).persist()
    plain = rows.collect()
    assert {row.fold for row in plain} == {0, 1, 2, 3}
    fitted = _fit(rows, declared)
    table = fitted.encodings[0].values  # type: ignore[union-attr]

    def place(level: str | None) -> str | None:
        return level if level is None or level in table else "any other"

    def oracle(row: Any) -> float:
        others = [r for r in plain if r.fold != row.fold]
        prior = sum(r.weight * r.label for r in others) / sum(r.weight for r in others)
        mine = [r for r in others if place(r.c) == place(row.c)]
        return float((sum(r.weight * r.label for r in mine) + 3 * prior) / (sum(r.weight for r in mine) + 3))

    assert {place(row.c) for row in plain} == {*table, None, "any other"}
    np.testing.assert_allclose(_values(fitted.out_of_fold(rows), "c_target"), [oracle(row) for row in plain], rtol=1e-6)


def test_a_users_labels_never_enter_her_own_encodings(many: DataFrame) -> None:
    declared = [EncoderConfig(column="c", how="target", shrinkage=m, name=name) for m, name in ((0.0, "estimated"), (2.0, "given"))]
    user = many.first().user_id  # type: ignore[union-attr]
    hers = F.col("user_id") == user
    flipped = many.withColumn("label", F.when(hers, 1 - F.col("label")).otherwise(F.col("label")))
    before, after = (_fit(frame, *declared).out_of_fold(frame).toPandas() for frame in (many, flipped))
    mine = before["user_id"] == user
    for name in ("estimated", "given"):
        assert before[name][mine].tolist() == after[name][mine].tolist()
        assert before[name][~mine].tolist() != after[name][~mine].tolist()


def test_noise_with_many_levels_tells_nothing_out_of_fold(spark: SparkSession) -> None:
    draw = np.random.default_rng(4)
    labels, levels = (draw.random(6000) < 0.3).astype(int), draw.integers(0, 1500, 6000)
    rows = _rows(spark, *((f"u{i}", int(y), f"l{c}", None) for i, (y, c) in enumerate(zip(labels, levels, strict=True))))
    fitted = _fit(rows, EncoderConfig(column="c", how="target", shrinkage=1.0))
    in_sample, held_out = (_values(f, "c_target") for f in (fitted.transform(rows), fitted.out_of_fold(rows)))
    assert roc_auc_score(labels, in_sample) > 0.75
    assert 0.46 < roc_auc_score(labels, held_out) < 0.54


def test_the_shrinkage_is_found_where_the_levels_truly_differ() -> None:
    draw = np.random.default_rng(6)
    rows = draw.integers(20, 200, 3000).astype(float)
    truth = draw.beta(0.1 * 50, 0.9 * 50, 3000)  # worth 50 rows of the overall rate
    assert target.estimate(rows, draw.binomial(rows.astype(int), truth).astype(float)) == pytest.approx(51, rel=0.15)


def test_levels_that_do_not_differ_are_shrunk_away() -> None:
    draw = np.random.default_rng(7)
    rows = np.full(500, 100.0)
    encoded = target.shrink(rows, draw.binomial(100, 0.2, 500).astype(float), 0.0)
    assert np.ptp(encoded) < 0.02
    assert target.estimate(np.array([5.0]), np.array([2.0])) == 1e9  # one level: nothing to compare
    assert target.estimate(np.ones(9), np.arange(9) % 2.0) == 1e9  # one row each: no variance within


def test_a_single_user_leaves_nothing_to_learn_from(spark: SparkSession) -> None:
    rows = _rows(spark, ("ann", 1, "a", None), ("ann", 1, "b", None))
    fitted = _fit(rows, EncoderConfig(column="c", how="target"))
    assert _values(fitted.out_of_fold(rows), "c_target") == [0.0, 0.0]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=30), st.sampled_from([0.0, 0.5, 20.0]))
def test_a_shrunk_rate_lies_between_the_levels_and_the_overall_rate(counts: list[tuple[int, int]], shrinkage: float) -> None:
    rows = np.array([max(pair) for pair in counts], dtype=float)
    bought = np.array([min(pair) for pair in counts], dtype=float)
    encoded = target.shrink(rows, bought, shrinkage)
    prior = bought.sum() / rows.sum() if rows.sum() else 0.0
    own = np.where(rows > 0, bought / np.maximum(rows, 1), prior)
    assert (encoded >= np.minimum(own, prior) - 1e-12).all()
    assert (encoded <= np.maximum(own, prior) + 1e-12).all()


# hashing


def test_a_hash_is_crc32_of_utf8_everywhere(few: DataFrame, by_hand: encoders.Fitted) -> None:
    assert [checksum_of(text) for text in ("", "lamp", "日本")] == [0, 0x99F75266, zlib.crc32("日本".encode())]
    assert bucket_of(0x99F75266, 7) == 6
    row = by_hand.transform(few).where("c = 'lamp'").first().asDict()  # type: ignore[union-attr]
    assert [row[f"signed_{bucket}"] for bucket in range(7)] == [0, 0, 0, 0, 0, 0, -1]


@pytest.mark.parametrize("form", ["{}", "P{:06d}", "category {}", "sku-{:x}-eu"])
def test_buckets_and_signs_are_filled_evenly(form: str) -> None:
    codes = [checksum_of(form.format(number)) for number in range(8000)]
    for buckets in (7, 16, 64):
        filled = np.bincount([bucket_of(code, buckets) for code in codes], minlength=buckets)
        assert ((filled - filled.mean()) ** 2 / filled.mean()).sum() / (buckets - 1) < 2  # chi-square over its expectation
    assert sum(code >> 31 for code in codes) == pytest.approx(4000, rel=0.1)


def test_a_missing_value_is_in_no_bucket(by_hand: encoders.Fitted) -> None:
    hits = [np.abs(_of(by_hand, f"signed_{bucket}", [None, "", "a"])) for bucket in range(7)]
    assert np.sum(hits, axis=0).tolist() == [0, 1, 1]


# scaling

THEIRS = {"standard": StandardScaler(), "min_max": MinMaxScaler(clip=True), "robust": RobustScaler()}
_DRAW = np.random.default_rng(1)
SHAPES = {"normal": _DRAW.normal(5, 2, 301), "skewed": _DRAW.lognormal(0, 2, 301), "distant": 1e9 + _DRAW.normal(0, 1, 301)}
CONSTANT = {"unknown": [], "once": [4.0], "always": [4.0] * 301, "tenths": [0.1] * 7}


@pytest.fixture(scope="module")
def scaled(spark: SparkSession) -> encoders.Fitted:
    """Every dividing scaler of every shape and of every constant, fitted at once."""
    columns = {name: [*map(float, x), *[None, math.nan] * 301][:303] for name, x in {**SHAPES, **CONSTANT}.items()}
    ddl = "as_of DATE, user_id STRING, label INT, weight DOUBLE, " + ", ".join(f"{name} DOUBLE" for name in columns)
    rows = spark.createDataFrame([(DAY, "u", 0, 1.0, *x) for x in zip(*columns.values(), strict=True)], ddl)
    return _fit(rows, *(EncoderConfig(column=column, how=how) for column in columns for how in THEIRS))


@pytest.mark.parametrize("how", THEIRS)
@pytest.mark.parametrize("shape", SHAPES)
def test_scalers_are_those_of_scikit_learn(scaled: encoders.Fitted, how: str, shape: str) -> None:
    numbers = SHAPES[shape]
    asked = np.array([*numbers, -1e6, 1e6])
    theirs = THEIRS[how].fit(numbers[:, None]).transform(asked[:, None])[:, 0]
    np.testing.assert_allclose(_of(scaled, f"{shape}_{how}", asked), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("how", THEIRS)
@pytest.mark.parametrize("constant", CONSTANT)
def test_a_constant_or_unknown_column_gives_zero(scaled: encoders.Fitted, how: str, constant: str) -> None:
    assert _of(scaled, f"{constant}_{how}", [4.0, 0.1, 99.0, None]) == [0, 0, 0, 0]


def test_weights_count_in_scalers_as_so_many_rows(spark: SparkSession) -> None:
    draw = np.random.default_rng(5)
    numbers, times = draw.normal(0, 1, 60), draw.integers(1, 6, 60)
    weighted = _rows(spark, *(("u", 0, None, float(x), float(w)) for x, w in zip(numbers, times, strict=True)))
    repeated = _rows(spark, *(("u", 0, None, float(x)) for x in np.repeat(numbers, times)))
    declared = [EncoderConfig(column="x", how=how, fill="mean") for how in ("standard", "robust", "min_max")]
    one, other = (_fit(rows, *declared).transform_values({"x": numbers}) for rows in (weighted, repeated))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-9)


def test_missing_numbers_are_filled_and_flagged(spark: SparkSession) -> None:
    rows = _rows(spark, *(("u", 0, None, x) for x in (1.0, 2.0, 9.0, None, math.nan, math.inf)))
    fills = {"median": 2.0, "mean": 4.0, "constant": -7.0}
    declared = [
        EncoderConfig(column="x", how="impute", fill=fill, name=fill, constant=-7.0 if fill == "constant" else 0.0)
        for fill in fills
    ]
    fitted = _fit(rows, *declared)
    for fill, value in fills.items():
        assert _of(fitted, fill, [5.0, None, math.nan, math.inf, -math.inf]) == pytest.approx([5.0, *[value] * 4])
        assert _of(fitted, f"{fill}_missing", [5.0, None, math.nan, math.inf, -math.inf]) == [0, 1, 1, 1, 1]


def test_log_keeps_the_sign(spark: SparkSession) -> None:
    fitted = _fit(_rows(spark, ("u", 0, None, 3.0)), EncoderConfig(column="x", how="log"))
    assert _of(fitted, "x_log", [0.0, math.e - 1, 1 - math.e, None]) == pytest.approx([0, 1, -1, math.log(4)])


def test_where_the_middle_half_is_one_value_robust_goes_by_the_deviation(spark: SparkSession) -> None:
    numbers = [0.0] * 9 + [10.0]
    fitted = _fit(_rows(spark, *(("u", 0, None, x) for x in numbers)), EncoderConfig(column="x", how="robust"))
    assert _of(fitted, "x_robust", [0.0, 10.0]) == pytest.approx([0, 10 / np.std(numbers)])


def test_the_largest_doubles_are_scaled_to_finite_numbers(spark: SparkSession) -> None:
    huge = [-1.7e308, 1.7e308, 5e-324, 0.0]
    rows = _rows(spark, *(("u", 0, None, x) for x in huge))
    fitted = _fit(rows, *(EncoderConfig(column="x", how=how) for how in SCALERS))
    assert _of(fitted, "x_min_max", huge) == pytest.approx([0, 1, 0.5, 0.5])
    assert _of(fitted, "x_standard", huge[:2]) == pytest.approx([-math.sqrt(2), math.sqrt(2)])
    for vector in fitted.transform_values({"x": huge}).values():
        assert np.isfinite(vector).all()


@given(st.lists(st.floats(allow_subnormal=True) | st.none(), max_size=20))
def test_no_number_fails_or_comes_out_as_none(numbers: list[float | None]) -> None:
    seen = summary.Summary(low=-2.0, high=5.0, mean=1.0, deviation=1e-300, lower=0.0, median=1.0, upper=2.0)
    for how in SCALERS:
        made = encoders.scaling.fit(EncoderConfig(column="x", how=how), seen).encode(numbers)
        assert all(np.isfinite(vector).all() for vector in made)


def test_many_rows_have_the_quartiles_of_a_hashed_part_of_them(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "EXACT_ROWS", 500)
    rows = _rows(spark, *((f"u{i}", 0, None, float(i)) for i in range(4000)))
    found = [
        summary.summarise(frame, ["x"], {"x"})["x"] for frame in (rows, rows.repartition(5, "x").sortWithinPartitions(F.desc("x")))
    ]
    assert found[0] == found[1]
    assert found[0].mean == pytest.approx(1999.5, rel=1e-9)
    assert 0 < abs(found[0].median - 1999.5) < 250


# together


def test_spark_and_plain_python_give_the_same_numbers(
    spark: SparkSession, every: encoders.Fitted, by_hand: encoders.Fitted
) -> None:
    fitted = encoders.Fitted((*every.encodings, *by_hand.encodings[2:]))
    strange = [*NASTY, "never seen", "level 1", *["level 2"] * 4]
    numbers = [None, math.nan, math.inf, -math.inf, -0.0, 0.0, 1e308, -1e308, 5e-324, 1e-9, 1e9, 3.0, 2.5, -7.0, 1.0, 2.0, 3.0, 4.0]
    frame = _random(spark, 1500, 2).union(_rows(spark, *(("u", 0, c, x) for c, x in zip(strange, numbers, strict=True)))).persist()
    there, plain = fitted.transform(frame).toPandas(), frame.collect()
    here = fitted.transform_values({name: [row[name] for row in plain] for name in ("c", "x")})
    arrays = fitted.transform_values({"c": there["c"].to_numpy(), "x": there["x"].to_numpy()})
    assert list(here) == [feature.name for feature in fitted.features] == list(there.columns[6:])
    for name, vector in here.items():
        close = 1e-14 if name == "x_log" else 0.0  # two libraries' logarithms
        np.testing.assert_allclose(vector, there[name], rtol=close, err_msg=name)
        np.testing.assert_array_equal(vector, arrays[name], err_msg=name)
        assert np.isfinite(vector).all(), name


def test_whole_numbers_truth_and_dates_are_levels_too(spark: SparkSession) -> None:
    ddl = "as_of DATE, user_id STRING, label INT, weight DOUBLE, n INT, b BOOLEAN, d DATE"
    rows = spark.createDataFrame(
        [
            (DAY, "u", 0, 1.0, 3, True, DAY),
            (DAY, "u", 1, 1.0, 3, True, DAY),
            (DAY, "u", 1, 1.0, -4, False, NEXT),
            (DAY, "u", 1, 1.0, *[None] * 3),
        ],
        ddl,
    )
    fitted = _fit(rows, *(EncoderConfig(column=column, how="index") for column in "nbd"))
    frame = fitted.transform(rows).toPandas()  # n is double here: it has a gap
    made = fitted.transform_values({column: frame[column].to_numpy() for column in "nbd"})
    for column in "nbd":
        assert made[f"{column}_index"].tolist() == frame[f"{column}_index"].tolist() == [0, 0, 1, 3]


@settings(max_examples=200)
@given(st.none() | st.text() | st.integers() | st.floats() | st.booleans() | st.dates() | st.binary(max_size=5))
def test_no_value_fails_as_a_level(value: object) -> None:
    text = level_of(value)
    assert (text is None) == (value is None or value != value)
    if text is not None:
        assert 0 <= checksum_of(text) < 2**32


def test_rows_of_other_dates_and_without_label_teach_nothing(spark: SparkSession, many: DataFrame, every: encoders.Fitted) -> None:
    later = _random(spark, 300, 4).withColumn("as_of", F.lit(NEXT))
    unknown = _random(spark, 50, 5).withColumn("label", F.lit(None).cast("int"))
    more = many.union(later).union(unknown)
    assert _fit(more, *EVERY) == every
    assert encoders.fit(more, EVERY, [DAY, NEXT], seed=5) != every


def test_neither_order_nor_partitions_matter(many: DataFrame, every: encoders.Fitted) -> None:
    other = _fit(many.repartition(5, "x").sortWithinPartitions(F.desc("weight"), "c"), *EVERY)
    assert json.dumps(other.to_plain()) == json.dumps(every.to_plain())
    held = [[getattr(encoding, "held_out", None) for encoding in fitted.encodings] for fitted in (every, other)]
    assert held[0] == held[1]


def test_encoders_survive_text_and_refuse_another_format(many: DataFrame, every: encoders.Fitted) -> None:
    plain = json.loads(json.dumps(every.to_plain(), allow_nan=False))
    again = encoders.Fitted.from_plain(plain)
    assert again == every
    assert again.features == every.features
    with pytest.raises(PropensityError, match="fit them again"):
        again.out_of_fold(many)
    with pytest.raises(PropensityError, match="format 9, known is 1; train again"):
        encoders.Fitted.from_plain({**plain, "format": 9})


def test_encoding_keeps_the_rows_and_their_order(many: DataFrame, every: encoders.Fitted) -> None:
    rows = many.repartition(3, "user_id").sortWithinPartitions("x").persist()
    assert every.out_of_fold(rows).select(*rows.columns).collect() == rows.collect()


def test_without_encoders_nothing_changes(many: DataFrame) -> None:
    nothing = _fit(many)
    assert nothing == encoders.Fitted() == encoders.Fitted.from_plain(nothing.to_plain())
    assert nothing.transform(many) is nothing.out_of_fold(many) is many


@pytest.mark.fit
def test_a_model_learns_from_encoded_columns_and_scores_them_both_ways(spark: SparkSession) -> None:
    draw = np.random.default_rng(3)
    levels = draw.integers(0, 30, 900)
    labels = draw.random(900) < np.where(levels < 10, 0.95, 0.05)
    made = ((f"u{i}", int(y), f"level {c}", float(i)) for i, (y, c) in enumerate(zip(labels, levels, strict=True)))
    rows = _rows(spark, *made).persist()
    fitted = _fit(rows, EncoderConfig(column="c", how="target"), EncoderConfig(column="x", how="standard"))
    model = FAMILIES["logistic"](fitted.out_of_fold(rows), fitted.features, ModelsConfig(), 1)
    unseen = fitted.transform(rows)
    batch = fast.score(unseen, [model.scorer], ["x", "label"]).toPandas()
    assert roc_auc_score(batch["label"], batch[model.scorer.column]) > 0.9
    np.testing.assert_allclose(batch[model.scorer.column], model.transform(unseen).toPandas()[model.scorer.column], atol=1e-6)


# bad input


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"how": "onehot"}, r"encoders\.c\.how must be one of index, one_hot, .*got 'onehot'"),
        ({"how": "target", "folds": 1}, r"encoders\.c\.folds must be in \[2, 100\], got 1"),
        ({"how": "target", "shrinkage": -1.0}, r"encoders\.c\.shrinkage must be in"),
        ({"how": "one_hot", "levels": 501}, r"encoders\.c\.levels must be in \[0, 500\], got 501"),
        ({"how": "hash", "buckets": 1}, r"encoders\.c\.buckets must be in \[2, 1024\]"),
        ({"how": "log", "fill": "mode"}, r"encoders\.c\.fill must be one of median, mean, constant"),
        ({"how": "log", "constant": 1.0}, r"encoders\.c\.constant needs fill: constant, got fill: median"),
        ({"how": "index", "folds": 3}, r"encoders\.c\.folds is for target, and this one is index: leave it out"),
        ({"how": "log", "levels": 3}, r"encoders\.c\.levels is for index, one_hot, frequency, target"),
        ({"how": "index", "name": "my c"}, r"encoders\.c\.name must be letters"),
        ({"how": "index", "column": "my c"}, r"encoders\.column must be letters"),
        ({"how": "target", "column": "user_id"}, r"^encoders\.user_id\.how: target .* nobody shares a user_id; choose frequency"),
        ({"how": "index", "size": 3}, r"unknown key encoders\[0\]\.size"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(config: Callable[..., Any], declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(encoders=[{"column": "c", **declared}])


def test_two_encoders_of_one_name_are_refused(config: Callable[..., Any]) -> None:
    twice = {"column": "c", "how": "index"}
    assert len(config(encoders=[twice, {**twice, "name": "other"}]).encoders) == 2
    with pytest.raises(ConfigError, match=r"encoders need names of their own, got \['c_index', 'c_index'\]: give one a `name`"):
        config(encoders=[twice, twice])


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            {"column": "colour", "how": "index"},
            "encoders: index of colour: there is no such column among those of a pair: as_of, c, ",
        ),
        ({"column": "x", "how": "index"}, "encoders: index of x needs text, .* but the column is DOUBLE; choose another encoder"),
        ({"column": "c", "how": "log"}, "encoders: log of c needs a number, but the column is STRING"),
        ({"column": "c", "how": "index", "name": "x"}, "two columns would be called x; give one of the encoders another `name`"),
    ],
)
def test_a_column_that_cannot_be_encoded_is_named(few: DataFrame, declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _fit(few, EncoderConfig(**declared))


def test_nothing_is_learnt_from_no_rows(few: DataFrame) -> None:
    for how, column in (("index", "c"), ("standard", "x")):
        with pytest.raises(InsufficientData, match="no labelled rows as of 2024-05-01"):
            encoders.fit(few, [EncoderConfig(column=column, how=how)], [NEXT], 1)


def test_a_column_that_is_absent_later_is_named(few: DataFrame, by_hand: encoders.Fitted) -> None:
    with pytest.raises(MissingColumns, match=r"lacks \['c'\]"):
        by_hand.transform(few.drop("c"))
    with pytest.raises(MissingColumns, match=r"lacks \['c'\]"):
        by_hand.transform_values({"x": [1.0]})


def test_the_readmes_encoders_are_ones_that_can_be_declared(config: Callable[..., Any]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^    encoders:\n(?:      - .*\n)+", readme, flags=re.MULTILINE)
    assert block is not None
    assert [encoder.how for encoder in config(**yaml.safe_load(block[0])).encoders] == ["one_hot", "target", "robust"]
