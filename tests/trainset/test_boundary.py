"""With every row from as_of on taken away, an honest feature is what it was; one that saw beyond the boundary is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import FeatureConfig
from propensity_spark.features import compute
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.lineage import measures_of
from propensity_spark.features.spec import KEYS, FeatureSet, Measure
from propensity_spark.trainset import boundary
from propensity_spark.trainset.differences import ROW, Difference, differences

EVENT = (
    "event_id STRING, user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, event_date DATE, price DOUBLE, "
    "quantity DOUBLE, amount DOUBLE, order_id STRING, session_no INT, category STRING, known_ts TIMESTAMP, "
    "cancelled_ts TIMESTAMP, cancelled_known_ts TIMESTAMP, is_bot BOOLEAN"
)
AS_OF, ZONE = date(2024, 4, 1), "Europe/London"  # clocks went forward on 31 March: midnight is 23:00 UTC
MIDNIGHT = "2024-03-31 23:00:00"
NAMES = {"pair_purchases_7", "pair_quantity", "pair_seen_last", "user_purchases_7", "user_purchases_28", "product_price"}


def _few(declared: FeatureSet) -> FeatureSet:
    """Some features of each entity: tests/pipeline tries all of them."""
    kept = {entity: tuple(f for f in declared.of(entity) if f.name in NAMES) for entity in boundary.CHECKED}
    measures = measures_of(declared, [feature for features in kept.values() for feature in features])
    return replace(declared, measures=measures, **kept)


SET = _few(feature_set(FeatureConfig(windows=(1, 7, 28)), frozenset({"purchase"}), 28))
Make = Callable[..., DataFrame]


def _event(n: int, user: str, product: str, ts: str, day: str, known: str = "", cancelled: str | None = None) -> tuple[object, ...]:
    what = (f"e{n}", user, product, "purchase", ts, day, 2.0 + n, 3.0, 6.0 + 3 * n, f"o{n}", n, "c")
    return (*what, known or ts, cancelled, cancelled, False)


ROWS = (
    _event(1, "ann", "lamp", "2024-03-31 22:59:59.999999", "2024-03-31"),  # the last microsecond that counts
    _event(2, "ann", "lamp", MIDNIGHT, "2024-04-01"),  # exactly at as_of: ann is a witness
    _event(3, "bob", "mug", "2024-03-20 12:00:00", "2024-03-20", known=MIDNIGHT),  # learned of at as_of: a witness
    _event(4, "bob", "mug", "2024-03-19 12:00:00", "2024-03-19"),
    _event(5, "cat", "mug", "2024-03-20 12:00:00", "2024-03-20", cancelled=MIDNIGHT),  # taken back later: a witness
    _event(6, "dan", "vase", "2024-03-20 12:00:00", "2024-03-20", cancelled="2024-03-31 22:59:59"),  # all known before
    _event(7, "eve", "vase", "2024-04-02 12:00:00", "2024-04-02"),  # not yet there
    _event(8, "fay", "clock", MIDNIGHT, "2024-04-01"),  # first seen on the day of as_of: a witness
)


def _table(events: DataFrame, moment: DataFrame, declared: FeatureSet, entity: str) -> DataFrame:
    """What a table holds that is made from all events."""
    measured = compute.measure_pairs(compute.as_seen(compute.mark_firsts(events), moment, 365), declared.measures)
    features = declared.of(entity)
    return compute.pair_features(measured, features) if entity == "pair" else compute.roll_up(measured, _keys(entity), features)


def _keys(entity: str) -> tuple[str, ...]:
    return ("as_of", *KEYS[entity])


def _choose(events: DataFrame, key: str, most: int = 50, max_events: int = 1000, day: date = AS_OF) -> boundary.Chosen:
    return boundary.choose(events, compute.moments(events, [day], ZONE), key, most, max_events, 365)


def _moved(events: DataFrame, stored: DataFrame, entity: str, declared: FeatureSet = SET) -> dict[str, Difference]:
    chosen = _choose(events, boundary.CHECKED[entity])
    pairs = boundary.measured(chosen.of(events), [AS_OF], ZONE, declared, chosen.key)
    names = [feature.name for feature in declared.of(entity)]
    found, _ = differences(stored, boundary.again(pairs, declared, entity), names, KEYS[entity], whole=True)
    return {each.feature: each for each in found}


@pytest.mark.parametrize("entity", boundary.CHECKED)
def test_honest_features_stay_what_they_are(table: Make, entity: str) -> None:
    events = table(EVENT, *ROWS)
    assert _moved(events, _table(events, compute.moments(events, [AS_OF], ZONE), SET, entity), entity) == {}


def test_a_window_that_includes_as_of_is_found(table: Make) -> None:
    events = table(EVENT, *ROWS)
    moment = compute.moments(events, [AS_OF], ZONE)
    included = events.withColumn(
        "event_date", F.when(F.col("event_date") == F.lit(AS_OF), F.date_sub("event_date", 1)).otherwise(F.col("event_date"))
    )
    late = included.withColumn("known_ts", F.expr("least(known_ts, TIMESTAMP'2024-03-31 22:59:59')"))
    found = _moved(events, _table(late, moment, SET, "user"), "user")
    told = found["user_purchases_7"]
    assert (told.key, told.stored, told.recomputed) == (("ann",), 2.0, 1.0)
    assert (told.rows, told.compared) == (1, 5)  # bob's late row is older than seven days
    assert found["user_purchases_28"].rows == 2
    assert (found[ROW].key, found[ROW].rows) == (("fay",), 1)


def test_an_attribute_of_the_future_is_found(table: Make) -> None:
    """A purchase that is taken back later knows it already."""
    events = table(EVENT, *ROWS)
    leaky = Measure(name="quantity_ever", where="event = 'purchase' AND cancelled_ts IS NULL", value="quantity")
    declared = replace(SET, measures=tuple(leaky if m.name == leaky.name else m for m in SET.measures))
    stored = _table(events, compute.moments(events, [AS_OF], ZONE), declared, "pair")
    found = _moved(events, stored, "pair", declared)
    assert set(found) == {"pair_quantity"}
    told = found["pair_quantity"]
    assert (told.key, told.stored, told.recomputed, told.rows) == (("cat", "mug"), 0.0, 3.0, 1)


def test_a_join_on_the_latest_version_is_found(table: Make) -> None:
    """The price of a product as it is now, in a row of the past."""
    events = table(EVENT, *ROWS)
    now = _table(events, compute.moments(events, [date(2024, 5, 1)], ZONE), SET, "product")
    stored = _table(events, compute.moments(events, [AS_OF], ZONE), SET, "product")
    joined = stored.drop("product_price").join(now.select("product_id", "product_price"), "product_id", "left")
    found = _moved(events, joined, "product")
    assert set(found) == {"product_price"}
    told = found["product_price"]
    assert told.rows == 3
    assert (told.key, told.stored, told.recomputed) == (("vase",), 9.0, None)  # its only sale by then had been taken back


def _quiet(many: int) -> tuple[tuple[object, ...], ...]:
    return tuple(_event(n, f"quiet{n}", "lamp", "2024-03-10 12:00:00", "2024-03-10") for n in range(100, 100 + many))


def test_the_users_with_a_row_at_the_boundary_are_among_the_chosen(table: Make) -> None:
    events = table(EVENT, *ROWS, *_quiet(40))
    chosen = _choose(events, "user_id", most=5)
    assert {"ann", "bob", "cat", "fay"} <= set(chosen.values)
    assert "eve" not in chosen.values
    assert chosen.witnesses == {AS_OF: 4}
    assert len(chosen.values) == 9  # four witnesses, five others
    assert chosen == _choose(events.repartition(3), "user_id", most=5)


def test_no_more_events_are_read_again_than_the_configured(table: Make) -> None:
    heavy = tuple(_event(n, "gus", "lamp", "2024-03-10 12:00:00", "2024-03-10") for n in range(200, 240))
    events = table(EVENT, *ROWS, *_quiet(10), *heavy)
    chosen = _choose(events, "user_id", max_events=12)
    assert "gus" not in chosen.values  # passed over: his events alone do not fit
    assert 6 <= chosen.of(events).count() <= 12
    assert chosen.witnesses[AS_OF] >= 2
    assert _choose(events, "user_id", max_events=0).values == ()


def test_users_without_a_row_in_the_history_are_not_looked_at(table: Make) -> None:
    old = _event(300, "old", "lamp", "2020-03-10 12:00:00", "2020-03-10")
    assert "old" not in _choose(table(EVENT, *ROWS, old), "user_id").values


def test_a_feature_of_whole_orders_is_not_made_of_a_products_rows() -> None:
    """order_first marks one line of an order: without the other products' lines it would move."""
    placed = Measure(name="placed", where="event = 'purchase'", value="order_first")
    declared = replace(SET, measures=(*SET.measures, placed))
    feature = replace(declared.of("product")[0], name="product_placed", expression="sum(placed)")
    made = replace(declared, product=(*declared.product, feature), user=(*declared.user, feature))
    assert "product_placed" not in {f.name for f in boundary.features_of(made, "product")}
    assert {f.name for f in boundary.features_of(made, "product")} == {f.name for f in SET.product}
    assert "product_placed" in {f.name for f in boundary.features_of(made, "user")}


def test_every_declared_feature_of_a_product_can_be_made_again() -> None:
    declared = feature_set(FeatureConfig(), frozenset({"view", "cart", "favourite", "purchase", "return"}), 28)
    assert boundary.features_of(declared, "product") == declared.product
