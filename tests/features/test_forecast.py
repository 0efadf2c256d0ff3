"""Forecasts are rates, shrunk: by hand for one user, and defined where nothing is known."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest
from pyspark.sql import DataFrame

from propensity_spark.features import forecast
from propensity_spark.features.compute import derive

Make = Callable[..., DataFrame]
KNOWN = {
    "pair_views": 8.0,
    "user_views": 100.0,
    "user_tenure": 56.0,
    "user_intents": 20.0,
    "product_views": 50.0,
    "product_intents": 0.0,
    "category_views": 200.0,
    "ucat_taste": 0.4,
    "shop_views": 1000.0,
    "shop_intents": 100.0,
    "shop_lines": 50.0,
}


def _forecast(table: Make, **changes: float | None) -> dict[str, Any]:
    values = {**KNOWN, **changes}
    made = derive(table(", ".join(f"{name} DOUBLE" for name in values), tuple(values.values())), forecast.row())
    return dict(made.collect()[0].asDict())


def test_a_known_user_by_hand(table: Make) -> None:
    row = _forecast(table)
    share = 0.4 * 50 / 200  # taste for the category, the product's part of it
    eagerness, pull = (20 + 10) / (100 * 0.1 + 10), (0 + 10) / (50 * 0.1 + 10)
    per_view = eagerness * pull * 50 / 1000
    rate = 100 / 56 * 28
    wanted = {
        "browse_share": share,
        "user_view_rate": rate,
        "own_views": 8 / 56 * 28,
        "browse_views": share * rate,
        "pair_surprise": (8 - share * 100) / sqrt(share * 100 + 1),
        "extra_views": 0.0,
        "user_eagerness": eagerness,
        "product_pull": pull,
        "forecast_views": rate * (8 + 100 * share) / 200,
        "own_orders": 4 * per_view,
        "browse_orders": share * rate * per_view,
        "extra_orders": share * rate * per_view,
        "forecast_orders": rate * (8 + 100 * share) / 200 * per_view,
        "forecast_orders_own": rate * (8 + 30 * share) / 130 * per_view,
    }
    assert {name: row[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)
    assert set(wanted) == {feature.name for feature in forecast.row()}


def test_a_favourite_stands_out(table: Make) -> None:
    row = _forecast(table, pair_views=20.0)
    assert row["extra_views"] == pytest.approx((20 - 10 - sqrt(11)) / 2, rel=1e-5)
    assert row["extra_orders"] > row["browse_orders"]


def test_without_a_category_or_a_view_popularity_speaks(table: Make) -> None:
    assert _forecast(table, category_views=None, ucat_taste=None)["browse_share"] == pytest.approx(0.05)
    assert _forecast(table, user_views=0.0, pair_views=None, ucat_taste=None)["browse_share"] == pytest.approx(0.05)
    assert _forecast(table, ucat_taste=None)["browse_share"] == 0.0  # has looked, and never at this category


def test_the_first_hours_are_no_rate(table: Make) -> None:
    assert _forecast(table, user_tenure=0.1)["user_view_rate"] == _forecast(table, user_tenure=14.0)["user_view_rate"] == 200.0


def test_a_shop_without_views_yet_forecasts_nothing(table: Make) -> None:
    row = _forecast(table, shop_views=0.0, user_views=0.0, product_views=0.0, category_views=0.0, pair_views=None)
    assert row["forecast_orders"] is None
