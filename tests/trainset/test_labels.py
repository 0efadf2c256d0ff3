"""A label is a purchase within [as_of, as_of + horizon), in the shop's days, that stands when the horizon ends."""

from collections.abc import Callable
from datetime import date

from pyspark.sql import DataFrame

from propensity_spark.features.compute import moments
from propensity_spark.trainset.labels import bought

Make = Callable[..., DataFrame]
EVENT = (
    "user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, event_date DATE, known_ts TIMESTAMP, "
    "cancelled_ts TIMESTAMP, cancelled_known_ts TIMESTAMP, is_bot BOOLEAN"
)
ZONE = "America/New_York"  # clocks went forward on 10 March: midnight is 05:00 UTC before and 04:00 after
BEGIN, END = "2024-03-05 05:00:00", "2024-03-12 04:00:00"
AS_OF, LAST_DAY, AFTER = date(2024, 3, 5), "2024-03-11", "2024-03-12"
SCORED = date(2024, 4, 1)
JUST_BEFORE_END = "2024-03-12 03:59:59.999999"


def _purchase(product: str, ts: str, day: str, cancelled: str | None = None, bot: bool = False) -> tuple[object, ...]:
    return ("ann", product, "purchase", ts, day, ts, cancelled, cancelled, bot)


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
    ("ann", "only seen", "view", BEGIN, "2024-03-05", BEGIN, None, None, False),
    ("ann", "sent back", "return", BEGIN, "2024-03-05", BEGIN, None, None, False),
)


def test_a_label_is_a_purchase_from_as_of_up_to_the_horizon_that_stands(table: Make) -> None:
    events = table(EVENT, *ROWS)
    found = [r.product_id for r in bought(events, moments(events, [AS_OF], ZONE), 7, ZONE, SCORED).collect()]
    assert sorted(found) == ["at as_of", "last instant", "one stands", "taken back at the end", "twice"]


def test_each_as_of_has_labels_of_its_own_horizon(table: Make) -> None:
    events = table(EVENT, *ROWS)
    days = [date(2024, 3, 4), date(2024, 3, 6), date(2024, 3, 11), date(2024, 3, 12)]
    found = {(r.as_of.day, r.product_id) for r in bought(events, moments(events, days, ZONE), 1, ZONE, SCORED).collect()}
    assert found == {(4, "just before as_of"), (11, "last instant"), (11, "twice"), (12, "at the end")}


def test_a_longer_horizon_hears_of_later_purchases_and_later_cancellations(table: Make) -> None:
    events = table(EVENT, *ROWS)
    found = {r.product_id for r in bought(events, moments(events, [AS_OF], ZONE), 8, ZONE, SCORED).collect()}
    assert found == {"at as_of", "last instant", "one stands", "twice", "at the end"}


def test_a_label_is_learnt_from_only_where_it_was_known_when_the_scored_day_began(table: Make) -> None:
    def row(product: str, known: str, cancelled: str | None = None, heard: str | None = None) -> tuple[object, ...]:
        return ("ann", product, "purchase", BEGIN, "2024-03-05", known, cancelled, heard, False)

    events = table(
        EVENT,
        row("in time", JUST_BEFORE_END),
        row("late", END),
        row("taken back in time", BEGIN, BEGIN, JUST_BEFORE_END),
        row("taken back, heard late", BEGIN, BEGIN, END),
    )
    as_of, end = moments(events, [AS_OF], ZONE), date(2024, 3, 12)
    learnt = {r.product_id for r in bought(events, as_of, 7, ZONE, scored=end).collect()}
    assert learnt == {"in time", "taken back, heard late"}
    judged = {r.product_id for r in bought(events, as_of, 7, ZONE, scored=AS_OF).collect()}
    assert judged == {"in time", "late"}
