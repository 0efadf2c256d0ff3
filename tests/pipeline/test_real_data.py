"""Real logs with their real dirt: what comes in, and what is made of it, agrees with pandas on the same files."""

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from propensity_spark import cli, tables
from propensity_spark.config import Config, StorageConfig
from propensity_spark.features import compute
from propensity_spark.features.definitions import feature_set
from propensity_spark.loading import load
from propensity_spark.pipeline import ingest
from propensity_spark.progress import Progress
from propensity_spark.trainset.labels import bought

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("compiled")]
AS_OF = date(2011, 10, 14)
LINE = ["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"]


@pytest.fixture(scope="module")
def configured(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Config]:
    """The shipped configurations, on this data and each with a warehouse of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROPENSITY_DATA", str(data))
        folder = tmp_path_factory.mktemp("real")
        return {name: load([f"conf/{name}.yaml"], [f"storage.warehouse={folder / name}"]) for name in ("online_retail", "taobao")}


@pytest.fixture(scope="module")
def taken(spark: SparkSession, configured: dict[str, Config]) -> Config:
    """Online Retail, all of it, in silver; the names of the tables point there."""
    config = configured["online_retail"]
    _ingest(spark, config)
    return config


@pytest.fixture(scope="module")
def lines(data: Path) -> pd.DataFrame:
    """Online Retail as pandas reads it: text, nothing left out."""
    files = sorted((data / "online_retail" / "by-day").glob("*.csv.gz"))
    return pd.concat([pd.read_csv(file, dtype=str, keep_default_na=False) for file in files], ignore_index=True)


@pytest.fixture(scope="module")
def good(lines: pd.DataFrame) -> pd.DataFrame:
    """The lines that an order or a return of a known user can have, each once: user, item, time, back."""
    quantity, price, back = (
        lines["Quantity"].astype(float),
        lines["UnitPrice"].astype(float),
        lines["InvoiceNo"].str.startswith("C"),
    )
    fit = (lines["CustomerID"] != "") & (back | ((quantity > 0) & (price > 0)))
    kept = lines[fit].drop_duplicates(LINE)
    return pd.DataFrame(
        {
            "user": kept["CustomerID"].str.replace(r"\.0$", "", regex=True),
            "item": kept["StockCode"],
            "time": pd.to_datetime(kept["InvoiceDate"]),
            "order": kept["InvoiceNo"],
            "back": back[kept.index],
        }
    )


def _ingest(spark: SparkSession, config: Config) -> None:
    for schema in tables.SCHEMAS:
        spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    tables.attach(spark, StorageConfig(warehouse=config.storage.warehouse))
    ingest.run(spark, config, Progress())


def _intake(spark: SparkSession) -> dict[tuple[str, str], int]:
    return {(row["step"], row["reason"]): row["rows"] for row in tables.read(spark, "silver.intake").collect()}


def test_every_line_of_online_retail_is_accounted_for(spark: SparkSession, taken: Config, lines: pd.DataFrame) -> None:
    found = {step: rows for (step, reason), rows in _intake(spark).items() if step != "rejected"}
    assert found["received"] == len(lines) == 541_909
    assert found["received"] == found["refused"] + found["duplicate"] + found["accepted"]
    assert tables.read(spark, "silver.events").count() == found["accepted"]


def test_refusals_are_those_that_pandas_counts(spark: SparkSession, taken: Config, lines: pd.DataFrame) -> None:
    sold = ~lines["InvoiceNo"].str.startswith("C")
    found = {reason: rows for (step, reason), rows in _intake(spark).items() if step == "rejected"}
    assert found == {
        "user is missing": (lines["CustomerID"] == "").sum(),
        "price is zero or negative": (sold & (lines["UnitPrice"].astype(float) <= 0)).sum(),
        "quantity is zero or negative": (sold & (lines["Quantity"].astype(float) <= 0)).sum(),
    }
    assert found["user is missing"] == 135_080
    assert found["price is zero or negative"] == 2_517


def test_accepted_events_are_the_good_lines_each_once(spark: SparkSession, taken: Config, good: pd.DataFrame) -> None:
    counts = {row["event"]: row["count"] for row in tables.read(spark, "silver.events").groupBy("event").count().collect()}
    assert counts == {"purchase": (~good["back"]).sum(), "return": good["back"].sum()}


def test_ids_are_as_the_shop_means_them_and_days_as_its_clocks_say(spark: SparkSession, taken: Config, good: pd.DataFrame) -> None:
    events = tables.read(spark, "silver.events")
    found = (
        events.groupBy("user_id").agg(F.count_distinct("event_date").alias("days"), F.max("event_date").alias("last")).toPandas()
    )
    mine = good.assign(day=good["time"].dt.date).groupby("user")["day"].agg(["nunique", "max"])
    assert dict(zip(found["user_id"], zip(found["days"], found["last"], strict=True), strict=True)) == {
        user: (row["nunique"], row["max"]) for user, row in mine.iterrows()
    }
    summer = events.where("event_date = DATE'2011-07-01'").agg(F.min("event_ts").cast("string")).collect()[0][0]
    first = good.loc[good["time"].dt.date == date(2011, 7, 1), "time"].min()
    assert pd.Timestamp(summer) == first - timedelta(hours=1)  # an hour ahead of UTC in summer


def test_orders_of_every_user_agree_with_pandas(spark: SparkSession, taken: Config, good: pd.DataFrame) -> None:
    events = tables.read(spark, "silver.events")
    seen = compute.as_seen(compute.mark_firsts(events), compute.moments(events, [AS_OF], taken.shop.time_zone), 365)
    declared = feature_set(taken.features, frozenset({"purchase", "return"}), 28)
    users = compute.roll_up(compute.measure_pairs(seen, declared.measures), ("as_of", "user_id"), declared.user)
    found = users.select("user_id", "user_orders", "user_orders_28", "user_returns").toPandas().set_index("user_id")
    past = good[good["time"] < pd.Timestamp(AS_OF)]
    orders, late = past[~past["back"]], past[~past["back"] & (past["time"] >= pd.Timestamp(AS_OF) - timedelta(days=28))]
    for name, wanted in (
        ("user_orders", orders.groupby("user")["order"].nunique()),
        ("user_orders_28", late.groupby("user")["order"].nunique()),
        ("user_returns", past[past["back"]].groupby("user").size()),
    ):
        pd.testing.assert_series_equal(
            found[name].sort_index(), wanted.reindex(found.index, fill_value=0).sort_index(), check_names=False, check_dtype=False
        )
    assert found["user_orders"].sum() > 10_000


def test_labels_are_the_pairs_bought_within_the_horizon_less_what_was_taken_back(
    spark: SparkSession, taken: Config, good: pd.DataFrame
) -> None:
    events = tables.read(spark, "silver.events")
    dates = compute.moments(events, [AS_OF], taken.shop.time_zone)
    found = {(r.user_id, r.product_id) for r in bought(events, dates, 28, taken.shop.time_zone, scored=AS_OF).collect()}
    begin = pd.Timestamp(AS_OF)
    window = good[(good["time"] >= begin) & (good["time"] < begin + timedelta(days=28))]
    pairs = window[["user", "item", "back"]].drop_duplicates().groupby(["user", "item"])["back"].agg(["min", "max"])
    sold = pairs[~pairs["min"]]
    assert found <= set(sold.index)
    assert set(sold.index) - found <= set(sold[sold["max"]].index)  # only what also came back may be missing
    assert len(found) > 0.98 * len(sold)


def test_taobao_comes_in_but_for_what_its_rule_and_repetition_leave_out(
    spark: SparkSession, configured: dict[str, Config], data: Path, taken: Config
) -> None:
    raw = pd.read_csv(data / "taobao" / "user_behavior.csv.gz", header=None, names=["user", "item", "category", "what", "ts"])
    _ingest(spark, configured["taobao"])
    try:
        found = _intake(spark)
        within = raw["ts"].between(1511539200, 1512316799)
        assert found[("received", "")] == len(raw) == 100_001
        assert found[("rejected", "outside the days of the log")] == (~within).sum() == 44
        assert found[("accepted", "")] == len(raw[within].drop_duplicates())
        days = tables.read(spark, "silver.events").agg(F.min("event_date"), F.max("event_date")).collect()[0]
        assert tuple(days) == (date(2017, 11, 25), date(2017, 12, 3))  # Beijing's days
    finally:
        tables.attach(spark, StorageConfig(warehouse=taken.storage.warehouse))


def test_three_hours_of_rees46_are_said_to_be_too_few(
    spark: SparkSession, data: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROPENSITY_DATA", str(data))
    code = cli.main(["run", "--config", "conf/rees46.yaml", "--set", f"storage.warehouse={warehouse}"])
    told = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert [line for line in told if "days of history" in line] == told[-1:]  # what went before is the progress
    assert "days of history" in (warehouse / "rees46_report.html").read_text(encoding="utf-8")
    assert not (warehouse / "gold" / "propensity").exists()
