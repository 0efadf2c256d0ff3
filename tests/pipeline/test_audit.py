"""`propensity audit` on a small shop: four planted leaks are each found, nothing else is called one, and training stops."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark import cli, tables
from propensity_spark.config import Config, StorageConfig
from propensity_spark.errors import ConfigError, InsufficientData, LeakSuspected
from propensity_spark.features import compute
from propensity_spark.features.lineage import measures_of
from propensity_spark.features.spec import KEYS, ROW, FeatureSet, Measure
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import audit, build_features, moved, rows, run, train
from propensity_spark.pipeline.audit import Report
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.schemas import EVENTS, PRODUCTS, TABLES, USERS
from propensity_spark.trainset.audit import Finding, Found
from propensity_spark.trainset.sampling import uniform

QUIET = Progress(quiet=True)
AS_OF = date(2024, 4, 29)
USERS_THERE, PRODUCTS_THERE, DAYS, LINES = 150, 20, 70, 4_000
# A few features of each kind: tests/pipeline/test_everything.py audits all of them.
NAMES = {"pair_seen_last", "pair_purchases_last", "pair_purchases_28", "user_visits", "user_orders", "user_seen_last"}
NAMES |= {"product_price", "product_buyers_recent", "product_age"}
FITS = ("together_score", "als_score", "affinity", "following_score", "peers_score")  # what comes with a candidate
CHECKS = ("coverage", "constant", "auc", "missing", "drift")
# An attribute of the future: whether a purchase will be taken back.
LEAKY = Measure(name="visits_ever", where="event IN ('purchase', 'cancelled') AND cancelled_ts IS NOT NULL")


class Reached(Exception):
    """The first fit would begin here."""


@dataclass(frozen=True)
class Shop:
    """A shop whose tables hold four leaks."""

    config: Config
    moment: Moment


@dataclass(frozen=True)
class Audited:
    """What an audit said and wrote."""

    report: Report
    written: list[Row]

    def leaks(self, check: str, entity: str = "") -> set[str]:
        return {f.feature for f in self.report.leaks if f.check == check and f.feature.startswith(entity)}


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Silver tables by hand, and features of the two dates learnt from, as leaky code would write them."""
    folder, before = tmp_path_factory.mktemp("audited"), spark.conf.get("spark.propensity.warehouse")
    config = from_mapping(
        {
            "storage": {"warehouse": str(folder / "warehouse")},
            "features": {"windows": [7, 28], "history_days": 60},
            "labels": {"horizon_days": 7},
            "train": {"dates": 1, "min_rows": 0},
            "audit": {"users": 60},
            "score": {"as_of": AS_OF},
        }
    )
    tables.attach(spark, config.storage)
    _write_silver(spark, folder)
    prepared = build_features.prepare(spark, config, AS_OF)
    made = Shop(config, Moment(prepared.timeline, _few(prepared.features)))
    _write_features(spark, made)
    yield made
    tables.attach(spark, StorageConfig(warehouse=str(before)))


@pytest.fixture(scope="module")
def audited(spark: SparkSession, shop: Shop) -> Audited:
    stale = Finding(feature="gone", check="auc", value=0.5, verdict="ok", says="of an earlier run")
    audit._write(spark, shop.config, AS_OF, Found((stale,)))
    report = audit.run(spark, shop.config, shop.moment, QUIET)
    return Audited(report, tables.read(spark, "trainset.audit").collect())


def _few(declared: FeatureSet) -> FeatureSet:
    """The features of NAMES, one of them with an attribute of the future."""
    kept = {entity: tuple(f for f in declared.of(entity) if f.name in NAMES) for entity in (*KEYS, ROW)}
    measures = measures_of(declared, [feature for features in kept.values() for feature in features])
    return replace(declared, measures=tuple(LEAKY if m.name == LEAKY.name else m for m in measures), **kept)


def _write_silver(spark: SparkSession, folder: Path) -> None:
    _events().to_csv(folder / "events.csv", index=False)
    tables.overwrite(spark.read.csv(str(folder / "events.csv"), schema=EVENTS.ddl, header=True), "silver.events")
    products = [(f"p{n}", f"p{n}", f"c{n % 3}", 1.0, None) for n in range(PRODUCTS_THERE)]
    tables.overwrite(spark.createDataFrame(products, PRODUCTS.ddl), "silver.products")
    tables.overwrite(spark.createDataFrame([(f"u{n}", None) for n in range(USERS_THERE)], USERS.ddl), "silver.users")


def _events() -> pd.DataFrame:
    """Purchases of each user's favourites; some are known a day late, some are taken back up to 20 days later."""
    random = np.random.default_rng(3)
    user, second = random.integers(0, USERS_THERE, LINES), np.sort(random.integers(0, DAYS * 86_400, LINES))
    product = (user + random.geometric(0.25, LINES)) % PRODUCTS_THERE
    at = pd.Timestamp("2024-03-01") + pd.to_timedelta(second, unit="s")
    late = pd.to_timedelta(np.where(random.random(LINES) < 0.03, 100_000, 0), unit="s")
    back = pd.Series(at + pd.to_timedelta(random.integers(0, 20 * 86_400, LINES), unit="s") + late)
    price = (product + 1.0) * (1 + second / 86_400 / DAYS)  # prices rise
    made = pd.DataFrame({"event_id": [f"e{n}" for n in range(LINES)], "user_id": [f"u{n}" for n in user]})
    made = made.assign(product_id=[f"p{n}" for n in product], event="purchase")
    made = made.assign(event_ts=at, event_date=at.date, price=price, quantity=1.0, amount=price, session_no=second // 86_400)
    made["order_id"] = made["user_id"] + "-" + made["session_no"].astype(str)
    made["known_ts"], made["is_bot"] = at + late, False
    made["cancelled_ts"] = back.where(random.random(LINES) < 0.15)
    made["cancelled_known_ts"] = made["cancelled_ts"]
    return made.reindex(columns=EVENTS.columns)


def _write_features(spark: SparkSession, shop: Shop) -> None:
    """A user's attribute of the future (see LEAKY), windows of pairs that hold as_of, the latest price, the label as a score."""
    dates, declared = shop.moment.timeline.learnt, shop.moment.features
    marked = compute.mark_firsts(tables.read(spark, "silver.events"))
    at = compute.moments(marked, dates, "UTC")
    measured = compute.measure_pairs(compute.as_seen(marked, at, declared.history_days), declared.measures).localCheckpoint()
    users = compute.roll_up(measured, ("as_of", "user_id"), declared.user)
    products = compute.roll_up(measured, ("as_of", "product_id"), declared.product).localCheckpoint()
    latest = products.where(F.col("as_of") == F.lit(dates[-1])).select("product_id", F.col("product_price").alias("_now"))
    now = products.join(latest, "product_id", "left").withColumn("product_price", F.col("_now")).drop("_now")
    beyond = _with_as_of(marked, at, declared.history_days)
    pairs = compute.pair_features(compute.measure_pairs(beyond, declared.measures), declared.pair).localCheckpoint()
    for name, frame in (("user", users), ("product", now), ("pair", pairs)):
        _store(spark, shop, frame.withColumn("feature_version", F.lit("leaky")), f"features.{name}")
    for entity in ("user_category", "category", "shop"):
        _store(spark, shop, spark.createDataFrame([], TABLES[f"features.{entity}"].ddl), f"features.{entity}")
    fits = [uniform(seed, "user_id", "product_id").cast("float").alias(name) for seed, name in enumerate(FITS)]
    scored = pairs.select(*compute.PAIR_KEYS, F.lit("touched").alias("candidate_source"), *fits)
    labelled = build_features.attach_labels(spark, shop.config, shop.moment.timeline, scored)
    _store(spark, shop, labelled.withColumn("together_score", F.col("label").cast("float")), "trainset.candidates")


def _store(spark: SparkSession, shop: Shop, frame: DataFrame, name: str) -> None:
    tables.overwrite(frame, name, build_features._fingerprint(spark, shop.config, shop.moment))


def _with_as_of(marked: DataFrame, at: DataFrame, days: int) -> DataFrame:
    """compute.as_seen with windows that hold the day of as_of itself: what is seen a day later, under as_of's name."""
    tomorrow = at.select(F.date_add("as_of", 1).alias("as_of"), F.expr("as_of_ts + INTERVAL 1 DAY").alias("as_of_ts"))
    seen = compute.as_seen(marked, tomorrow, days + 1)
    earlier = {"as_of": F.date_sub("as_of", 1), "age": F.col("age") - 1, "age_days": F.col("age_days") - 1}
    return seen.withColumns(earlier)


def test_every_feature_gets_every_check(shop: Shop, audited: Audited) -> None:
    for check in CHECKS:
        checked = {row["feature"] for row in audited.written if row["finding"] == check}
        assert checked == {*shop.moment.features.columns, *FITS} == NAMES | {*FITS}
    places = {row["place"] for row in audited.written if row["finding"] == "boundary"}
    asked = {part for e in ("pair", "user", "product") for part in (f"features.{e}", f"training rows, {e}")}
    assert places == {f"{place} as of {day}" for place in asked for day in shop.moment.timeline.learnt}


def test_a_rerun_replaces_what_the_one_before_wrote(audited: Audited) -> None:
    assert not [row for row in audited.written if row["feature"] == "gone"]
    assert len({(row["feature"], row["finding"], row["place"]) for row in audited.written}) == len(audited.written)
    leaks = {row["feature"] for row in audited.written if row["verdict"] == "leak"}
    assert leaks == {finding.feature for finding in audited.report.leaks}


def test_a_feature_that_knows_the_label_is_found(audited: Audited) -> None:
    assert audited.leaks("auc") == {"together_score"}
    assert audited.report.text.splitlines()[0].startswith("LEAK  together_score")
    assert "surely leak (" in audited.report.text.splitlines()[-1]


def test_a_window_that_includes_as_of_is_found(audited: Audited) -> None:
    assert audited.leaks("boundary", "pair_") == {"pair_seen_last", "pair_purchases_last", "pair_purchases_28"}
    assert audited.leaks("boundary", "(") == {"(row)"}  # pairs that nothing was known of


def test_an_attribute_of_the_future_is_found(audited: Audited) -> None:
    assert audited.leaks("boundary", "user_") == {"user_visits"}


def test_a_join_on_the_latest_version_is_found(audited: Audited) -> None:
    assert audited.leaks("boundary", "product_") == {"product_price"}


def test_nothing_else_is_called_a_leak(audited: Audited) -> None:
    assert {f.check for f in audited.report.leaks} == {"auc", "boundary"}
    assert audited.leaks("boundary", "together") == set()


def test_training_rows_are_held_against_the_past_as_well_as_tables(audited: Audited) -> None:
    places = {(f.feature, f.place.split(" as of ")[0]) for f in audited.report.leaks}
    for feature, entity in (("pair_seen_last", "pair"), ("user_visits", "user"), ("product_price", "product")):
        assert {(feature, f"features.{entity}"), (feature, f"training rows, {entity}")} <= places


def test_a_leak_stops_training_unless_it_is_let_pass(spark: SparkSession, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: object) -> None:
        raise Reached

    config, moment = shop.config, shop.moment
    joined = rows.of_dates(spark, moment, moment.timeline.learnt).localCheckpoint()
    monkeypatch.setattr(rows, "of_dates", lambda *_: joined)
    monkeypatch.setattr(train, "_elected", reached)
    with pytest.raises(LeakSuspected, match=r"feature together_score .* AUC of 1\.0000.*audit\.allow: \[together_score\]"):
        train.run(spark, config, moment, QUIET)
    with pytest.raises(Reached):
        train.run(spark, _changed(config, allow=("together_score",)), moment, QUIET)
    assert "LEAKS PASS: together_score" in audit.check(_changed(config, stop=False), moment, joined, 1)
    with pytest.raises(ConfigError, match=r"audit\.allow names together_scor, which no feature is called"):
        audit.check(_changed(config, allow=("together_scor",)), moment, joined, 1)
    with pytest.raises(InsufficientData, match="propensity build-features"):
        audit.check(config, moment, joined.where("false"), 0)


def _changed(config: Config, **settings: object) -> Config:
    return replace(config, audit=replace(config.audit, **settings))


def test_tables_of_other_settings_are_not_checked_rather_than_called_leaks(spark: SparkSession, shop: Shop) -> None:
    other = Moment(shop.moment.timeline, replace(shop.moment.features, settings_version=9))
    found = moved.findings(spark, shop.config, other)
    assert found.findings == ()
    assert "were last written for other events" in found.unchecked[0]
    assert moved.findings(spark, _changed(shop.config, users=0), shop.moment).unchecked == ("the moved boundary: audit.users is 0",)


def test_the_command_prints_the_report_and_exits_with_2_where_something_leaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leak = Finding(feature="knows", check="auc", value=1.0, verdict="leak", says="so")
    for leaks, code in (((), cli.DONE), ((leak,), cli.MISTAKE)):
        monkeypatch.setattr(run, "audited", lambda _, leaks=leaks: Report("what was found", leaks))
        assert cli.main(["audit", "--config", "conf/demo.yaml"]) == code
        assert capsys.readouterr().out == "what was found\n"
