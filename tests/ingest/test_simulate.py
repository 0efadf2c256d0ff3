"""The simulated shop: what happens in it agrees with the truth that it tells."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, DataFrameReader, DataFrameWriter, SparkSession

from propensity_spark.config import SimulatorConfig
from propensity_spark.ingest import simulate, truth
from propensity_spark.loading import from_mapping

SETTINGS = SimulatorConfig(users=500, products=40, categories=4, days=120, events=200_000, seed=5)


def test_purchases_happen_as_often_as_the_truth_says() -> None:
    shop = truth.Shop(SETTINGS)
    first, days = 60, 28
    events = simulate.block_events(shop, 0)
    lines = events[events["kind"].isin([simulate.ORDER, simulate.CANCEL])].copy()
    lines["day"] = (lines["local"] // 86400).astype(int)
    inside = lines[(lines["day"] >= first) & (lines["day"] < first + days)]
    net = inside.groupby(["user", "product"])["quantity"].sum()
    bought = set(net[net > 0].index)
    user, product = (grid.ravel() for grid in np.meshgrid(np.arange(500), np.arange(40), indexing="ij"))
    p = shop.propensity(user, product, first, days)
    y = np.array([pair in bought for pair in zip(user, product, strict=True)])
    for low, high in ((0.0, 0.02), (0.02, 0.1), (0.1, 1.0)):
        band = (p >= low) & (p < high)
        deviation = np.sqrt((p[band] * (1 - p[band])).sum())
        assert abs(y[band].sum() - p[band].sum()) < 4 * deviation, f"pairs with a truth in [{low}, {high})"


def test_views_fall_on_products_as_their_share_says() -> None:
    shop = truth.Shop(SETTINGS)
    users, draw = shop.users(0), np.random.default_rng(1)
    seen = np.bincount(shop.view(users, np.zeros(200_000, dtype=np.int64), draw), minlength=40) / 200_000
    share = shop.share(users, np.zeros(40, dtype=np.int64), np.arange(40))
    assert share.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(seen, share, atol=0.005)


def test_equal_seeds_give_equal_shops_and_other_seeds_do_not() -> None:
    one, same, other = (simulate.block_events(truth.Shop(replace(SETTINGS, seed=s)), 0) for s in (5, 5, 6))
    assert one.equals(same)
    assert not one.equals(other)


def test_the_truth_is_null_for_whom_the_shop_does_not_know(table: Callable[..., DataFrame]) -> None:
    pairs = table(
        "as_of DATE, user_id STRING, product_id STRING",
        ("2024-02-01", "U0000001", "P000001"),
        ("2024-02-01", "U9000000", "P000001"),  # a bot
        ("2023-12-31", "U0000001", "P000001"),  # before the shop opened
    )
    found = {(r.user_id, str(r.as_of)): r.truth for r in truth.true_propensity(pairs, SETTINGS, 28).collect()}
    assert 0 < found["U0000001", "2024-02-01"] < 1
    assert found["U9000000", "2024-02-01"] is None or np.isnan(found["U9000000", "2024-02-01"])
    assert found["U0000001", "2023-12-31"] is None or np.isnan(found["U0000001", "2023-12-31"])


def test_the_logs_have_about_the_configured_number_of_events_and_the_dirt(spark: SparkSession, tmp_path: Path) -> None:
    size = {"users": 200, "products": 30, "categories": 3, "days": 60, "events": 10_000, "dirt": 0.05, "start": date(2024, 1, 1)}
    config = from_mapping({"simulator": {**size, "output": str(tmp_path)}, "shop": {"time_zone": "Europe/Berlin"}})
    lines = simulate.simulate(spark, config)
    assert 8_000 < lines < 13_000
    clicks = spark.read.csv(str(tmp_path / "clicks"), header=True)
    assert clicks.where("action = 'hover'").count() > 0
    assert clicks.where("time LIKE '2099%'").count() > 0
    assert spark.read.json(str(tmp_path / "orders")).where("unit_price < 0").count() > 0
    assert spark.read.csv(str(tmp_path / "catalogue"), header=True).count() == 30


@pytest.mark.parametrize(
    ("where", "folder"),
    [
        ({"simulator": {"output": "s3://shop/raw/"}}, "s3://shop/raw"),
        ({"storage": {"warehouse": "s3://shop/w"}}, "s3://shop/w/raw"),
        ({"storage": {"warehouse": "w"}}, "w/raw"),
    ],
)
def test_the_logs_go_to_an_address_as_it_is_written(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, where: dict, folder: str
) -> None:
    places: list[str] = []
    for form in ("csv", "json"):
        monkeypatch.setattr(DataFrameWriter, form, lambda writer, path, **_: places.append(path))
    monkeypatch.setattr(DataFrameReader, "text", lambda reader, paths: places.extend(paths) or spark.range(0))
    simulate.simulate(spark, from_mapping(where))
    assert set(places) == {f"{folder}/{log}" for log in ("clicks", "orders", "customers", "catalogue")}
