"""The network: what embeddings add and what they do not, when it stops, several workers, and its refusals."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from propensity_spark.config import EmbeddingsConfig, ModelsConfig, NetworkConfig
from propensity_spark.errors import SetupError, TrainingFailed
from propensity_spark.features.spec import Feature
from propensity_spark.models import fast, packages
from propensity_spark.models.contract import Fitted
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.keys import Key
from propensity_spark.models.perceptron import Perceptron, Standard

X = (Feature(name="x", expression="x", description="x", unit="count"),)
SMALL = NetworkConfig(layers=(16,), dropout=0, learning_rate=0.02, batch_rows=128, epochs=10, validation_share=0.2)
PRODUCTS = 20
fit = pytest.mark.fit


@pytest.fixture(scope="module")
def shop(spark: SparkSession) -> DataFrame:
    """Who likes `x` buys, and every other product is bought whatever `x` is; one row in forty has no product."""
    draw = np.random.default_rng(5)
    product, x, luck = draw.integers(0, PRODUCTS, 2400), draw.normal(size=2400), draw.normal(size=2400)
    rows = [
        (i, f"user{i % 300}", None if i % 40 == 0 else f"product{p}", float(a), int(a + b + (4 if p % 2 else -4) > 0))
        for i, (p, a, b) in enumerate(zip(product, x, luck, strict=True))
    ]
    ddl = "id INT, user_id STRING, product_id STRING, x FLOAT, label INT"
    return spark.createDataFrame(rows, ddl).repartition(2, "id").sortWithinPartitions("id").persist()


def _fit(rows: DataFrame, columns: tuple[str, ...] = ("product_id",), features: tuple[Feature, ...] = X, **settings: Any) -> Fitted:
    changed = replace(SMALL, embeddings=EmbeddingsConfig(columns=columns, weight_decay=0.01), **settings)
    return FAMILIES["network"](rows, features, ModelsConfig(network=changed), 1)


@pytest.fixture(scope="module")
def embedded(shop: DataFrame) -> Fitted:
    """With an embedding of products; the rows lack a category."""
    return _fit(shop, ("product_id", "category"))


def _scores(rows: DataFrame, fitted: Fitted) -> np.ndarray:
    scored = fast.score(rows, [fitted.scorer], ["id", "label"]).toPandas().sort_values("id")
    return scored[fitted.scorer.column].to_numpy()


def _auc(rows: DataFrame, fitted: Fitted) -> float:
    scored = fast.score(rows, [fitted.scorer], ["label"]).toPandas()
    return float(roc_auc_score(scored["label"], scored[fitted.scorer.column]))


@fit
def test_embeddings_learn_of_a_product_what_no_number_shows(shop: DataFrame, embedded: Fitted) -> None:
    assert embedded.scorer.keys == (Key("product_id", 20_000),), "the rows have no category"
    assert _auc(shop, embedded) > 0.95
    assert _auc(shop, _fit(shop, ())) < 0.75
    assert embedded.importance["product_id"] > 0.5
    assert sum(embedded.importance.values()) == pytest.approx(1)


@fit
def test_a_product_never_seen_scores_as_none_and_by_its_numbers(shop: DataFrame, embedded: Fitted) -> None:
    some = shop.where("id < 200")
    unseen, none = some.withColumn("product_id", F.lit("new")), some.withColumn("product_id", F.lit(None).cast("string"))
    np.testing.assert_array_equal(_scores(unseen, embedded), _scores(none, embedded))
    assert np.abs(_scores(unseen, embedded) - _scores(some, embedded)).max() > 0.2
    assert np.ptp(_scores(unseen, embedded)) > 0.2, "its numbers still tell"


@fit
def test_batches_and_the_pipeline_read_keys_alike(shop: DataFrame, embedded: Fitted) -> None:
    column = embedded.scorer.column
    spark_way = embedded.transform(shop).select("id", column).toPandas().sort_values("id")[column]
    scorer = fast.Scorer.from_json(embedded.scorer.to_json())
    assert scorer == embedded.scorer
    np.testing.assert_allclose(_scores(shop, replace(embedded, scorer=scorer)), spark_way, atol=1e-6)


@fit
def test_it_stops_once_the_validation_loss_has_not_fallen_for_so_long_and_keeps_the_best(shop: DataFrame) -> None:
    """Labels by luck: what is learnt of users whom the validation lacks cannot help there."""
    luck = shop.withColumn("label", (F.xxhash64("id") % 2 == 0).cast("int"))
    fitted = _fit(luck, epochs=60, patience=2, layers=(64,))
    validation, facts = fitted.curves["validation"], fitted.facts
    assert facts["epochs"] == len(validation) == len(fitted.curves["train"]) < 60
    assert facts["best_epoch"] == np.argmin(validation) + 1 == len(validation) - 2
    assert facts["validation_loss"] == min(validation)
    shorter = _fit(luck, epochs=int(facts["best_epoch"]), patience=2, layers=(64,))
    assert shorter.scorer == fitted.scorer, "what it learnt after its best epoch is forgotten"


@fit
def test_without_validation_users_it_learns_to_the_end(shop: DataFrame) -> None:
    fitted = _fit(shop, epochs=2, validation_share=0)
    assert list(fitted.curves) == ["train"]
    assert fitted.facts["best_epoch"] == 2
    assert fitted.curves["train"][1] < fitted.curves["train"][0]


@fit
def test_two_workers_share_the_rows_and_learn_as_much(shop: DataFrame, embedded: Fitted, capfd: pytest.CaptureFixture[str]) -> None:
    two = _fit(shop, workers=2)
    assert two.facts["workers"] == 2
    assert _auc(shop, two) == pytest.approx(_auc(shop, embedded), abs=0.02)
    assert two.curves["validation"][0] != embedded.curves["validation"][0], "their batches differ"
    assert "".join(capfd.readouterr()) == "", "nothing is told on our screen"


@fit
def test_more_workers_than_slots_are_refused_and_never_waited_for(shop: DataFrame) -> None:
    with pytest.raises(TrainingFailed, match=r"network\.workers is 99, but only 2 task"):
        _fit(shop, workers=99, timeout_seconds=10)


def test_without_torch_it_says_how_to_get_it(shop: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"pip install 'propensity_spark\[network\]'"):
        _fit(shop)


@fit
def test_rows_of_one_class_teach_nothing(shop: DataFrame) -> None:
    with pytest.raises(TrainingFailed, match="all bought, or all not"):
        _fit(shop.where("label = 1"))


def test_a_key_falls_into_one_bucket_whatever_its_type_and_none_into_0(table: Callable[..., DataFrame]) -> None:
    rows = table("n INT, big BIGINT, text STRING", (7, 7, "7"), (8, 8, "8"), (None, None, None))
    made = rows.select(*(Key(name, 5).bucket() for name in rows.columns)).toPandas().to_numpy()
    assert (made[:, 0] == made[:, 1]).all()
    assert (made[:, 0] == made[:, 2]).all()
    assert made[2, 0] == 0
    many = table("n INT", *((n,) for n in range(200))).select(Key("n", 5).bucket()).toPandas().to_numpy()
    assert set(many[:, 0]) == {1, 2, 3, 4, 5}


def test_a_scorer_of_an_older_text_has_no_keys() -> None:
    scorer = fast.Scorer("logistic", ("a",), ("days",), "{}", keys=(Key("user_id", 9),))
    assert scorer.columns == ("a", "_bucket_user_id_9")
    parts = json.loads(scorer.to_json())
    del parts["keys"]
    assert fast.Scorer.from_json(json.dumps(parts)) == replace(scorer, keys=())


def _by_hand(dense: list[float], embedded: list[float]) -> float:
    """Two hidden numbers, of two dense inputs and an embedding of one."""
    first = [*dense, *embedded]
    hidden = [max(0.0, sum(w * x for w, x in zip(row, first, strict=True)) + b) for row, b in zip(WEIGHTS, BIAS, strict=True)]
    return 0.5 * hidden[0] - 2.0 * hidden[1] + 0.25


WEIGHTS, BIAS = [[1.0, -1.0, 2.0], [0.5, 0.25, -1.0]], [0.1, -0.2]


@pytest.fixture
def small() -> Perceptron:
    """Of a count (mean 1, deviation 2 of its signed logarithm), of a flag for it (0.25, 0.5), and of three buckets."""
    standard = Standard(("count", "rate"), np.array([0, 2]), np.array([1.0, 0.25]), np.array([2.0, 0.5]))
    table = np.array([[0.0], [3.0], [0.0]], dtype=np.float32)
    first = (np.array(WEIGHTS, dtype=np.float32).T, np.array(BIAS, dtype=np.float32))
    last = (np.array([[0.5], [-2.0]], dtype=np.float32), np.array([0.25], dtype=np.float32))
    return Perceptron(standard, (table,), (first, last))


def test_a_network_says_what_it_says_by_hand_and_after_a_way_through_text(small: Perceptron) -> None:
    rows = np.array([[np.e - 1, 9.0, 1], [np.nan, 9.0, 0], [np.e**2 - 1, np.nan, 2], [1e30, 0.0, 1]])
    expected = [
        _by_hand([0.0, -0.5], [3.0]),
        _by_hand([-0.5, 1.5], [0.0]),  # missing is as 0, and flagged; no key
        _by_hand([0.5, -0.5], [0.0]),
        _by_hand([10.0, -0.5], [3.0]),  # no farther than ten deviations
    ]
    np.testing.assert_allclose(small.margin(rows), expected, rtol=1e-6)
    again = Perceptron.from_text(small.to_text())
    np.testing.assert_array_equal(again.margin(rows), small.margin(rows))
    assert [len(t) for t in again.tables] == [3]


def test_what_a_network_uses_are_its_slopes_and_what_its_embeddings_move(small: Perceptron) -> None:
    rows = np.array([[np.e - 1, 9.0, 1], [np.e**2 - 1, 9.0, 1]])  # dense 0 and 0.5, flag -0.5, embedding 3
    step = 1e-3  # of a standardised input: no hidden number changes its sign
    sides = [np.array([_by_hand([x + step * a, -0.5 + step * b], [3.0]) for x in (0.0, 0.5)]) for a, b in ((0, 0), (1, 0), (0, 1))]
    along = [np.abs((side - sides[0]) / step).mean() for side in sides[1:]]
    moved = np.mean([3 * abs(_by_hand([x, -0.5], [3.0 + step]) - _by_hand([x, -0.5], [3.0])) / step for x in (0.0, 0.5)])
    np.testing.assert_allclose(small.uses(rows), [sum(along), 0, moved], rtol=1e-4)


def test_inputs_that_do_not_vary_are_left_out() -> None:
    standard = Standard.of(("count", "days"), np.array([1.0, 5.0, 0.0, 0.5]), np.array([2.0, 0.0, 0.0, 0.5]))
    assert standard.places.tolist() == [0, 3]
    np.testing.assert_allclose(standard(np.array([[np.e - 1, np.nan]])), [[0.0, 1.0]])
