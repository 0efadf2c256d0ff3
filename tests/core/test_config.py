"""Each section checks itself: the limits are allowed, a step beyond is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from propensity_spark.config import (
    Config,
    EntityConfig,
    FeatureConfig,
    ModelsConfig,
    ShopConfig,
    StorageConfig,
    TimeConfig,
    TrackingConfig,
)
from propensity_spark.errors import ConfigError
from propensity_spark.loading import from_mapping

SOURCE: dict[str, Any] = {
    "name": "log",
    "path": "log.csv",
    "map": {"user_id": "u", "product_id": "p", "event_ts": "t"},
    "event": "purchase",
}
BY_ITS_EVENTS: dict[str, Any] = {"event": "", "map": {**SOURCE["map"], "event": "e"}}
Make = Callable[..., Config]


def _nested(key: str, value: object) -> dict[str, Any]:
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return nested


@pytest.mark.parametrize(
    ("key", "low", "below", "high", "above"),
    [
        ("quality.future_minutes", 0, -1, 1440, 1441),
        ("quality.max_price", 0, -0.01, 1e15, 1.1e15),
        ("quality.max_rejected_share", 0, -0.01, 1, 1.01),
        ("quality.bot_events_per_day", 10, 9, 10_000_000, 10_000_001),
        ("quality.bot_events_per_minute", 5, 4, 1_000_000, 1_000_001),
        ("sessions.gap_minutes", 1, 0, 240, 241),
        ("features.half_life_days", 0.1, 0.09, 3650, 3651),
        ("features.history_days", 90, 89, 3650, 3651),
        ("features.version", 1, 0, 1_000_000, 1_000_001),
        ("features.last_events", 0, -1, 1000, 1001),
        ("models.ranker.rounds", 0, -1, 100_000, 100_001),
        ("models.ranker.truncation", 1, 0, 10_000, 10_001),
        ("train.calibration_share", 0, -0.1, 0.9, 0.91),
        ("population.days", 1, 0, 3650, 3651),
        ("candidates.touched", 0, -1, 100_000, 100_001),
        ("candidates.popular_days", 1, 0, 3650, 3651),
        ("candidates.together_neighbours", 1, 0, 10_000, 10_001),
        ("candidates.affinity", 0, -1, 100_000, 100_001),
        ("candidates.history", 1, 0, 10_000, 10_001),
        ("candidates.products", 2, 1, 20_000, 20_001),
        ("cold_start.products", 0, -1, 100_000, 100_001),
        ("cold_start.new_days", 0, -1, 3650, 3651),
        ("cold_start.category_strength", 0, -0.1, 1e9, 1.1e9),
        ("cold_start.product_strength", 0, -0.1, 1e9, 1.1e9),
        ("cold_start.segment_strength", 0, -0.1, 1e9, 1.1e9),
        ("labels.horizon_days", 1, 0, 730, 731),
        ("train.dates", 1, 0, 104, 105),
        ("train.step_days", 0, -1, 365, 366),
        ("train.negative_rate", 0.0001, 0.00009, 1, 1.01),
        ("train.negatives.favour", 1, 0.99, 1000, 1001),
        ("train.min_rows", 0, -1, 10**10, 10**10 + 1),
        ("train.max_rows", 1000, 999, 10**10, 10**10 + 1),
        ("audit.suspicious_auc", 0.5, 0.49, 0.99, 1.01),
        ("audit.leak_auc", 0.95, 0.94, 1, 1.01),
        ("audit.leak_missing_auc", 0.5, 0.49, 1, 1.01),
        ("audit.min_coverage", 0, -0.01, 1, 1.01),
        ("audit.min_positives", 1, 0, 10**9, 10**9 + 1),
        ("audit.max_rows", 500, 499, 1_000_000, 1_000_001),
        ("audit.users", 0, -1, 10_000, 10_001),
        ("models.lightgbm.leaves", 2, 1, 4096, 4097),
        ("models.lightgbm.random_share", 0, -0.01, 1, 1.01),
        ("models.lightgbm.leaves", 0, -1, 4096, 4097),
        ("models.lightgbm.focal_gamma", 0, -0.1, 10, 10.1),
        ("models.lightgbm.early_stopping_rounds", 0, -1, 100_000, 100_001),
        ("models.lightgbm.timeout_seconds", 10, 9, 10**6, 10**6 + 1),
        ("models.logistic.elastic_net", 0, -0.1, 1, 1.1),
        ("calibration.shrinkage", 1, 0.99, 1e9, 1.1e9),
        ("calibration.interval", 0.5, 0.49, 0.99, 0.991),
        ("calibration.draws", 20, 19, 10_000, 10_001),
        ("calibration.draws", 0, -1, 10_000, 10_001),
        ("promotion.ece_slack", 0, -0.0001, 1, 1.01),
        ("promotion.ece_slack_share", 0, -0.0001, 1, 1.01),
        ("judge.cost_false_positive", 1e-9, 0, 1e9, 1.1e9),
        ("judge.blocks", 20, 19, 2000, 2001),
        ("judge.draws", 100, 99, 10_000, 10_001),
        ("judge.cold_orders", 0, -1, 10**6, 10**6 + 1),
        ("judge.cold_buyers", 0, -1, 10**9, 10**9 + 1),
        ("judge.k", 1, 0, 1000, 1001),
        ("judge.cost_missed", 0, -0.01, 1e9, 1.1e9),
        ("judge.budget_share", 1e-9, 0, 1, 1.01),
        ("judge.budget_contacts", 0, -1, 10**12, 10**12 + 1),
        ("models.svm.regularisation", 0, -0.1, 10**6, 10**6 + 1),
        ("models.svm.max_iterations", 1, 0, 10_000, 10_001),
        ("models.svm.positive_weight", 0, -0.1, 10**6, 10**6 + 1),
        ("models.kernel_svm.components", 2, 1, 100_000, 100_001),
        ("models.kernel_svm.gamma", 0, -0.1, 10**6, 10**6 + 1),
        ("models.kernel_svm.regularisation", 0, -0.1, 10**6, 10**6 + 1),
        ("models.kernel_svm.max_iterations", 1, 0, 10_000, 10_001),
        ("models.kernel_svm.positive_weight", 0, -0.1, 10**6, 10**6 + 1),
        ("models.forest.trees", 1, 0, 100_000, 100_001),
        ("models.forest.depth", 1, 0, 30, 31),
        ("models.forest.min_data_in_leaf", 1, 0, 10**7, 10**7 + 1),
        ("models.forest.feature_fraction", 0.01, 0.009, 1, 1.01),
        ("models.forest.feature_fraction", 0, -0.01, 1, 1.01),
        ("models.forest.bagging_fraction", 0.01, 0, 1, 1.01),
        ("models.forest.max_bin", 2, 1, 65535, 65536),
        ("models.gbt.rounds", 1, 0, 100_000, 100_001),
        ("models.gbt.depth", 1, 0, 30, 31),
        ("models.gbt.learning_rate", 1e-5, 0, 1, 1.01),
        ("models.gbt.min_data_in_leaf", 1, 0, 10**7, 10**7 + 1),
        ("models.gbt.feature_fraction", 0.01, 0, 1, 1.01),
        ("models.gbt.bagging_fraction", 0.01, 0, 1, 1.01),
        ("models.gbt.max_bin", 2, 1, 65535, 65536),
        ("models.xgboost.rounds", 1, 0, 100_000, 100_001),
        ("models.xgboost.depth", 1, 0, 30, 31),
        ("models.xgboost.learning_rate", 1e-5, 0, 1, 1.01),
        ("models.xgboost.min_child_weight", 0, -1, 10**7, 10**7 + 1),
        ("models.xgboost.feature_fraction", 0.01, 0, 1, 1.01),
        ("models.xgboost.bagging_fraction", 0.01, 0, 1, 1.01),
        ("models.xgboost.l1", 0, -1, 10**6, 10**6 + 1),
        ("models.xgboost.l2", 0, -1, 10**6, 10**6 + 1),
        ("models.xgboost.early_stopping_rounds", 0, -1, 100_000, 100_001),
        ("models.xgboost.max_bin", 2, 1, 65535, 65536),
        ("models.xgboost.workers", 1, 0, 100_000, 100_001),
        ("models.xgboost.timeout_seconds", 10, 9, 10**6, 10**6 + 1),
        ("models.network.layers", 1, 0, 16_384, 16_385),
        ("models.network.dropout", 0, -0.1, 0.9, 0.91),
        ("models.network.learning_rate", 1e-6, 0, 1, 1.01),
        ("models.network.weight_decay", 0, -0.1, 100, 100.1),
        ("models.network.batch_rows", 1, 0, 10**7, 10**7 + 1),
        ("models.network.epochs", 1, 0, 100_000, 100_001),
        ("models.network.patience", 1, 0, 100_000, 100_001),
        ("models.network.validation_share", 0, -0.1, 0.5, 0.51),
        ("models.network.workers", 1, 0, 100_000, 100_001),
        ("models.network.timeout_seconds", 10, 9, 10**6, 10**6 + 1),
        ("models.network.embeddings.buckets", 2, 1, 10**7, 10**7 + 1),
        ("models.network.embeddings.size", 1, 0, 1024, 1025),
        ("models.network.embeddings.weight_decay", 0, -0.1, 100, 100.1),
        ("models.network.embeddings.hidden", 0, -0.1, 0.9, 0.91),
        ("score.top_products", 1, 0, 100_000, 100_001),
        ("spark.shuffle_partitions", 0, -1, 100_000, 100_001),
        ("simulator.dirt", 0, -0.1, 0.5, 0.51),
    ],
)
def test_a_range_includes_its_ends_and_nothing_beyond(key: str, low: Any, below: Any, high: Any, above: Any) -> None:
    for inside in (low, high):
        from_mapping(_nested(key, inside))
    for outside in (below, above):
        with pytest.raises(ConfigError) as told:
            from_mapping(_nested(key, outside))
        assert str(told.value).startswith(f"{key} must be in [")
        assert f"got {outside!r}" in str(told.value)


def test_no_number_is_no_number() -> None:
    with pytest.raises(ConfigError, match=r"train\.negative_rate must be in"):
        from_mapping({"train": {"negative_rate": float("nan")}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("population.event", "buy"),
        ("calibration.method", "guess"),
        ("calibration.by", ["exists", "mood"]),
        ("train.balance.method", "rose"),
        ("models.champion", "forest"),
        ("models.families", ["oracle"]),
        ("shop.time_zone", "London"),
        ("shop.name", "my shop"),
        ("shop.name", "1shop"),
        ("shop.name", ""),
        ("spark.driver_memory", "3 GB"),
    ],
)
def test_a_value_outside_the_choices_names_its_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{key} must be"):
        from_mapping(_nested(key, value))


def test_a_name_may_hold_letters_digits_and_underscores() -> None:
    assert ShopConfig(name="Shop_2").name == "Shop_2"


def test_the_champion_must_be_among_the_trained_families() -> None:
    assert ModelsConfig(families=("logistic",), champion="logistic").champion == "logistic"
    with pytest.raises(ConfigError, match=r"models\.champion must be one of logistic"):
        ModelsConfig(families=("logistic",), champion="lightgbm")


def test_balancing_raises_the_odds_or_is_left_out(config: Make) -> None:
    for inside in (0.0, 1.01, 1_000_000.0):
        assert config(train={"balance": {"method": "over", "ratio": inside}}).train.balance.ratio == inside
    for outside in (-0.1, 0.5, 1.0, 1_000_001.0):
        with pytest.raises(ConfigError, match=rf"train\.balance\.ratio must be 0 \(balanced\) or in \(1, 1000000\], got {outside}"):
            config(train={"balance": {"method": "over", "ratio": outside}})
    for inside in (1, 100):
        assert config(train={"balance": {"method": "smote", "neighbours": inside}}).train.balance.neighbours == inside
    for outside in (0, 101):
        with pytest.raises(ConfigError, match=r"train\.balance\.neighbours must be in \[1, 100\]"):
            config(train={"balance": {"method": "smote", "neighbours": outside}})


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ({"ratio": 2.0}, r"train\.balance\.ratio is for weights, under, over, smote, and the method is none"),
        ({"neighbours": 3}, r"train\.balance\.neighbours is for smote, and the method is none"),
        ({"method": "over", "neighbours": 3}, r"train\.balance\.neighbours is for smote, and the method is over"),
    ],
)
def test_a_setting_of_balancing_that_would_change_nothing_is_refused(config: Make, balance: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(train={"balance": balance})


def test_no_column_is_embedded_twice(config: Make) -> None:
    assert config(models={"network": {"embeddings": {"columns": []}}}).models.network.embeddings.columns == ()
    for columns in (["user_id", "user_id"], [""]):
        with pytest.raises(ConfigError, match=r"models\.network\.embeddings\.columns must be distinct names"):
            config(models={"network": {"embeddings": {"columns": columns}}})


def test_the_focal_loss_is_for_the_native_engine(config: Make) -> None:
    for native in ({}, {"engine": "native"}, {"engine": "native", "tasks": 0}):
        assert config(models={"lightgbm": {**native, "focal_gamma": 2.0}}).models.lightgbm.focal_gamma == 2
    for other in ({"engine": "synapseml"}, {"tasks": 2}):
        with pytest.raises(ConfigError, match=r"models\.lightgbm\.focal_gamma is for the native engine"):
            config(models={"lightgbm": {**other, "focal_gamma": 2.0}})


@pytest.mark.parametrize("windows", [(), (7, 1), (1, 1), (0, 1)])
def test_windows_must_be_rising_days(windows: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"features\.windows"):
        FeatureConfig(windows=windows)


def test_the_history_must_hold_the_longest_window() -> None:
    assert FeatureConfig(windows=(1, 30), history_days=30).history_days == 30
    with pytest.raises(ConfigError, match=r"features\.history_days must be in \[30, "):
        FeatureConfig(windows=(1, 30), history_days=29)


def test_a_seed_is_one_that_all_libraries_take(config: Make) -> None:
    for seed in (-1, 2**31):
        with pytest.raises(ConfigError, match=r"train\.seed must be in \[0, 2147483647\]"):
            config(train={"seed": seed})
    assert config(train={"seed": 0}).train.seed == 0


def test_one_source_of_candidates_must_be_on(config: Make) -> None:
    none = dict.fromkeys(("touched", "popular", "together", "als", "affinity", "due"), 0)
    config(candidates={**none, "touched": 1})
    with pytest.raises(ConfigError, match=r"set one of touched, .* above 0"):
        config(candidates={**none, "fresh": 5})


@pytest.mark.parametrize(
    "form",
    [
        "iso",
        "epoch_s",
        "epoch_ms",
        "dd/MM/yyyy HH:mm",
        "M/d/yy",
        "yyyyMMdd",
        "d LLL yyyy",
        "dd/MM/yyyy hh:mm a",
        "dd/MM/yyyy KK:mm a",
        "yyyy-MM-dd'T'HH:mm[:ss]XXX",
        "dd/MM/yyyy kk:mm",
    ],
)
def test_a_time_format_is_a_known_one_or_a_pattern(form: str) -> None:
    assert TimeConfig(format=form).format == form


@pytest.mark.parametrize("form", ["", "epoch", "HH:mm", "yyyy", "%d/%m/%Y"])
def test_any_other_time_format_is_refused(form: str) -> None:
    with pytest.raises(ConfigError, match=r"time\.format must be"):
        TimeConfig(format=form)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("dd/MM/yyyy hh:mm:ss", "h in .* counts to 12, and no `a`"),  # Spark reads no 13:05, and midnight from 12:05
        ("dd/MM/yyyy KK:mm", "K in .* counts to 12"),
        ("EEE, dd MMM yyyy HH:mm", "Spark reads nothing by EEE in"),
        ("yyyy-MM-ddTHH:mm", "Spark reads nothing by T in .*; put words in single quotes"),
        ("yyyy-MM-dd'", "Spark reads nothing by ' in"),
        ("yyyy-MM-dd {HH}", r"Spark reads nothing by \{ \} in"),
        ("dd/MM/yyyy hh:mm aa", "Spark reads nothing by aa in"),
        ("dddd d.M.yyyy", "Spark reads nothing by dddd in"),
        ("yyyy-MM-dd HH:mm]", r"Spark reads nothing by \] in"),
        ("yyyy-MM-dd HH:mm V", "Spark reads nothing by V in"),
        ("dd/MM/yyyy HH:MM", "the month stands twice in .*; minutes are m"),
        ("uuuu-MM-dd", "or a pattern such as"),
        ("YYYY-MM-dd", "or a pattern such as"),
    ],
)
def test_a_pattern_by_which_spark_would_read_nothing_or_half_a_day_is_refused(form: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"time\.format.*{why}"):
        TimeConfig(format=form)


def test_a_source_of_its_own_time_zone_must_name_one() -> None:
    assert TimeConfig().time_zone == ""
    with pytest.raises(ConfigError, match=r"time\.time_zone must be an IANA time zone"):
        TimeConfig(time_zone="Moon")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Europe/Lodnon", "Europe/London"),
        ("europe/london", "Europe/London"),
        ("New York", "America/New_York"),
        ("Kolkata", "Asia/Kolkata"),
        ("america/buenos_aires", "America/Buenos_Aires"),
    ],
)
def test_a_misspelt_time_zone_is_told_with_the_one_that_was_meant(written: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"got '{written}'; did you mean {meant}\?$"):
        TimeConfig(time_zone=written)


def test_a_time_zone_like_no_other_is_not_guessed_at() -> None:
    with pytest.raises(ConfigError, match=r"got 'Moonbase Alpha'$"):
        TimeConfig(time_zone="Moonbase Alpha")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": []}, r"sources\.log needs either `path` or `table`"),
        ({"table": "raw.log"}, r"sources\.log needs either `path` or `table`"),
        ({"format": "xml"}, r"sources\.log\.format must be one of csv, json, parquet, delta; got 'xml'"),
        ({"header": False}, r"sources\.log: a CSV without header needs `columns`"),
        ({"encoding": "UTF-16LE"}, r"sources\.log\.encoding: files in UTF-16LE cannot be cut into lines; save them as UTF-8"),
        ({"encoding": "u32"}, r"sources\.log\.encoding: files in u32 cannot be cut into lines"),
        ({"name": "my log"}, r"sources\.name must be letters"),
        ({"map": {"user_id": "u", "event_ts": "t"}}, r"sources\.log\.map\.product_id is missing"),
        ({"map": {"product_id": "p", "event_ts": "t"}}, r"sources\.log\.map\.user_id is missing"),
        ({"map": {"user_id": "u", "product_id": "p"}}, r"sources\.log\.map\.event_ts is missing"),
        ({"event": ""}, r"sources\.log needs `event: purchase`"),
        ({"event_types": {"buy": "purchase"}}, r"sources\.log: `event` says that all rows are purchase; drop it, or map\.event"),
        ({"map": {**SOURCE["map"], "event": "e"}}, r"sources\.log: `event` says that all rows are purchase"),
        ({"event": "sale"}, r"sources\.log\.event must be one of view, cart, favourite, purchase, return; got 'sale'"),
        ({**BY_ITS_EVENTS, "event_types": {"buy": "sale"}}, r"sources\.log\.event_types\.buy must be one of"),
        ({**BY_ITS_EVENTS, "event_types": {"buy": "ignore"}}, r"sources\.log\.event_types ignores every row"),
        ({"rules": [{"name": "x"}]}, r"sources\[0\]\.rules\[0\] lacks reject_when"),
    ],
)
def test_a_source_that_cannot_be_read_says_what_it_needs(config: Make, change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(sources=[{**SOURCE, **change}])


def test_a_source_needs_a_path_or_a_table_and_one_is_enough(config: Make) -> None:
    assert config(sources=[SOURCE]).sources[0].path == ("log.csv",)
    assert config(sources=[{**SOURCE, "path": [], "table": "raw.log"}]).sources[0].table == "raw.log"
    assert config(sources=[{**SOURCE, "header": False, "columns": ["u", "p", "t"]}]).sources[0].columns[0] == "u"
    assert not config(sources=[{**SOURCE, "format": "json", "header": False}]).sources[0].header


def test_two_sources_of_one_name_are_refused(config: Make) -> None:
    assert len(config(sources=[SOURCE, {**SOURCE, "name": "other"}]).sources) == 2
    with pytest.raises(ConfigError, match=r"sources need names of their own, got \['log', 'log'\]"):
        config(sources=[SOURCE, SOURCE])


def test_a_table_of_users_needs_its_key() -> None:
    assert not EntityConfig().given
    assert EntityConfig(path=("u.csv",), id="id").given
    assert EntityConfig(table="raw.users", id="id").given
    for place in ({"path": ("u.csv",)}, {"table": "raw.users"}):
        with pytest.raises(ConfigError, match="needs `id`"):
            EntityConfig(**place)


def test_files_that_are_read_whole_may_be_of_any_encoding(config: Make) -> None:
    """Those of small tables: a text in them may go over lines."""
    assert config(users={"path": "u.csv", "id": "u", "encoding": "utf_16"}).users.encoding == "utf_16"


def test_the_report_and_the_runs_lie_in_the_warehouse_unless_told_otherwise() -> None:
    assert StorageConfig(warehouse="w").report_path("shop") == Path("w/shop_report.html")
    assert StorageConfig(warehouse="w", report="r.html").report_path("shop") == Path("r.html")
    assert StorageConfig(warehouse="w", report="a/r.html").refused_path("shop") == Path("a/r_refused.html")
    for elsewhere in (StorageConfig(warehouse="s3a://bucket/w"), StorageConfig(warehouse="dbfs:/w"), StorageConfig(catalog="main")):
        assert elsewhere.report_path("shop") == Path("shop_report.html"), "only Spark reaches it"
    assert TrackingConfig().resolved(StorageConfig(warehouse="w")) == f"sqlite:///{Path('w').absolute()}/mlflow.db"
    assert TrackingConfig(uri="http://x").resolved(StorageConfig()) == "http://x"


@pytest.mark.parametrize(
    ("storage", "why"),
    [
        (StorageConfig(warehouse="s3a://bucket/w"), "the warehouse is remote"),
        (StorageConfig(catalog="x"), "storage.catalog is set"),
    ],
)
def test_where_the_tables_are_elsewhere_the_models_need_a_place_that_is_named(storage: StorageConfig, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"tracking\.uri must say where MLflow keeps the models, as {why}"):
        TrackingConfig().resolved(storage)
    assert TrackingConfig(uri="databricks").resolved(storage) == "databricks"


def test_databricks_knows_experiments_by_their_paths() -> None:
    assert TrackingConfig().experiment_of("shop") == TrackingConfig(uri="http://x").experiment_of("shop") == "propensity_shop"
    assert TrackingConfig(experiment="mine").experiment_of("shop") == "mine"
    for uri in ("databricks", "databricks://profile"):
        assert TrackingConfig(uri=uri).experiment_of("shop") == "/Shared/propensity_shop"
        assert TrackingConfig(uri=uri, experiment="/Users/me/x").experiment_of("shop") == "/Users/me/x"
        with pytest.raises(ConfigError, match="must be a path such as /Shared/mine on Databricks"):
            TrackingConfig(uri=uri, experiment="mine")


def test_a_config_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        Config().labels.horizon_days = 3  # type: ignore[misc]


def test_an_entity_comes_from_one_place() -> None:
    with pytest.raises(ConfigError, match="either by `path` or by `table`"):
        from_mapping({"users": {"path": "users.csv", "table": "crm.users", "id": "user"}})


def test_groups_are_known_and_named_once() -> None:
    assert FeatureConfig(groups=("gaps", "prices")).groups == ("gaps", "prices")
    with pytest.raises(ConfigError, match=r"features\.groups must be one of gaps, .*; got 'first'"):
        FeatureConfig(groups=("first",))
    with pytest.raises(ConfigError, match=r"features\.groups names a group twice: gaps, gaps"):
        FeatureConfig(groups=("gaps", "gaps"))


def test_a_segment_is_an_attribute_that_is_kept(config: Make) -> None:
    users = {"path": ["users.csv"], "id": "user", "attributes": ["tier"]}
    assert config(users=users, features={"segment_by": "tier"}).features.segment_by == "tier"
    with pytest.raises(ConfigError, match=r"features\.segment_by must be one of users\.attributes \(tier\); got 'region'"):
        config(users=users, features={"segment_by": "region"})


def test_candidates_of_a_segment_need_one(config: Make) -> None:
    """features.user keeps the column of an earlier run, all null, so that nothing would be found there, and nothing said."""
    users, asked = {"path": "users.csv", "id": "id", "attributes": ["tier"]}, {"segment": 20}
    for named in ({"segment_by": "tier"}, {"groups": ["segment"]}):
        assert config(users=users, candidates=asked, features=named).candidates.segment == 20
    with pytest.raises(ConfigError, match=r"^candidates\.segment is 20, and users have no segment: name features\.segment_by"):
        config(users=users, candidates=asked)
    assert config(users=users).candidates.segment == 0


def test_a_calibration_by_segment_needs_one(config: Make) -> None:
    users = {"path": "u.csv", "id": "u", "attributes": ["tier"]}
    by = {"by": ["exists", "segment"]}
    assert config(users=users, features={"segment_by": "tier"}, calibration=by).calibration.by == ("exists", "segment")
    with pytest.raises(ConfigError, match=r"calibration\.by: segment needs features\.segment_by"):
        config(users=users, calibration=by)


def test_the_report_is_a_file_of_the_driver(config: Make) -> None:
    assert config(storage={"report": "/Volumes/main/shop/r.html"}).storage.report_path("s").name == "r.html"
    with pytest.raises(ConfigError, match=r"storage\.report is a file of the driver's machine, .*; got 's3://b/r\.html'"):
        config(storage={"report": "s3://b/r.html"})


def test_stopping_early_is_for_the_native_engine_and_its_log_loss(config: Make) -> None:
    assert config(models={"lightgbm": {"early_stopping_rounds": 20}}).models.lightgbm.early_stopping_rounds == 20
    with pytest.raises(ConfigError, match=r"early_stopping_rounds is for the native engine"):
        config(models={"lightgbm": {"early_stopping_rounds": 20, "fallback": "synapseml"}})
    with pytest.raises(ConfigError, match=r"early_stopping_rounds watches the log loss"):
        config(models={"lightgbm": {"early_stopping_rounds": 20, "focal_gamma": 1.0}})


def test_a_series_by_region_needs_an_attribute_that_users_keep(config: Make) -> None:
    users = {"path": "u.csv", "id": "u", "attributes": ["town"]}
    weather = {"name": "weather", "path": "w.csv", "day": "d", "region": "r", "values": ["warm"]}
    assert config(users=users, series=[{**weather, "region_of": "town"}]).series[0].region_of == "town"
    with pytest.raises(ConfigError, match=r"series\.weather\.region_of must be one of users\.attributes \(town\); got 'twon'"):
        config(users=users, series=[{**weather, "region_of": "twon"}])


@pytest.mark.parametrize("entity", ["users", "products"])
def test_attributes_are_columns_of_a_table(config: Make, entity: str) -> None:
    with pytest.raises(ConfigError, match="`attributes` are columns of a table; say by `path` or `table`"):
        config(**{entity: {"id": "u", "attributes": ["town"]}})


@pytest.mark.parametrize(
    ("path", "output", "is_simulated"),
    [
        ("demo/raw/a.csv", "demo/raw", True),
        ("demo/rawer/a.csv", "demo/raw", False),
        ("log.csv", "demo/raw", False),
        ("log.csv", "", False),
    ],
)
def test_only_logs_of_the_simulator_are_simulated(config: Make, path: str, output: str, is_simulated: bool) -> None:
    assert config(sources=[{**SOURCE, "path": path}], simulator={"output": output}).is_simulated == is_simulated
