"""A label is a purchase within [as_of, as_of + horizon), in the shop's days, that stands when the horizon ends."""

from collections.abc import Callable
from datetime import date

from pyspark.sql import DataFrame

from propensity_spark.features.compute import moments
from propensity_spark.trainset.labels import bought

Make = Callable[..., DataFrame]
EVENT = (
    "user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, event_date DATE, cancelled_ts TIMESTAMP, is_bot BOOLEAN"
)
ZONE = "America/New_York"  # clocks went forward on 10 March: midnight is 05:00 UTC before and 04:00 after
BEGIN, END = "2024-03-05 05:00:00", "2024-03-12 04:00:00"
AS_OF, LAST_DAY, AFTER = date(2024, 3, 5), "2024-03-11", "2024-03-12"
JUST_BEFORE_END = "2024-03-12 03:59:59.999999"


def _purchase(product: str, ts: str, day: str, cancelled: str | None = None, bot: bool = False) -> tuple[object, ...]:
    return ("ann", product, "purchase", ts, day, cancelled, bot)


ROWS = (
    _purchase("at as_of", BEGIN, "2024-03-05"),
    _purchase("just before as_of", "2024-03-05 04:59:59.999999", "2024-03-04"),
    _purchase("last instant", JUST_BEFORE_END, LAST_DAY),
    _purchase("at the end", END, AFTER),
    _purchase("taken back within", BEGIN, "2024-03-05", cancelled=JUST_BEFORE_END),
    _purchase("taken back at the end", BEGIN, "2024-03-05", cancelled=END),
    _purchase("by a machine", BEGIN, "2024-03-05", bot=True),
    _purchase("twice", BEGIN, "2024-03-05"),
    _purchase("twice", JUST_BEFORE_END, LAST_DAY),
    _purchase("one stands", BEGIN, "2024-03-05", cancelled=JUST_BEFORE_END),
    _purchase("one stands", BEGIN, "2024-03-05"),
    ("ann", "only seen", "view", BEGIN, "2024-03-05", None, False),
    ("ann", "sent back", "return", BEGIN, "2024-03-05", None, False),
)


def test_a_label_is_a_purchase_from_as_of_up_to_the_horizon_that_stands(table: Make) -> None:
    events = table(EVENT, *ROWS)
    found = [r.product_id for r in bought(events, moments(events, [AS_OF], ZONE), 7, ZONE).collect()]
    assert sorted(found) == ["at as_of", "last instant", "one stands", "taken back at the end", "twice"]


def test_each_as_of_has_labels_of_its_own_horizon(table: Make) -> None:
    events = table(EVENT, *ROWS)
    days = [date(2024, 3, 4), date(2024, 3, 6), date(2024, 3, 11), date(2024, 3, 12)]
    found = {(r.as_of.day, r.product_id) for r in bought(events, moments(events, days, ZONE), 1, ZONE).collect()}
    assert found == {(4, "just before as_of"), (11, "last instant"), (11, "twice"), (12, "at the end")}


def test_a_longer_horizon_hears_of_later_purchases_and_later_cancellations(table: Make) -> None:
    events = table(EVENT, *ROWS)
    found = {r.product_id for r in bought(events, moments(events, [AS_OF], ZONE), 8, ZONE).collect()}
    assert found == {"at as_of", "last instant", "one stands", "twice", "at the end"}
