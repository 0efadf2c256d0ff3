"""Who is known but not scored, what was on sale and what of it they bought: to the microsecond of the shop's midnight."""

from collections.abc import Callable
from datetime import date

from pyspark.sql import DataFrame

from propensity_spark.features.compute import moments
from propensity_spark.trainset.newcomers import NEW, NONE, OLD, counts, first_buyers, first_known, on_sale, unscored

Make = Callable[..., DataFrame]
EVENT = "user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, known_ts TIMESTAMP, is_bot BOOLEAN"
VERSION = "user_id STRING, valid_from TIMESTAMP, known_ts TIMESTAMP"
ZONE = "America/New_York"  # clocks went forward on 10 March: midnight is 05:00 UTC before and 04:00 after
AS_OF, BEGIN, END = date(2024, 3, 5), "2024-03-05 05:00:00", "2024-03-12 04:00:00"
BEFORE, JUST_BEFORE_END = "2024-03-05 04:59:59.999999", "2024-03-12 03:59:59.999999"
EARLY = "2024-02-01 00:00:00"
EVER = "1900-01-01 00:00:00"
SINCE, BEFORE_THAT = "2024-02-27 05:00:00", "2024-02-27 04:59:59.999999"  # a week before AS_OF


def _did(user: str, at: str, event: str = "purchase", known: str | None = None, bot: bool = False) -> tuple[object, ...]:
    return (user, "a", event, at, known or at, bot)


def test_a_user_is_known_and_has_ordered_from_what_was_seen_before_midnight(table: Make) -> None:
    events = table(
        EVENT,
        _did("looks before", BEFORE, "view"),
        _did("looks at midnight", BEGIN, "view"),
        _did("orders before", BEFORE),
        _did("orders at midnight", EARLY, "view"),
        _did("orders at midnight", BEGIN),
        _did("orders before, heard late", EARLY, "view"),
        _did("orders before, heard late", BEFORE, known=BEGIN),
        _did("scored", EARLY),
        _did("machine", EARLY, "view", bot=True),
        _did("sends back", EARLY, "return"),
        _did("listed, looks before", BEFORE, "view"),
        _did("listed, orders at midnight", BEGIN),
    )
    versions = table(
        VERSION,
        ("registered before", BEFORE, BEFORE),
        ("registered at midnight", BEGIN, BEGIN),
        ("registered before, heard late", BEFORE, BEGIN),
        ("registered twice", END, END),
        ("registered twice", EARLY, EARLY),
        ("registered a week ago", SINCE, SINCE),
        ("registered just before that", BEFORE_THAT, BEFORE_THAT),
        ("registered before that, heard a week ago", BEFORE_THAT, SINCE),
        *((f"listed{rest}", EVER, EVER) for rest in ("", ", looks before", ", orders at midnight", ", moved since")),
        ("listed, moved since", BEGIN, BEGIN),
        ("listed, looks before", EARLY, EARLY),
    )
    scored = table("as_of DATE, user_id STRING", ("2024-03-05", "scored"), ("2024-03-04", "looks before"))
    users, as_of = first_known(events, versions, "user_id"), moments(events, [AS_OF], ZONE)
    found = {row.user_id: row.history for row in unscored(users, scored, as_of, 7, ZONE).collect()}
    assert found == {
        "looks before": NEW,
        "orders before": OLD,
        "orders at midnight": NONE,
        "orders before, heard late": NONE,
        "registered before": NEW,
        "registered twice": NONE,
        "registered a week ago": NEW,
        "registered just before that": NONE,
        "registered before that, heard a week ago": NEW,
        "listed, looks before": NEW,
    }
    listed = {row.user_id: row.history for row in unscored(users, scored, as_of, 7, ZONE, with_listed=True).collect()}
    assert listed == {**found, "listed": NONE, "listed, moved since": NONE}
    plain = {row.user_id: row.history for row in unscored(users, scored, as_of, 0, ZONE).collect()}
    assert plain == {user: NONE if history == NEW else history for user, history in found.items()}, "nobody is new for no days"


def test_a_first_order_falls_within_the_horizon_and_is_the_first(table: Make) -> None:
    events = table(
        EVENT,
        _did("at midnight", BEGIN),
        _did("before", BEFORE),
        _did("before and after", BEFORE),
        _did("before and after", BEGIN),
        _did("last instant", JUST_BEFORE_END),
        _did("at the end", END),
        _did("only looks", BEGIN, "view"),
    )
    found = first_buyers(first_known(events, None, "user_id"), moments(events, [AS_OF], ZONE), 7, ZONE)
    assert sorted(row.user_id for row in found.collect()) == ["at midnight", "last instant"]


def test_a_product_is_on_sale_once_known_and_new_until_it_was_touched_long_ago(table: Make) -> None:
    def seen(product: str, at: str, known: str | None = None) -> tuple[object, ...]:
        return ("ann", product, "view", at, known or at, False)

    events = table(
        EVENT,
        seen("touched two days before", "2024-03-03 05:00:00"),
        seen("touched a moment earlier", "2024-03-03 04:59:59.999999"),
        seen("touched a moment earlier", BEFORE),
        seen("at midnight", BEGIN),
        seen("heard late", EARLY, BEGIN),
        seen("in the catalogue, touched late", BEGIN),
        seen("in one without dates, touched before", BEFORE),
        seen("in one without dates, touched late", BEGIN),
    )
    versions = table(
        VERSION.replace("user_id", "product_id"),
        ("in the catalogue", EARLY, EARLY),
        ("in the catalogue, touched late", EARLY, EARLY),
        ("in the next catalogue", BEGIN, EARLY),
        *((f"in one without dates{rest}", EVER, EVER) for rest in ("", ", touched before", ", touched late")),
    )
    found = on_sale(first_known(events, versions, "product_id"), moments(events, [AS_OF], ZONE), 2, ZONE)
    assert {row.product_id: row.is_new for row in found.collect()} == {
        "touched two days before": True,
        "touched a moment earlier": False,
        "in the catalogue": True,
        "in the catalogue, touched late": True,
        "in one without dates": True,
        "in one without dates, touched before": True,
    }


def test_a_user_counts_at_every_date_at_which_the_product_was_on_sale(table: Make) -> None:
    users = table(
        "as_of DATE, user_id STRING, history STRING, segment STRING",
        ("2024-03-05", "ann", NONE, "north"),
        ("2024-03-12", "ann", NONE, "north"),
        ("2024-03-12", "bob", NONE, "north"),
        ("2024-03-12", "cy", OLD, "north"),
    )
    products = table(
        "as_of DATE, product_id STRING, is_new BOOLEAN",
        ("2024-03-05", "a", False),
        ("2024-03-12", "a", False),
        ("2024-03-12", "b", True),
    )
    purchases = table(
        "as_of DATE, user_id STRING, product_id STRING",
        ("2024-03-12", "ann", "a"),
        ("2024-03-12", "bob", "a"),
        ("2024-03-12", "bob", "not on sale"),
        ("2024-03-05", "bob", "a"),  # bob was not there yet
        ("2024-03-12", "cy", "b"),
        ("2024-03-12", "dora", "a"),  # she is scored
    )
    found = {(r.history, r.product_id): (r.is_new, r.users, r.purchases) for r in counts(users, products, purchases).collect()}
    assert found == {(NONE, "a"): (False, 3, 2), (NONE, "b"): (True, 2, 0), (OLD, "a"): (False, 1, 0), (OLD, "b"): (True, 1, 1)}
