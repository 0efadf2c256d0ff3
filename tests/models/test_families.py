"""One contract for every family: the obvious case is solved, and batches score as the Spark pipeline does."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException
from pyspark.ml import PipelineModel, util
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from propensity_spark.config import (
    ForestConfig,
    GBTConfig,
    KernelSVMConfig,
    LightGBMConfig,
    ModelsConfig,
    NetworkConfig,
    SplitConfig,
    SVMConfig,
    XGBoostConfig,
)
from propensity_spark.errors import RowsLost, TrainingFailed
from propensity_spark.features.spec import Feature
from propensity_spark.models import fast, native, trees, vectors
from propensity_spark.models.contract import LEARN_WEIGHT, Fitted
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.rounds import Rounds

pytestmark = pytest.mark.fit
FEATURES = tuple(
    Feature(name=name, expression=name, description=name, unit=unit)
    for name, unit in (("x0", "count"), ("x1", "days"), ("x2", "rate"))
)
SMALL = ModelsConfig(
    lightgbm=LightGBMConfig(rounds=20, leaves=7, min_data_in_leaf=5, random_share=0.0),
    svm=SVMConfig(max_iterations=20, positive_weight=1),
    kernel_svm=KernelSVMConfig(components=64, max_iterations=20, positive_weight=1),
    forest=ForestConfig(trees=8, depth=5, min_data_in_leaf=5),
    gbt=GBTConfig(rounds=6, depth=3, learning_rate=0.3, min_data_in_leaf=5),
    split=SplitConfig(family="logistic", column="level", min_positives=50, min_agreement=0),
    xgboost=XGBoostConfig(rounds=20, depth=3, learning_rate=0.3, min_child_weight=1, feature_fraction=1, l2=1),
    network=NetworkConfig(layers=(16,), dropout=0, learning_rate=0.02, batch_rows=64, epochs=8),
)
Fit = Callable[[str], Fitted]


@pytest.fixture(scope="module")
def toy(spark: SparkSession) -> DataFrame:
    """label = x0 > x1; a tenth of x2, which says nothing, is missing, and some of x1: never is long ago, so that the label is 0."""
    draw = np.random.default_rng(3)
    x = draw.uniform(0, 10, (800, 3))
    said = [(float(a), None if i % 16 == 0 else float(b), None if i % 10 == 0 else float(c)) for i, (a, b, c) in enumerate(x)]
    rows = [(i, a, b, c, int(b is not None and a > b)) for i, (a, b, c) in enumerate(said)]
    return (
        spark.createDataFrame(rows, "id INT, x0 FLOAT, x1 FLOAT, x2 FLOAT, label INT")
        .repartition(2, "id")
        .sortWithinPartitions("id")
        .withColumn("level", F.when(F.col("id") % 3 == 0, "third").otherwise("other"))
        .persist()
    )


@pytest.fixture(scope="module")
def fit(toy: DataFrame) -> Fit:
    """fit(family): the family on the toy, once for all tests."""
    return cache(lambda family: FAMILIES[family](toy, FEATURES, SMALL, 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_solves_the_obvious_case_both_ways(family: str, toy: DataFrame, fit: Fit) -> None:
    fitted = fit(family)
    batch = fast.score(toy, [fast.Scorer.from_json(fitted.scorer.to_json())], ["id", "label"]).toPandas().sort_values("id")
    column = fitted.scorer.column
    assert roc_auc_score(batch["label"], batch[column]) > 0.95
    spark_way = fitted.transform(toy).select("id", column).toPandas().sort_values("id")
    np.testing.assert_allclose(batch[column], spark_way[column], atol=1e-6)
    assert sum(fitted.importance.values()) == pytest.approx(1.0)
    assert fitted.importance["x2"] < 0.2


def test_where_the_jvm_has_no_lightgbm_the_model_stands_in_the_pipeline_as_it_is(
    toy: DataFrame, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ARM processors, for which SynapseML brings no library."""

    def absent(_: str) -> None:
        raise Py4JError("java.lang.UnsatisfiedLinkError: lightgbmlib")

    usual = fit("lightgbm")
    monkeypatch.setattr("synapse.ml.lightgbm.LightGBMClassificationModel.loadNativeModelFromString", absent)
    fitted = FAMILIES["lightgbm"](toy, FEATURES, SMALL, 1)
    assert (fitted.scorer, fitted.importance) == (usual.scorer, usual.importance)
    assert (usual.note, fitted.note[:14]) == ("", "SynapseML has ")

    def broken(_: str) -> None:
        raise Py4JError("java.lang.OutOfMemoryError")

    monkeypatch.setattr("synapse.ml.lightgbm.LightGBMClassificationModel.loadNativeModelFromString", broken)
    with pytest.raises(Py4JError, match="OutOfMemory"):
        FAMILIES["lightgbm"](toy, FEATURES, SMALL, 1)
    column = fitted.scorer.column
    told, expected = (each.transform(toy).select("id", column).toPandas().sort_values("id") for each in (fitted, usual))
    np.testing.assert_allclose(told[column], expected[column], atol=1e-6)


@pytest.mark.parametrize("family", ["logistic", "svm", "kernel_svm", "forest", "gbt"])
def test_a_fit_whose_rows_are_gone_fails_as_a_fit_and_says_what_to_do(family: str, spark: SparkSession) -> None:
    """As they are where an executor is lost that kept them."""
    context = spark.sparkContext._jsc
    before = set(context.getPersistentRDDs())
    kept = spark.range(9).selectExpr("CAST(id % 2 AS INT) AS label", *(f"CAST(id AS FLOAT) AS {f.name}" for f in FEATURES))
    rows = kept.localCheckpoint()
    for each in set(context.getPersistentRDDs()) - before:
        context.sc().unpersistRDD(each, True)
    with pytest.raises(RowsLost, match=rf"^the fit of {family} failed .*: Checkpoint block .* Set storage\.checkpoints"):
        FAMILIES[family](rows, FEATURES, SMALL, 1)


def test_a_query_that_cannot_be_meant_is_no_failed_fit(toy: DataFrame) -> None:
    with pytest.raises(AnalysisException):
        FAMILIES["logistic"](toy.drop("label"), FEATURES, SMALL, 1)


# Spark adds up what its tasks found in the order in which they end: the last digits of these models may differ.
ROUNDED = ("logistic", "svm", "kernel_svm", "gbt", "split")


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_rows_and_an_equal_seed_give_an_equal_scorer(family: str, toy: DataFrame, fit: Fit) -> None:
    again, before = FAMILIES[family](toy, FEATURES, SMALL, 1).scorer, fit(family).scorer
    if family not in ROUNDED:
        assert again == before
    one, two = (fast.score(toy, [s], ["id"]).toPandas().sort_values("id")[s.column].to_numpy() for s in (again, before))
    np.testing.assert_allclose(one, two, rtol=1e-6)


@pytest.fixture
def without_synapseml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark's own way of loading a pipeline's stages: once SynapseML is imported it refuses those of other Python packages."""
    spec = spec_from_file_location("pyspark_ml_util_as_shipped", util.__file__)
    assert spec is not None
    assert spec.loader is not None
    as_shipped = module_from_spec(spec)
    spec.loader.exec_module(as_shipped)
    own = staticmethod(as_shipped.DefaultParamsReader.loadParamsInstance)
    monkeypatch.setattr(util.DefaultParamsReader, "loadParamsInstance", own)


@pytest.mark.usefixtures("without_synapseml")
@pytest.mark.parametrize("family", ["kernel_svm", "xgboost", "network"])
def test_a_pipeline_with_a_stage_in_python_is_loaded_where_synapseml_is_not_imported(
    family: str, toy: DataFrame, fit: Fit, tmp_path: Path
) -> None:
    _saved_and_loaded(fit(family), toy.where("id < 50"), tmp_path / "pipeline")


@pytest.mark.parametrize("family", ["svm", "forest", "gbt"])
def test_a_pipeline_is_the_same_after_it_was_saved_and_loaded(family: str, toy: DataFrame, fit: Fit, tmp_path: Path) -> None:
    _saved_and_loaded(fit(family), toy.where("id < 50"), tmp_path / "pipeline")


def _saved_and_loaded(fitted: Fitted, some: DataFrame, folder: Path) -> None:
    fitted.pipeline.write().save(str(folder))
    back = replace(fitted, pipeline=PipelineModel.load(str(folder)))
    before, after = (f.transform(some).select("id", f.scorer.column).toPandas().sort_values("id") for f in (fitted, back))
    np.testing.assert_allclose(after[fitted.scorer.column], before[fitted.scorer.column], atol=1e-12)
    assert before[fitted.scorer.column].nunique() > 5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_counts_as_much_as_its_learn_weight_says(family: str, toy: DataFrame) -> None:
    """Where bought rows count tenfold, the odds of a purchase are higher by it."""
    some = toy.withColumn("label", (F.xxhash64("id") % 4 == 0).cast("int"))  # nothing tells them apart
    heavy = some.withColumn(LEARN_WEIGHT, F.when(F.col("label") == 1, 10.0).otherwise(1.0))

    def level(rows: DataFrame) -> float:
        fitted = FAMILIES[family](rows, FEATURES, SMALL, 1)
        return float(fast.score(some, [fitted.scorer], ["id"]).agg(F.avg(fitted.scorer.column)).collect()[0][0])

    assert level(some) < 0.4
    assert level(heavy) > 0.6


SPREAD = {"native": {}, "ring": {"tasks": 2}, "synapseml": {}}
ENGINES = {engine: replace(SMALL, lightgbm=replace(SMALL.lightgbm, engine=engine, **how)) for engine, how in SPREAD.items()}


@pytest.mark.parametrize("engine", ["ring", "synapseml"])
def test_equal_rows_give_an_equal_lightgbm_of_each_engine(toy: DataFrame, engine: str) -> None:
    one, two = (FAMILIES["lightgbm"](toy, FEATURES, ENGINES[engine], 1).scorer for _ in range(2))
    assert one == two


@pytest.mark.parametrize("engine", ["ring", "synapseml"])
def test_each_engine_finds_as_many_trees_and_as_good_ones(toy: DataFrame, engine: str) -> None:
    native, other = (FAMILIES["lightgbm"](toy, FEATURES, ENGINES[which], 1) for which in ("native", engine))
    assert native.facts["trees"] == other.facts["trees"] == SMALL.lightgbm.rounds
    scored = native.transform(toy).select("id", "label", F.col(native.scorer.column).alias("native"))
    both = scored.join(other.transform(toy).select("id", F.col(other.scorer.column).alias("other")), on="id").toPandas()
    assert roc_auc_score(both["label"], both["native"]) == pytest.approx(roc_auc_score(both["label"], both["other"]), abs=0.005)


@pytest.mark.parametrize(
    ("configured", "rows", "needed"),
    [
        (400, 100_000, 400),
        (400, 99_999, 399),
        (400, 10**9, 400),
        (400, 5_250, 21),
        (400, 5_249, 20),
        (400, 0, 20),
        (1000, 100_000, 400),
        (20, 10**9, 20),
        (5, 100, 5),
    ],
)
def test_a_leaf_needs_a_250th_of_the_rows_and_no_more_than_configured(configured: int, rows: int, needed: int) -> None:
    settings = LightGBMConfig(min_data_in_leaf=configured)
    assert trees.at_size(settings, rows) == replace(settings, min_data_in_leaf=needed)


@pytest.mark.parametrize("engine", ENGINES)
def test_few_rows_are_split_by_each_engine_with_the_leaves_of_a_large_shop(toy: DataFrame, engine: str) -> None:
    """Of 800 rows, of which a tree sees 640, no two leaves could have 400; both have 20 now."""
    tasks = {"ring": {"tasks": 2}}.get(engine, {})
    models = ModelsConfig(lightgbm=LightGBMConfig(rounds=3, leaves=7, engine=engine, random_share=0.0, **tasks))
    fitted = FAMILIES["lightgbm"](toy, FEATURES, models, 1)
    assert fitted.facts["min_data_in_leaf"] == 20
    assert "[min_data_in_leaf: 20]" in fitted.scorer.payload
    assert "num_leaves=1\n" not in fitted.scorer.payload, "each tree splits"


def test_the_ring_heeds_weights_and_says_nothing_of_where_it_was_trained(toy: DataFrame) -> None:
    heavy = toy.withColumn(LEARN_WEIGHT, F.when(F.col("label") == 1, 10.0).otherwise(1.0))
    plain, weighted = (FAMILIES["lightgbm"](rows, FEATURES, ENGINES["ring"], 1).scorer for rows in (toy, heavy))
    level = [fast.score(toy, [scorer], ["id"]).agg(F.avg(scorer.column)).collect()[0][0] for scorer in (plain, weighted)]
    assert level[1] > level[0] + 0.02
    assert "local_listen_port" not in plain.payload
    assert "[tree_learner: data]" in plain.payload, "else nothing was spread"


def test_the_engine_is_chosen_by_size_and_by_config() -> None:
    def chosen(rows: int, **settings: Any) -> str:
        return trees._engine(LightGBMConfig(rows_on_one_task=1000, **settings), rows, can_ring)

    can_ring = False
    assert [chosen(1000), chosen(1001), chosen(5, tasks=2)] == ["native", "synapseml", "synapseml"]
    assert chosen(5, engine="ring") == "ring", "what is named is not replaced, but refused"
    can_ring = True
    assert [chosen(1000), chosen(1001), chosen(5, tasks=2)] == ["native", "ring", "ring"]
    assert [chosen(5, engine="synapseml"), chosen(10**9, engine="native")] == ["synapseml", "native"]


def test_rows_are_learnt_from_in_their_order_whatever_order_they_come_in(toy: DataFrame) -> None:
    names = [feature.name for feature in FEATURES]
    batches = toy.withColumn("_order", F.monotonically_increasing_id()).select(
        "_order", F.col("label").cast("float").alias("_target"), F.lit(0).alias("_group"), *names
    )
    whole = pa.Table.from_pandas(batches.toPandas(), preserve_index=False)
    halves = [whole.slice(0, 300), whole.slice(300)]
    settings = {"objective": "binary", "num_leaves": 7, "bagging_fraction": 0.5, "bagging_freq": 1, "seed": 1, "verbosity": -1}
    task = native._task(tuple(names), {**settings, "num_threads": 1}, Rounds(5), False)
    made = [next(task(batch for half in order for batch in half.to_batches())) for order in (halves, halves[::-1])]
    assert made[0] == made[1]
    shuffled = whole.take(np.random.default_rng(0).permutation(whole.num_rows)).drop_columns("_order")
    other = shuffled.add_column(0, "_order", pa.array(range(whole.num_rows)))
    assert next(task(iter(other.to_batches()))) != made[0], "and their order matters: bagging draws by place"


def test_native_trees_end_where_held_users_no_longer_gain(toy: DataFrame) -> None:
    """Labels by luck: each tree that learns them harms the users whom it has not seen."""
    luck = toy.withColumn("label", (F.xxhash64("id") % 3 == 0).cast("int"))
    patient = replace(SMALL, lightgbm=replace(SMALL.lightgbm, rounds=200, learning_rate=0.3, early_stopping_rounds=5))
    fitted = FAMILIES["lightgbm"](luck, FEATURES, patient, 1)
    validation = fitted.curves["validation"]
    assert fitted.facts["trees"] == np.argmin(validation) + 1 == len(validation) - 5
    assert len(fitted.curves["train"]) == len(validation) < 200
    assert fitted.curves["train"][-1] < fitted.curves["train"][0]
    learnt = next(line for line in fitted.scorer.payload.splitlines() if line.startswith("internal_count="))
    assert int(learnt.removeprefix("internal_count=").split()[0]) > toy.count() / 2, "few are held out, most are learnt from"


@pytest.mark.parametrize("workers", [1, 2])
def test_xgboost_ends_where_held_users_no_longer_gain(toy: DataFrame, workers: int) -> None:
    luck = toy.withColumn("label", (F.xxhash64("id") % 3 == 0).cast("int"))
    patient = replace(SMALL, xgboost=replace(SMALL.xgboost, rounds=200, early_stopping_rounds=5, workers=workers))
    fitted = FAMILIES["xgboost"](luck, FEATURES, patient, 1)
    validation = fitted.curves["validation"]
    assert fitted.facts["trees"] == np.argmin(validation) + 1 == len(validation) - 5
    assert len(fitted.curves["train"]) == len(validation) < 200
    assert fitted.curves["train"][-1] < fitted.curves["train"][0]
    batch, spark_way = fast.score(luck, [fitted.scorer], ["id"]), fitted.transform(luck).select("id", fitted.scorer.column)
    both = (rows.toPandas().sort_values("id")[fitted.scorer.column] for rows in (batch, spark_way))
    np.testing.assert_allclose(*both, atol=1e-6)


@pytest.mark.parametrize("family", ["lightgbm", "xgboost"])
def test_a_fit_of_one_user_cannot_stop_early_and_is_made_all_the_same(toy: DataFrame, family: str) -> None:
    patient = replace(SMALL, **{family: replace(getattr(SMALL, family), rounds=6, early_stopping_rounds=2)})
    fitted = FAMILIES[family](toy.withColumn("user_id", F.lit("b")), FEATURES, patient, 1)
    assert fitted.facts["trees"] == 6
    assert "validation" not in fitted.curves


@pytest.mark.parametrize("engine", ["native", "ring"])
def test_the_last_rounds_alone_draw_their_thresholds_at_random(toy: DataFrame, engine: str) -> None:
    def thresholds(share: float) -> list[str]:
        drawn = replace(ENGINES[engine], lightgbm=replace(ENGINES[engine].lightgbm, rounds=8, random_share=share))
        model = FAMILIES["lightgbm"](toy, FEATURES, drawn, 1).scorer.payload
        return [line for line in model.splitlines() if line.startswith("threshold=")]

    exact, some, every = (thresholds(share) for share in (0.0, 0.75, 1.0))
    assert len(exact) == len(some) == len(every) == 8
    assert some[:2] == exact[:2]
    assert some[2] != exact[2]
    assert every[0] != exact[0]


def test_rows_with_nothing_to_split_on_are_refused(toy: DataFrame) -> None:
    with pytest.raises(TrainingFailed, match="nothing to split on"):
        native.fit_in_one_task(
            toy.where("id < 30"), "label", ["x0"], {"objective": "binary", "min_data_in_leaf": 20}, Rounds(5), 60
        )


def test_more_tasks_than_slots_are_refused_and_never_waited_for(toy: DataFrame) -> None:
    greedy = ModelsConfig(lightgbm=LightGBMConfig(rounds=2, tasks=99))
    with pytest.raises(TrainingFailed, match="only 2 task"):
        FAMILIES["lightgbm"](toy, FEATURES, greedy, 1)


def test_where_an_engine_fails_the_other_takes_over_if_config_says_so(toy: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise TrainingFailed("the ring broke")

    plain = FAMILIES["lightgbm"](toy, FEATURES, ENGINES["native"], 1)
    monkeypatch.setattr(trees, "_fit_on_slots", broken)
    ring = ENGINES["synapseml"]
    with pytest.raises(TrainingFailed, match="the ring broke"):
        FAMILIES["lightgbm"](toy, FEATURES, ring, 1)
    saved = FAMILIES["lightgbm"](toy, FEATURES, replace(ring, lightgbm=replace(ring.lightgbm, fallback="native")), 1)
    assert saved.scorer == plain.scorer
    assert saved.facts["fell_back"] == 1
    assert saved.note == "native took over, for synapseml failed: the ring broke"
    assert not plain.note


@pytest.mark.parametrize("unit", ["days", "rate", "count"])
def test_the_scales_of_spark_and_of_numpy_agree_on_every_value_and_on_none(table: Callable[..., DataFrame], unit: str) -> None:
    said = (0.0, 7.0, -3.0, 1e6, None)
    feature = Feature(name="a", expression="a", description="a", unit=unit)
    (scale, assemble), frame = vectors.scaled([feature], "vector"), table("a FLOAT", *((value,) for value in said))
    made = [float(row["vector"][0]) for row in assemble.transform(scale.transform(frame)).collect()]
    matrix = np.array([[np.nan if value is None else value] for value in said])
    np.testing.assert_allclose(made, vectors.scaler([unit])(matrix)[:, 0], atol=1e-6)
    if unit == "days":
        np.testing.assert_allclose(made, [1.0, 0.5, 1.0, 7 / (7 + 1e6), 0.0], rtol=1e-6)


def test_a_scorer_survives_text(table: Callable[..., DataFrame]) -> None:
    scorer = fast.Scorer("logistic", ("a",), ("days",), '{"coefficients": [2.0], "intercept": -1.0}')
    assert fast.Scorer.from_json(scorer.to_json()) == scorer
    row = fast.score(table("a FLOAT", (7.0,), (None,)), [scorer], ["a"]).toPandas()
    expected = 1 / (1 + np.exp(-np.array([2.0 * 0.5 - 1.0, -1.0])))  # seven days weigh half; never weighs nothing
    np.testing.assert_allclose(row["raw_logistic"], expected)


@pytest.mark.parametrize(("positives", "leaves"), [(0, 7), (11_999, 7), (12_000, 8), (30_000, 20), (94_500, 63), (10**9, 63)])
def test_few_purchases_fill_few_leaves(positives: int, leaves: int) -> None:
    assert trees.leaves_for(positives) == leaves
