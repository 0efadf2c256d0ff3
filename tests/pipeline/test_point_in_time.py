"""Point in time is a law: rows at or after as_of change no feature, no population, no candidate of as_of."""

from collections.abc import Callable
from datetime import date

import pytest
from chispa.dataframe_comparer import assert_df_equality
from pyspark.sql import DataFrame

from propensity_spark.config import CandidateConfig, FeatureConfig, PopulationConfig
from propensity_spark.features import compute
from propensity_spark.features.definitions import feature_set
from propensity_spark.trainset.candidates import candidates
from propensity_spark.trainset.collaborative import Learning, history
from propensity_spark.trainset.labels import bought
from propensity_spark.trainset.population import population

EVENT = (
    "event_id STRING, user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, event_date DATE, price DOUBLE, "
    "quantity DOUBLE, amount DOUBLE, order_id STRING, session_no INT, category STRING, known_ts TIMESTAMP, "
    "cancelled_ts TIMESTAMP, cancelled_known_ts TIMESTAMP, is_bot BOOLEAN"
)
AS_OF, ZONE = date(2024, 4, 1), "Europe/London"  # clocks went forward on 31 March: midnight is 23:00 UTC
MIDNIGHT = "2024-03-31 23:00:00"
SET = feature_set(FeatureConfig(), frozenset({"view", "purchase"}), 28)


def _event(n: int, user: str, product: str, event: str, ts: str, day: str, cancelled: str | None = None) -> tuple[object, ...]:
    order = f"o{n}" if event == "purchase" else None
    return (f"e{n}", user, product, event, ts, day, 2.0, 3.0, 6.0, order, n, "c", ts, cancelled, cancelled, False)


PAST = (
    _event(1, "ann", "lamp", "purchase", "2024-03-31 22:59:59.999999", "2024-03-31"),  # the last microsecond that counts
    _event(2, "ann", "lamp", "purchase", "2024-03-05 00:00:00", "2024-03-05"),  # 27 days before
    _event(3, "ann", "mug", "purchase", "2024-03-04 00:00:00", "2024-03-04"),  # 28 days before: the window's first day
    _event(4, "ann", "vase", "purchase", "2024-03-03 23:59:59", "2024-03-03"),  # 29 days before
    _event(5, "bob", "lamp", "view", "2024-03-30 12:00:00", "2024-03-30"),
    _event(6, "bob", "mug", "purchase", "2024-03-20 12:00:00", "2024-03-20", cancelled="2024-04-02 12:00:00"),
    _event(7, "bob", "vase", "purchase", "2024-03-20 12:00:00", "2024-03-20", cancelled="2024-03-21 12:00:00"),
)
FUTURE = (
    _event(8, "ann", "lamp", "purchase", MIDNIGHT, "2024-04-01"),  # exactly at as_of
    _event(9, "cat", "lamp", "purchase", "2024-04-02 12:00:00", "2024-04-02"),
    _event(10, "bob", "clock", "view", "2024-04-01 12:00:00", "2024-04-01"),
)

Make = Callable[..., DataFrame]


def _known(events: DataFrame) -> dict[str, DataFrame]:
    """Features of every entity, and the candidates, as of AS_OF."""
    marked = compute.mark_firsts(events)
    seen = compute.as_seen(marked, compute.moments(events, [AS_OF], ZONE), 365)
    measured = compute.measure_pairs(seen, SET.measures)
    pairs = compute.pair_features(measured, SET.pair)
    products = compute.roll_up(measured, ("as_of", "product_id"), SET.product)
    users = compute.roll_up(measured, ("as_of", "user_id"), SET.user)
    everyone = population(seen, PopulationConfig(event="any", days=28))
    learning = Learning(horizon_days=28, half_life_days=120.0, seed=1)
    found = candidates(everyone, {"pair": pairs, "product": products}, history(seen, 300), CandidateConfig(), learning)
    return {"pairs": pairs, "products": products, "users": users, "population": everyone, "candidates": found}


def test_rows_at_or_after_as_of_change_nothing(table: Make) -> None:
    before, after = _known(table(EVENT, *PAST)), _known(table(EVENT, *PAST, *FUTURE))
    for name, frame in before.items():
        assert_df_equality(frame, after[name], ignore_row_order=True, allow_nan_equality=True, ignore_nullable=True)


def test_a_window_holds_its_first_day_and_not_the_day_before(table: Make) -> None:
    pairs = {(r.user_id, r.product_id): r for r in _known(table(EVENT, *PAST))["pairs"].collect()}
    assert pairs["ann", "lamp"].pair_purchases_28 == 2
    assert pairs["ann", "mug"].pair_purchases_28 == 1
    assert pairs["ann", "vase"].pair_purchases_28 == 0
    assert pairs["ann", "vase"].pair_purchases_90 == 1


def test_a_cancellation_counts_from_the_moment_it_was_made(table: Make) -> None:
    pairs = {(r.user_id, r.product_id): r for r in _known(table(EVENT, *PAST))["pairs"].collect()}
    assert pairs["bob", "mug"].pair_purchases_28 == 1  # taken back only after as_of
    assert pairs["bob", "vase"].pair_purchases_28 == 0  # taken back before


def test_labels_are_purchases_from_as_of_to_the_horizon_that_stand(table: Make) -> None:
    rows = (
        _event(1, "ann", "at", "purchase", MIDNIGHT, "2024-04-01"),
        _event(2, "ann", "before", "purchase", "2024-03-31 22:59:59", "2024-03-31"),
        _event(3, "ann", "last", "purchase", "2024-04-07 22:59:59", "2024-04-07"),
        _event(4, "ann", "after", "purchase", "2024-04-07 23:00:00", "2024-04-08"),
        _event(5, "ann", "taken_back", "purchase", "2024-04-02 10:00:00", "2024-04-02", cancelled="2024-04-03 10:00:00"),
        _event(6, "ann", "later", "purchase", "2024-04-02 10:00:00", "2024-04-02", cancelled="2024-04-07 23:00:00"),
        _event(7, "ann", "seen", "view", "2024-04-02 10:00:00", "2024-04-02"),
    )
    events = table(EVENT, *rows)
    found = bought(events, compute.moments(events, [AS_OF], ZONE), 7, ZONE, AS_OF)
    assert {row.product_id for row in found.collect()} == {"at", "last", "later"}


@pytest.mark.parametrize("entity", ["pair", "user", "product"])
def test_every_feature_says_what_it_is(entity: str) -> None:
    for feature in getattr(SET, entity):
        assert feature.description, feature.name
