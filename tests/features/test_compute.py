"""Features are what was true before the shop's midnight: by rows on the boundary, and by an oracle in plain Python."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from features.handmade import AS_OF, TICK, ZONE, Event, ago, frame_of, noon
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import FeatureConfig
from propensity_spark.features import compute
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.spec import Feature, Measure

WINDOWS, HALF_LIFE, HISTORY, POPULAR_DAYS = (1, 7, 28), 10.0, 60, 10
CONFIG = FeatureConfig(windows=WINDOWS, half_life_days=HALF_LIFE, history_days=HISTORY)
SET = feature_set(CONFIG, frozenset({"view", "cart", "purchase"}), POPULAR_DAYS)
Known = Mapping[str, Mapping[tuple[str, ...], Row]]


def known(spark: SparkSession, events: Iterable[Event]) -> Known:
    """The features of every entity as of AS_OF, by key."""
    marked = compute.mark_firsts(frame_of(spark, events))
    seen = compute.as_seen(marked, compute.moments(marked, [AS_OF], str(ZONE)), HISTORY)
    measured = compute.measure_pairs(seen, SET.measures).persist()
    made = {
        ("user_id", "product_id"): compute.pair_features(measured, SET.pair),
        ("user_id",): compute.roll_up(measured, ("as_of", "user_id"), SET.user),
        ("product_id",): compute.roll_up(measured, ("as_of", "product_id"), SET.product),
    }
    found = {" ".join(keys): {tuple(r[k] for k in keys): r for r in frame.collect()} for keys, frame in made.items()}
    measured.unpersist()
    return {"pair": found["user_id product_id"], "user": found["user_id"], "product": found["product_id"]}


EDGES = [
    event
    for days in (*WINDOWS, HISTORY)
    for event in (
        Event(user="edge", product=f"in{days}", event="view", at=ago(days)),
        Event(user="edge", product=f"out{days}", event="view", at=ago(days) - TICK),
    )
]
LAST = Event(user="edge", product="last", event="view", at=ago(0) - TICK)
ORDERS = [
    Event(user="orders", product="lamp", order="o1", at=noon(9), quantity=2.0),
    Event(user="orders", product="lamp", order="o1", at=noon(9), quantity=3.0),
    Event(user="orders", product="mug", order="o1", at=noon(9)),
    Event(user="orders", product="mug", at=noon(5), session=2, price=None),  # no order number: the visit is the order
    Event(user="orders", product="vase", at=noon(5) + timedelta(minutes=1), session=2),
]
CANCELS = [
    Event(user="cancels", product="before", order="c1", at=noon(9), cancelled=ago(0) - TICK),
    Event(user="cancels", product="at", order="c2", at=noon(8), cancelled=ago(0)),
    Event(user="cancels", product="after", order="c3", at=noon(7), cancelled=ago(-3)),
]
HALF = [
    Event(user="half", product="bowl", order="h1", at=noon(9), cancelled=noon(8)),  # the first line of two went back
    Event(user="half", product="bowl", order="h1", at=noon(9), quantity=2.0),
]
GAPS = [
    Event(user="gap", product="jug", order="g1", at=noon(25)),
    Event(user="gap", product="cup", order="g2", at=noon(5), cancelled=noon(4)),
]
MACHINE = [Event(user="machine", product="lamp", order="m1", at=noon(3), bot=True)]
HAND = [*EDGES, LAST, *ORDERS, *CANCELS, *HALF, *GAPS, *MACHINE]
FUTURE = [
    Event(user="edge", product="last", event="view", at=ago(0)),  # exactly at as_of
    Event(user="edge", product="at", event="view", at=ago(0)),
    Event(user="orders", product="lamp", order="o1", at=ago(0), quantity=5.0),  # a further line of an old order
    Event(user="p_ann", product="p0", order="f1", at=ago(-1)),
    Event(user="new", product="p0", order="f2", at=ago(-2)),
]


def random_events() -> list[Event]:
    """Sixty seeded events of three users; an order's lines share one time."""
    draw, events = Random(11), list[Event]()
    for _ in range(60):
        user, product = draw.choice(["p_ann", "p_bob", "p_cat"]), draw.choice(["p0", "p1", "p2", "p3"])
        kind, number = draw.choice(["view", "view", "cart", "purchase", "purchase"]), draw.randrange(7)
        at = ago(0) - timedelta(seconds=draw.randrange(-3 * 86_400, 65 * 86_400))
        if kind == "purchase":
            at = noon(1 + 9 * number) + timedelta(minutes=len(user))
        price = None if draw.random() < 0.1 else float(draw.randrange(1, 9))
        order = f"{user}{number}" if kind == "purchase" else None
        events.append(
            Event(user=user, product=product, event=kind, at=at, order=order, price=price, quantity=draw.choice([1.0, 3.0]))
        )
    lines = Counter((e.order, e.product) for e in events)
    took = timedelta(days=5)
    events = [
        replace(e, cancelled=e.at + took) if e.order and lines[e.order, e.product] == 1 and draw.random() < 0.3 else e
        for e in events
    ]
    return numbered(events)


def numbered(events: list[Event]) -> list[Event]:
    """The events with their visit: each time of a user is one (none are within half an hour of another)."""
    times = defaultdict(set)
    for e in events:
        times[e.user].add(e.at)
    place = {(user, at): number for user, all_ in times.items() for number, at in enumerate(sorted(all_), 1)}
    return [replace(e, session=place[e.user, e.at]) for e in events]


RANDOM = random_events()


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> Known:
    """One pass for all rows: users and products of the tests are apart."""
    return known(spark, [*HAND, *RANDOM])


@pytest.mark.parametrize("days", WINDOWS)
def test_a_window_begins_at_the_shops_midnight_and_not_a_microsecond_before(found: Known, days: int) -> None:
    name = f"pair_views_{days}"
    assert found["pair"]["edge", f"in{days}"][name] == 1
    assert found["pair"]["edge", f"out{days}"][name] == 0
    assert found["pair"]["edge", "last"][name] == 1
    assert found["user"]["edge",][f"user_views_{days}"] == 2 * WINDOWS.index(days) + 2


def test_the_history_begins_at_the_shops_midnight_as_well(found: Known) -> None:
    assert ("edge", f"in{HISTORY}") in found["pair"]
    assert ("edge", f"out{HISTORY}") not in found["pair"]


def test_a_day_that_lost_an_hour_counts_as_a_day_but_its_age_is_the_time_that_passed(found: Known) -> None:
    assert found["pair"]["edge", "in1"].pair_views_last == pytest.approx(23 / 24)
    assert found["pair"]["edge", "in7"].pair_views_last == pytest.approx(7 - 1 / 24)
    assert found["pair"]["edge", "last"].pair_seen_last == pytest.approx(0, abs=1e-6)


def test_rows_at_or_after_as_of_change_no_feature(spark: SparkSession, found: Known) -> None:
    assert known(spark, [*HAND, *RANDOM, *FUTURE]) == found


LATE = [  # all of it happened before as_of; the shop learned of it at as_of or after
    Event(user="orders", product="lamp", order="o1", at=noon(10), quantity=7.0, known=ago(0)),  # would open order and line
    Event(user="orders", product="bed", at=noon(5) - timedelta(minutes=1), session=2, known=ago(-1)),  # would open the visit
    Event(user="p_ann", product="p0", event="view", at=ago(40), known=ago(-3)),
    Event(user="unheard", product="p0", at=noon(3), known=ago(0)),
]
CORRECTED = [
    Event(user="corrected", product="sofa", at=noon(9), order="k1", cancelled=noon(8), cancelled_known=ago(0)),
    Event(user="corrected", product="sofa", at=noon(9), order="k1", quantity=2.0),
    Event(user="corrected", product="rug", at=noon(9), order="k2", cancelled=noon(8), cancelled_known=ago(0) - TICK),
]


def test_what_was_learned_of_at_as_of_or_after_changes_no_feature(spark: SparkSession, found: Known) -> None:
    assert known(spark, [*HAND, *RANDOM, *LATE]) == found


def test_what_was_learned_of_a_microsecond_before_counts(spark: SparkSession) -> None:
    heard = known(spark, [replace(LATE[-1], known=ago(0) - TICK)])
    assert heard["user"]["unheard",].user_orders == 1


def test_a_correction_counts_from_when_it_was_known(spark: SparkSession) -> None:
    pairs = known(spark, CORRECTED)["pair"]
    assert (pairs["corrected", "sofa"].pair_orders, pairs["corrected", "sofa"].pair_quantity) == (1, 3)
    assert (pairs["corrected", "rug"].pair_orders, pairs["corrected", "rug"].pair_quantity) == (0, 0)


def test_a_line_counts_once_though_its_first_row_came_late(spark: SparkSession) -> None:
    late = replace(LATE[0], known=noon(2))
    pairs = known(spark, [*ORDERS, late])["pair"]
    assert (pairs["orders", "lamp"].pair_orders, pairs["orders", "lamp"].pair_quantity) == (1, 12)
    assert known(spark, [*ORDERS, late])["user"]["orders",].user_orders == 2


def test_an_order_of_several_lines_is_one_order(found: Known) -> None:
    user, lamp = found["user"]["orders",], found["pair"]["orders", "lamp"]
    assert (user.user_orders, user.user_orders_7, user.user_orders_28) == (2, 1, 2)
    assert (user.user_purchases, user.user_purchases_28, user.user_basket) == (4, 5, 2.0)
    assert (lamp.pair_orders, lamp.pair_quantity, lamp.pair_spend) == (1, 5, 10)
    assert lamp.pair_orders_decayed == pytest.approx(0.5 ** ((8.5 - 1 / 24) / HALF_LIFE))
    assert found["pair"]["orders", "mug"].pair_orders == 2
    assert user.user_price == 2.0  # the line without a price is not a price of 0


def test_a_purchase_is_one_until_it_was_taken_back(found: Known) -> None:
    orders = {product: found["pair"]["cancels", product].pair_orders for product in ("before", "at", "after")}
    assert orders == {"before": 0, "at": 1, "after": 1}
    gone = found["pair"]["cancels", "before"]
    assert (gone.pair_purchases_28, gone.pair_spend, gone.pair_quantity) == (0, 0, 0)
    assert gone.pair_purchases_last is None
    assert gone.pair_first is None
    assert gone.pair_seen_last is not None  # something did happen
    assert found["user"]["cancels",].user_orders == 3  # placed all the same
    assert found["product"]["before",].product_buyers == 0


def test_an_order_counts_for_a_product_while_one_of_its_lines_stands(found: Known) -> None:
    left = found["pair"]["half", "bowl"]
    assert (left.pair_quantity, left.pair_purchases_28) == (2, 1)
    assert left.pair_orders == 1
    assert found["product"]["bowl",].product_buyers == 1


def test_the_gap_between_orders_is_that_of_orders_placed(found: Known) -> None:
    user = found["user"]["gap",]  # two orders twenty days apart; the second was taken back
    assert (user.user_orders, user.user_gap) == (2, pytest.approx(20, abs=0.1))
    assert user.user_due < 1 < user.user_purchases_last / user.user_gap, "by the order that was taken back"


def test_machines_leave_no_trace(found: Known) -> None:
    assert ("machine",) not in found["user"]
    assert ("machine", "lamp") not in found["pair"]
    assert found["product"]["lamp",].product_buyers == 1


def test_what_never_happened_is_nought_as_a_sum_and_unknown_as_an_age(found: Known) -> None:
    pair = found["pair"]["edge", "in28"]
    assert (pair.pair_carts_28, pair.pair_orders, pair.pair_spend) == (0, 0, 0)
    assert (pair.pair_purchases_last, pair.pair_gap, found["user"]["edge",].user_repeat_rate) == (None, None, None)


# --- the oracle: plain Python over the events that stand before as_of ---


def inside(events: Sequence[Event], days: int) -> list[Event]:
    """Those within the half-open window, as instants."""
    return [e for e in events if ago(days) <= e.at < ago(0)]


def age(e: Event) -> float:
    return (ago(0) - e.at).total_seconds() / 86_400


def standing(events: Sequence[Event], kind: str, days: int = HISTORY) -> list[Event]:
    """Events of a kind in a window, without purchases that had been taken back by as_of."""
    return [e for e in inside(events, days) if e.event == kind and not (e.cancelled and e.cancelled < ago(0))]


def lines(events: Sequence[Event]) -> dict[tuple[str | None, str], Event]:
    """One purchase per order and product."""
    return {(e.order, e.product): e for e in standing(events, "purchase")}


def buyers(events: Sequence[Event], days: int = HISTORY) -> int:
    return len({e.user for e in standing(events, "purchase", days)})


def per(events: Sequence[Event], part: str) -> list[int]:
    """Order lines per user or per product."""
    return list(Counter(getattr(e, part) for e in lines(events).values()).values())


def again(counts: list[int]) -> float | None:
    return sum(n > 1 for n in counts) / len(counts) if counts else None


def mean_price(events: Sequence[Event]) -> float | None:
    prices = [e.price for e in standing(events, "purchase") if e.price is not None]
    return sum(prices) / len(prices) if prices else None


def faded(events: Iterable[Event], half_life: float) -> float:
    return sum(0.5 ** (age(e) / half_life) for e in events)


def spend(events: Sequence[Event], days: int = HISTORY) -> float:
    return sum(e.amount or 0.0 for e in standing(events, "purchase", days))


def first(events: Sequence[Event]) -> float | None:
    return max((age(e) for e in events), default=None)


def last(events: Sequence[Event]) -> float | None:
    return min((age(e) for e in events), default=None)


def span(events: Sequence[Event]) -> tuple[float, int]:
    """Days from the first to the last order of each buyer, and how many gaps lie between, over all buyers."""
    mine = defaultdict(list)
    for e in lines(events).values():
        mine[e.user].append(age(e))
    return sum(max(ages) - min(ages) for ages in mine.values()), sum(len(ages) - 1 for ages in mine.values())


def gap(events: Sequence[Event]) -> float | None:
    days, number = span(events)
    return days / number if number else None


ORACLE = {
    "pair": {
        **{f"pair_views_{d}": lambda ev, d=d: len(standing(ev, "view", d)) for d in WINDOWS},
        **{f"pair_carts_{d}": lambda ev, d=d: len(standing(ev, "cart", d)) for d in WINDOWS},
        **{f"pair_purchases_{d}": lambda ev, d=d: len(standing(ev, "purchase", d)) for d in WINDOWS[1:]},
        "pair_views": lambda ev: len(standing(ev, "view")),
        "pair_views_last": lambda ev: last(standing(ev, "view")),
        "pair_views_decayed": lambda ev: faded(standing(ev, "view"), HALF_LIFE / 6),
        "pair_seen_last": lambda ev: last(inside(ev, HISTORY)),
        "pair_orders": lambda ev: len(lines(ev)),
        "pair_orders_decayed": lambda ev: faded(lines(ev).values(), HALF_LIFE),
        "pair_quantity": lambda ev: sum(e.quantity for e in standing(ev, "purchase")),
        "pair_spend": spend,
        "pair_first": lambda ev: first(standing(ev, "purchase")),
        "pair_purchases_last": lambda ev: last(standing(ev, "purchase")),
        "pair_gap": gap,
        "pair_due": lambda ev: None if gap(ev) is None else last(standing(ev, "purchase")) / max(gap(ev), 1),
    },
    "user": {
        **{f"user_views_{d}": lambda ev, d=d: len(standing(ev, "view", d)) for d in WINDOWS},
        **{f"user_purchases_{d}": lambda ev, d=d: len(standing(ev, "purchase", d)) for d in WINDOWS},
        **{f"user_spend_{d}": lambda ev, d=d: spend(ev, d) for d in WINDOWS},
        **{f"user_orders_{d}": lambda ev, d=d: len({e.order for e in inside(ev, d) if e.order}) for d in WINDOWS},
        "user_visits": lambda ev: len({e.session for e in inside(ev, HISTORY)}),
        "user_visits_recent": lambda ev: len({e.session for e in inside(ev, WINDOWS[-2])}),
        "user_tenure": lambda ev: first(inside(ev, HISTORY)),
        "user_seen_last": lambda ev: last(inside(ev, HISTORY)),
        "user_orders": lambda ev: len({e.order for e in inside(ev, HISTORY) if e.order}),
        "user_purchases": lambda ev: len(lines(ev)),
        "user_products": lambda ev: len(per(ev, "product")),
        "user_products_recent": lambda ev: len({e.product for e in standing(ev, "purchase", WINDOWS[-1])}),
        "user_repeat_rate": lambda ev: again(per(ev, "product")),
        "user_price": mean_price,
    },
    "product": {
        **{f"product_views_{d}": lambda ev, d=d: len(standing(ev, "view", d)) for d in WINDOWS},
        **{f"product_buyers_{d}": lambda ev, d=d: buyers(ev, d) for d in WINDOWS},
        **{f"product_spend_{d}": lambda ev, d=d: spend(ev, d) for d in WINDOWS},
        "product_buyers": buyers,
        "product_buyers_recent": lambda ev: buyers(ev, POPULAR_DAYS),
        "product_orders": lambda ev: len(lines(ev)),
        "product_repeat_rate": lambda ev: again(per(ev, "user")),
        "product_gap": gap,
        "product_price": mean_price,
        "product_age": lambda ev: first(inside(ev, HISTORY)),
    },
}
KEYS = {"pair": ("user", "product"), "user": ("user",), "product": ("product",)}


@pytest.mark.parametrize("entity", ORACLE)
def test_an_oracle_in_plain_python_agrees(found: Known, entity: str) -> None:
    groups = defaultdict(list)
    for e in RANDOM:
        groups[tuple(getattr(e, part) for part in KEYS[entity])].append(e)
    groups = {key: events for key, events in groups.items() if inside(events, HISTORY)}
    assert len(groups) >= 3
    for key, events in groups.items():
        for name, oracle in ORACLE[entity].items():
            expected = oracle(events)
            same = expected if expected is None else pytest.approx(expected, rel=1e-5)
            assert found[entity][key][name] == same, (key, name)


def test_the_random_events_reach_what_they_are_there_for() -> None:
    assert any(e.cancelled and e.cancelled < ago(0) for e in inside(RANDOM, HISTORY))
    assert [e for e in RANDOM if e.at >= ago(0)]
    assert [e for e in RANDOM if e.at < ago(HISTORY)]
    assert max(Counter(e.order for e in RANDOM if e.order).values()) > 1
    assert max(Counter((e.order, e.product) for e in RANDOM if e.order).values()) > 1


def test_moments_are_the_first_instants_of_distinct_days(spark: SparkSession) -> None:
    events = frame_of(spark, [LAST])

    def instants(zone: str, *days: date) -> list[tuple[date, int]]:
        rows = (
            compute.moments(events, days, zone).select("as_of", F.unix_timestamp("as_of_ts").alias("s")).orderBy("as_of").collect()
        )
        return [(r.as_of, r.s) for r in rows]

    assert instants("Europe/London", AS_OF, AS_OF - timedelta(days=1), AS_OF) == [
        (AS_OF - timedelta(days=1), ago(1).timestamp()),
        (AS_OF, ago(0).timestamp()),
    ]
    no_midnight = date(2018, 11, 4)  # in Sao Paulo the clocks went from 23:59:59 to 01:00
    first_instant = datetime(2018, 11, 4, 3, tzinfo=UTC).timestamp()
    assert instants("America/Sao_Paulo", no_midnight) == [(no_midnight, first_instant)]


def test_each_as_of_sees_its_own_past(spark: SparkSession) -> None:
    events = compute.mark_firsts(frame_of(spark, [Event(user="u", product="p", at=noon(2), cancelled=noon(1))]))
    days = [AS_OF - timedelta(days=n) for n in (3, 2, 1, 0)]
    seen = compute.as_seen(events, compute.moments(events, days, str(ZONE)), 2).collect()
    assert {(r.as_of, r.age, r.event) for r in seen} == {(days[2], 1, "purchase"), (days[3], 2, "cancelled")}


def test_a_rollup_merges_pairs_leaves_unknown_keys_out_and_derives_in_order(spark: SparkSession) -> None:
    pairs = spark.createDataFrame(
        [("d", "a", 1.0, 3.0), ("d", "a", 2.0, None), ("d", "b", 4.0, None), ("d", None, 9.0, 9.0)],
        "as_of STRING, category STRING, n DOUBLE, near DOUBLE",
    )
    declared = (
        Feature(name="total", expression="sum(n)", description="-"),
        Feature(name="nearest", expression="min(near)", description="-"),
        Feature(name="twice", expression="total * 2", description="-", derived=True),
        Feature(name="thrice", expression="twice + total", description="-", derived=True),
    )
    frames = compute.roll_up(pairs, ("as_of", "category"), declared)
    assert {tuple(r) for r in frames.collect()} == {("d", "a", 3.0, 3.0, 6.0, 9.0), ("d", "b", 4.0, None, 8.0, 12.0)}
    assert {f.dataType.simpleString() for f in frames.schema[2:]} == {"float"}


def test_a_measure_reads_its_own_window_and_condition(spark: SparkSession) -> None:
    columns = "as_of STRING, user_id STRING, product_id STRING, event STRING, age INT, v DOUBLE"
    rows = [("view", 7, 1.0), ("view", 8, 10.0), ("cart", 1, 100.0), ("view", 1, None)]
    seen = spark.createDataFrame([("d", "u", "p", *row) for row in rows], columns)
    views = "event = 'view'"
    measures = (
        Measure(name="total", where=views, value="v", days=7),
        Measure(name="least", op="min", where=views, value="v"),
        Measure(name="most", op="max", value="v"),
        Measure(name="none", op="min", where="event = 'return'", value="v"),
        Measure(name="nothing", where="event = 'return'", value="v"),
    )
    row = compute.measure_pairs(seen, measures).collect()[0]
    assert (row.total, row.least, row.most, row.none, row.nothing) == (1.0, 1.0, 100.0, None, 0.0)
