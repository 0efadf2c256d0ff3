"""Every group of features: rows on the boundary by hand, and an oracle in plain Python over hand-made and random rows."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from features import handmade
from features.handmade import AS_OF, TICK, ZONE, ago, frame_of, noon
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import FEATURE_GROUPS, FeatureConfig
from propensity_spark.features import compute, lineage, segments
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.spec import KEYS, FeatureSet
from propensity_spark.trainset.assemble import assemble

WINDOWS, HALF_LIFE, HISTORY = (1, 7, 28), 24.0, 60
CONFIG = FeatureConfig(windows=WINDOWS, half_life_days=HALF_LIFE, history_days=HISTORY, groups=FEATURE_GROUPS)
DECLARED = feature_set(CONFIG, frozenset({"view", "cart", "purchase"}), 10, str(ZONE))
CATEGORY = {"p0": "c0", "p1": "c0", "p2": "c1", "lamp": "light", "bulb": "light", "mug": None}


def asked() -> FeatureSet:
    """The groups' features and what they are made of: the rest has its own tests."""
    every = [f for entity in lineage.ENTITIES for f in DECLARED.of(entity)]
    made_of = lineage.needed(DECLARED, [f.name for f in every if f.group != "first"])
    read = lineage.measures_of(DECLARED, [f for features in made_of.values() for f in features])
    return replace(DECLARED, measures=read, **made_of)


SET = asked()


@dataclass(frozen=True, kw_only=True)
class Event(handmade.Event):
    """A line, and what the oracle makes of it."""

    @property
    def heard(self) -> datetime:
        return max(self.known or self.at, self.at)

    @property
    def kind(self) -> str:
        gone = self.event == "purchase" and self.cancelled and self.cancelled < ago(0)
        return "cancelled" if gone else self.event

    @property
    def age(self) -> float:
        return (ago(0) - self.at).total_seconds() / 86_400

    @property
    def seen(self) -> bool:
        return AS_OF - timedelta(days=HISTORY) <= self.day < AS_OF and self.heard < ago(0)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


Found = dict[str, dict[tuple[str, ...], Row]]


def known(spark: SparkSession, events: Sequence[Event]) -> Found:
    """The features of every entity as of AS_OF, and of all pairs of users with products joined, by key."""
    products = spark.createDataFrame(sorted(CATEGORY.items()), "product_id STRING, category STRING")
    made = per_entity(spark, events, products)
    found = {name: {tuple(r[k] for k in KEYS[name]): r for r in frame.collect()} for name, frame in made.items()}
    pairs = joined(made, products).collect()
    return {**found, "row": {(r.user_id, r.product_id): r for r in pairs}}


def per_entity(spark: SparkSession, events: Sequence[Event], products: DataFrame) -> dict[str, DataFrame]:
    """The features of every entity, each computed once."""
    marked = compute.mark_firsts(frame_of(spark, events))
    as_of = compute.moments(marked, [AS_OF], str(ZONE))
    seen = compute.as_seen(marked, as_of, HISTORY)
    measured = compute.measure_pairs(seen, SET.measures).join(products, on="product_id", how="left").persist()
    users = segments.add_segment(compute.roll_up(measured, ("as_of", "user_id"), SET.user), SET.segment, str(ZONE), None)
    alike = measured.join(users.select("as_of", "user_id", "segment"), on=["as_of", "user_id"], how="left")
    frames = {"pair": compute.pair_features(measured, SET.pair), "user": users}
    for entity in ("product", "user_category", "category", "segment_category", "shop"):
        source = alike if entity == "segment_category" else measured
        frames[entity] = compute.roll_up(source, ("as_of", *KEYS[entity]), SET.of(entity))
    made = {name: spark.createDataFrame(frame.collect(), frame.schema) for name, frame in frames.items()}
    measured.unpersist()
    return made


def joined(made: dict[str, DataFrame], products: DataFrame) -> DataFrame:
    """All pairs of users with products, with their features."""
    empty = {
        "candidate_source": F.lit("-"),
        **dict.fromkeys(
            ("together_score", "als_score", "affinity", "following_score", "peers_score", "together_recent"), F.lit(0.0)
        ),
    }
    both = made["user"].select("as_of", "user_id").crossJoin(products.select("product_id"))
    candidates = both.withColumns({**empty, "label": F.lit(0), "weight": F.lit(1.0)})
    return assemble(candidates, {**made, "products": products}, SET)


# --- rows by hand; users are apart, so that each tells its own story ---

LATE = ago(0)  # known at as_of: never seen
ORDERS = [  # regular: 10, 10 and 15 days apart, less the hour that the clocks took
    *(Event(user="reg", product="lamp", order=f"r{days}", at=noon(days)) for days in (45, 35, 25)),
    Event(user="reg", product="lamp", order="r10", at=noon(10), cancelled=noon(9)),  # placed all the same
    Event(user="reg", product="bulb", order="r25", at=noon(25)),  # a further line of the order
    Event(user="reg", product="lamp", order="late", at=noon(40), known=noon(8)),  # heard of after later ones: no gap
    Event(user="reg", product="lamp", order="deaf", at=noon(5), known=LATE),
    Event(user="reg", product="lamp", order="edge", at=ago(0)),
    Event(user="two", product="mug", order="t1", at=noon(20)),
    Event(user="two", product="mug", order="t2", at=noon(12)),
    Event(user="same", product="mug", order="s1", at=noon(20)),
    Event(user="same", product="mug", order="s2", at=noon(20)),  # at the same moment: a gap of nothing
    Event(user="same", product="mug", order="s3", at=noon(20) + hours(1)),
]
VISITS = [
    Event(user="visit", product="lamp", event="view", at=noon(9), session=1),
    Event(user="visit", product="bulb", event="view", at=noon(9) + hours(0.25), session=1),
    Event(user="visit", product="lamp", event="cart", at=noon(9) + hours(0.4), session=1),
    Event(user="visit", product="lamp", event="view", at=noon(9) + hours(0.1), known=noon(8), session=1),  # in between, late
    Event(user="visit", product="lamp", event="view", at=noon(3), session=2),  # a bounce
    Event(user="visit", product="bulb", event="view", at=ago(0) - TICK, session=3),  # goes on after midnight
    Event(user="visit", product="bulb", event="cart", at=ago(0), session=3),
    Event(user="visit", product="mug", event="cart", at=noon(7), session=4),
    Event(user="visit", product="mug", at=noon(7), session=4, order="v1"),  # at the same moment: bought
    Event(user="visit", product="p2", at=noon(6), session=5, order="v2"),
    Event(user="visit", product="p2", event="cart", at=noon(5), session=6),  # once more, and left
    Event(user="visit", product="p1", event="cart", at=noon(5) + hours(1), session=7),
    Event(user="visit", product="p1", at=noon(4), session=8, order="v3", cancelled=ago(0) - TICK),  # taken back: not bought
]
EDGES = [  # the first instant of a window and the last one before it, each a visit
    Event(user="edges", product="p0", event="view", at=at, session=number)
    for number, at in enumerate((ago(28), ago(28) - TICK, ago(1), ago(1) - TICK))
]
CLOCK = [  # by the shop's clocks: an hour ahead of UTC from 01:00 on 31 March
    Event(user="clock", product="p1", event="view", at=datetime(2024, 3, 30, 5, 59, 59, 999999, tzinfo=UTC)),  # Saturday night
    Event(user="clock", product="p1", event="view", at=datetime(2024, 3, 31, 0, 30, tzinfo=UTC)),  # Sunday 00:30
    Event(user="clock", product="p1", event="view", at=datetime(2024, 3, 31, 5, 0, tzinfo=UTC)),  # Sunday 06:00, morning
    Event(user="clock", product="p1", event="view", at=datetime(2024, 3, 29, 12, 0, tzinfo=UTC)),  # Friday noon
    Event(user="clock", product="p1", event="view", at=datetime(2024, 3, 31, 17, 0, tzinfo=UTC)),  # Sunday 18:00, evening
    Event(user="clock", product="p1", event="view", at=datetime(2024, 3, 30, 0, 0, tzinfo=UTC) - TICK),  # Friday, late
    Event(user="clock", product="p1", event="view", at=ago(0)),
]
PRICES = [
    Event(user="price", product="p0", order="a1", at=noon(50), price=10.0),
    Event(user="price", product="p0", order="a2", at=noon(2), price=4.0),
    Event(user="price", product="p0", order="a2", at=noon(2), price=6.0),
    Event(user="price", product="p0", order="a3", at=noon(1), price=1.0, known=LATE),
    Event(user="price", product="p2", order="a4", at=noon(20), price=None),
    Event(user="price", product="p2", order="a5", at=noon(19), price=99.0, cancelled=noon(18)),
    *(Event(user="flat", product="lamp", order=f"f{number}", at=noon(3), price=4.95) for number in range(6)),
]
SEGMENTS = [  # four visits and five, the last event as old as a window or a moment older; a day was an hour short
    *(Event(user="four", product="p1", event="view", at=noon(30 + number), session=number) for number in range(3)),
    Event(user="four", product="p1", event="view", at=ago(28) - hours(1) - timedelta(seconds=1), session=9),
    *(Event(user="five", product="p1", event="view", at=noon(30 + number), session=number) for number in range(4)),
    Event(user="five", product="p1", event="view", at=ago(28) - hours(1), session=9),
    *(Event(user="pair", product="p1", event="view", at=noon(30 + number), session=number) for number in range(1)),
    Event(user="pair", product="p1", event="view", at=ago(7) - hours(1), session=9),
    Event(user="once", product="p1", event="cart", at=ago(7) - hours(1.1)),
]
HAND = [*ORDERS, *VISITS, *EDGES, *CLOCK, *PRICES, *SEGMENTS]


def random_events() -> list[Event]:
    """Seeded events of four users over 65 days; some known late, some taken back; an order's lines share one time."""
    draw, events = Random(5), list[Event]()
    for number in range(110):
        user, product = draw.choice(["ann", "bob", "cat", "dan"]), draw.choice(["p0", "p1", "p2", "mug"])
        visit = draw.randrange(22)
        at = ago(62) + timedelta(days=3 * visit, hours=9, minutes=draw.randrange(25))
        kind = draw.choice(["view", "view", "cart", "purchase", "purchase"])
        if kind == "purchase":
            at = ago(62) + timedelta(days=3 * visit, hours=9, minutes=12)
        known = at + timedelta(days=draw.choice([0, 0, 0, 4, 9]))
        took = at + timedelta(days=6) if kind == "purchase" and number % 4 == 0 else None
        price = None if draw.random() < 0.1 else float(draw.randrange(1, 9))
        order = f"{user}{visit}" if kind == "purchase" else None
        quantity = draw.choice([1.0, 3.0])
        made = Event(user=user, product=product, event=kind, at=at, order=order, price=price, quantity=quantity)
        events.append(replace(made, session=visit, known=known, cancelled=took and max(took, known)))
    return events


EVERY = [*HAND, *random_events()]


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> Found:
    """One pass for all rows."""
    return known(spark, EVERY)


# --- the oracle: loops over the events that were known before as_of ---

Events = Sequence[Event]


def heard_order(events: Events) -> list[Event]:
    return sorted(events, key=lambda e: (e.heard, e.at, EVERY.index(e)))


def gaps(events: Events, per_product: bool) -> list[float]:
    """Days from the user's purchase before to each order (of the product), in the order in which they became known."""
    opened: set[tuple[str, ...]] = set()
    last: dict[tuple[str, ...], datetime] = {}
    made = []
    for e in heard_order([e for e in events if e.event == "purchase"]):
        scope = (e.user, e.product) if per_product else (e.user,)
        key = (*scope, e.order or "")
        if key not in opened and scope in last and last[scope] <= e.at and e.seen:
            made.append((e.at - last[scope]).total_seconds() / 86_400)
        opened.add(key)
        last[scope] = max(last.get(scope, e.at), e.at)
    return made


def deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def lateness(events: Events, per_product: bool) -> float | None:
    days = gaps(events, per_product)
    since = [e.age for e in events if e.seen and e.event == "purchase"]
    return (min(since) - statistics.mean(days)) / max(statistics.stdev(days), 1) if len(days) > 1 else None


def visits(events: Events, days: int = HISTORY) -> list[list[Event]]:
    """The rows of each visit that were known; a visit counts in the window that holds its first known row."""
    rows = defaultdict(list)
    for e in heard_order([e for e in events if e.seen]):
        rows[e.user, e.session].append(e)
    return [made for made in rows.values() if made[0].day >= AS_OF - timedelta(days=days)]


def minutes(events: Events) -> float | None:
    each = [(max(e.at for e in v) - min(e.at for e in v)).total_seconds() / 60 for v in visits(events)]
    return statistics.mean(each) if each else None


def standing(events: Events, kind: str, days: int = HISTORY) -> list[Event]:
    return [e for e in events if e.seen and e.kind == kind and e.day >= AS_OF - timedelta(days=days)]


def left(events: Events) -> list[bool]:
    """Of each pair with a cart: whether it was not bought at the same moment or later."""
    made = []
    for user, product in sorted({(e.user, e.product) for e in standing(events, "cart")}):
        mine = [e for e in events if (e.user, e.product) == (user, product)]
        cart = max(e.at for e in standing(mine, "cart"))
        made.append(not any(e.at >= cart for e in standing(mine, "purchase")))
    return made


def share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def hour_share(events: Events, begin: int, end: int) -> float | None:
    return share([begin <= e.at.astimezone(ZONE).hour < end for e in events if e.seen])


def spend(events: Events, days: int = HISTORY) -> float:
    return sum(e.amount or 0.0 for e in standing(events, "purchase", days))


def lines(events: Events) -> int:
    """Orders and products of which a line stood at as_of."""
    return len({(e.user, e.order, e.product) for e in standing(events, "purchase")})


def view_momentum(events: Events, short: int, long: int) -> float:
    few, many = (len(standing(events, "view", days)) for days in (short, long))
    return (few * long / short + 5) / (many + 5)


def spend_momentum(events: Events, short: int, long: int) -> float | None:
    if not lines(events) or not spend(events):
        return None
    more = 2 * spend(events) / lines(events)
    return (spend(events, short) * long / short + more) / (spend(events, long) + more)


def prices(events: Events) -> list[float]:
    return [e.price for e in standing(events, "purchase") if e.price is not None]


def price_now(events: Events) -> float | None:
    weights = [(0.5 ** (e.age / (HALF_LIFE / 12)), e.price) for e in standing(events, "purchase") if e.price is not None]
    return sum(w * p for w, p in weights) / sum(w for w, _ in weights) if weights else None


def mean(values: Sequence[float]) -> float | None:
    return statistics.mean(values) if values else None


Oracle = Callable[[Events], float | None]


def momentum(entity: str) -> dict[str, Oracle]:
    return {
        f"{entity}_view_momentum": lambda ev: view_momentum(ev, 7, 28),
        f"{entity}_view_momentum_short": lambda ev: view_momentum(ev, 1, 7),
        f"{entity}_spend_momentum": lambda ev: spend_momentum(ev, 7, 28),
        f"{entity}_spend_momentum_short": lambda ev: spend_momentum(ev, 1, 7),
    }


def profile(entity: str) -> dict[str, Oracle]:
    return {
        f"{entity}_night": lambda ev: hour_share(ev, 0, 6),
        f"{entity}_morning": lambda ev: hour_share(ev, 6, 12),
        f"{entity}_afternoon": lambda ev: hour_share(ev, 12, 18),
        f"{entity}_evening": lambda ev: hour_share(ev, 18, 24),
        f"{entity}_weekend": lambda ev: share([e.day.weekday() >= 5 for e in ev if e.seen]),
    }


ORACLE: dict[str, dict[str, Oracle]] = {
    "pair": {
        "pair_gap_spread": lambda ev: deviation(gaps(ev, True)),
        "pair_late": lambda ev: lateness(ev, True),
        "pair_cart_open": lambda ev: float(any(left(ev))),
    },
    "user": {
        "user_gap_spread": lambda ev: deviation(gaps(ev, False)),
        "user_late": lambda ev: lateness(ev, False),
        "user_visits_1": lambda ev: len(visits(ev, 1)),
        "user_visits_28": lambda ev: len(visits(ev, 28)),
        "user_visit_pages": lambda ev: len(standing(ev, "view")) / len(visits(ev)),
        "user_visit_minutes": minutes,
        "user_bounce": lambda ev: share([len(v) == 1 for v in visits(ev)]),
        "user_carts_left": lambda ev: sum(left(ev)),
        "user_cart_left": lambda ev: share(left(ev)),
        **profile("user"),
        **momentum("user"),
        "user_price_least": lambda ev: min(prices(ev), default=None),
        "user_price_most": lambda ev: max(prices(ev), default=None),
        "user_price_spread": lambda ev: deviation(prices(ev)),
    },
    "product": {
        "product_gap_spread": lambda ev: deviation(gaps(ev, True)),
        "product_cart_left": lambda ev: share(left(ev)),
        **profile("product"),
        **momentum("product"),
        "product_price_now": price_now,
        "product_price_spread": lambda ev: deviation(prices(ev)),
        "product_discount": lambda ev: price_now(ev) / statistics.mean(prices(ev)) if prices(ev) else None,
    },
    "user_category": {
        **momentum("ucat"),
        "ucat_spend": spend,
        "ucat_price": lambda ev: mean(prices(ev)),
    },
    "category": {
        **momentum("category"),
        "category_spend": lambda ev: spend(ev, 28),
        "category_buyers": lambda ev: len({(e.user, e.product) for e in standing(ev, "purchase", 28)}),
        "category_lines": lines,
    },
    "segment_category": {"segcat_lines": lines, "segcat_views": lambda ev: len(standing(ev, "view"))},
    "shop": {"shop_spend": lambda ev: spend(ev, 28)},
}


def segment(user: str) -> str:
    mine = [e for e in EVERY if e.user == user and e.seen]
    least, often = min(e.age for e in mine), len(visits(mine))
    lately = "now" if least <= 7 else "lately" if least <= 28 else "before"
    return f"{lately} {'once' if often <= 1 else 'some' if often <= 4 else 'often'}"


KEY: dict[str, Callable[[Event], tuple[str | None, ...]]] = {
    "pair": lambda e: (e.user, e.product),
    "user": lambda e: (e.user,),
    "product": lambda e: (e.product,),
    "user_category": lambda e: (e.user, CATEGORY[e.product]),
    "category": lambda e: (CATEGORY[e.product],),
    "segment_category": lambda e: (segment(e.user), CATEGORY[e.product]),
    "shop": lambda e: (),
}


def by_key(entity: str) -> dict[tuple[str | None, ...], list[Event]]:
    """The events known before as_of, of every key that has any in the history: the oracle never hears of the rest."""
    groups = defaultdict(list)
    for e in EVERY:
        if e.heard < ago(0):
            groups[KEY[entity](e)].append(e)
    return {key: ev for key, ev in groups.items() if None not in key and any(e.seen for e in ev)}


@pytest.mark.parametrize("entity", ORACLE)
def test_an_oracle_in_plain_python_agrees(found: Found, entity: str) -> None:
    groups = by_key(entity)
    assert set(found[entity]) == set(groups)
    for key, events in groups.items():
        for name, oracle in ORACLE[entity].items():
            expected = oracle(events)
            same = expected if expected is None else pytest.approx(expected, rel=1e-4, abs=1e-6)
            assert found[entity][key][name] == same, (key, name)


def test_the_oracle_is_asked_about_every_feature_and_has_more_than_one_answer() -> None:
    for entity, oracles in ORACLE.items():
        mine = {f.name for f in SET.of(entity) if f.group != "first"}
        assert mine == set(oracles), entity
        for name, oracle in oracles.items():
            answers = {oracle(ev) for ev in by_key(entity).values()}
            assert len(answers) > 1 or entity == "shop", name


def test_regular_orders_are_late_by_their_own_measure(found: Found) -> None:
    user, pair = found["user"]["reg",], found["pair"]["reg", "lamp"]
    days = [10, 10, 15]  # all before the clocks changed
    assert user.user_gap_spread == pytest.approx(statistics.stdev(days))
    assert user.user_late == pytest.approx((9.5 - 1 / 24 - 35 / 3) / statistics.stdev(days), rel=1e-4)
    assert pair.pair_gap_spread == pytest.approx(user.user_gap_spread)
    assert found["pair"]["reg", "bulb"].pair_gap_spread is None
    assert (found["user"]["two",].user_gap_spread, found["user"]["two",].user_late) == (None, None)


def test_a_spread_of_nearly_nothing_is_taken_for_a_day(found: Found) -> None:
    user = found["user"]["same",]
    assert user.user_gap_spread == pytest.approx(statistics.stdev([0, 1 / 24]))
    assert user.user_late == pytest.approx(19.5 - 1 / 24 - 1 / 24 - 1 / 48, rel=1e-4)


def test_a_visit_is_as_long_as_what_was_known_of_it(found: Found) -> None:
    user = found["user"]["visit",]
    assert user.user_visit_minutes * 8 == pytest.approx(24.0, rel=1e-5)  # one of eight visits lasted
    assert user.user_bounce == pytest.approx(6 / 8)
    assert (user.user_visits_1, user.user_visits_28) == (1, 8)
    edges = found["user"]["edges",]
    assert (edges.user_visits_1, edges.user_visits_28) == (1, 3)
    assert found["pair"]["visit", "mug"].pair_cart_open == 0
    assert [found["pair"]["visit", p].pair_cart_open for p in ("lamp", "p2", "p1")] == [1, 1, 1]
    assert (user.user_carts_left, user.user_cart_left) == (3, 0.75)


def test_the_day_is_divided_by_the_shops_clocks_also_when_they_change(found: Found) -> None:
    user = found["user"]["clock",]
    assert [user[f"user_{part}"] * 6 for part in ("night", "morning", "afternoon", "evening")] == pytest.approx([2, 1, 1, 2])
    assert user.user_weekend * 6 == pytest.approx(4)


def test_what_has_no_events_has_a_neutral_momentum_and_an_unknown_one_of_spend(found: Found) -> None:
    user = found["user"]["two",]
    assert (user.user_view_momentum, found["user"]["clock",].user_spend_momentum) == (1.0, None)


def test_shares_of_a_joined_row_add_up(found: Found) -> None:
    shop = found["shop"][()].shop_spend
    rows = {key[1]: row for key, row in found["row"].items() if key[0] == "ann"}
    assert sum(row.product_shop_spend_share for row in rows.values()) == pytest.approx(1)
    for products in (("p0", "p1"), ("lamp", "bulb")):
        assert sum(rows[p].product_category_spend_share for p in products) == pytest.approx(1)
        assert sum(rows[p].product_category_buyers_share for p in products) == pytest.approx(1)
    assert rows["p0"].category_shop_spend_share == pytest.approx(found["category"]["c0",].category_spend / shop)
    assert rows["mug"].product_category_spend_share is None
    mine = found["user_category"]["ann", "c0"].ucat_spend / found["user"]["ann",].user_spend
    assert rows["p1"].category_user_spend_share == pytest.approx(mine)


def test_a_price_is_held_against_its_past_and_against_the_user(found: Found) -> None:
    user, row = found["user"]["price",], found["row"]["price", "p0"]
    assert (user.user_price_least, user.user_price_most) == (4.0, 10.0)
    assert user.user_price_spread == pytest.approx(statistics.stdev([10, 4, 6]))
    product = found["product"]["p0",]
    assert row.price_to_ucat == pytest.approx(product.product_price / (20 / 3))
    assert row.price_now_to_user == pytest.approx(product.product_price_now / (20 / 3))
    assert row.price_in_range == pytest.approx((product.product_price - 4) / 6)
    assert found["row"]["two", "p0"].price_in_range is None, "a single price is no range"


def test_a_price_that_never_changes_has_no_spread_but_for_rounding(found: Found) -> None:
    assert found["user"]["flat",].user_price_spread == 0.0


def test_segments_follow_their_rules_at_the_boundaries(found: Found) -> None:
    told = {user: found["user"][user,].segment for user in ("four", "five", "pair", "once", "ann")}
    assert told == {
        "four": "before some",
        "five": "lately often",
        "pair": "now some",
        "once": "lately once",
        "ann": segment("ann"),
    }


def test_late_orders_of_a_pair_are_held_against_all_buyers(found: Found) -> None:
    row, product = found["row"]["reg", "lamp"], found["product"]["lamp",]
    late = (row.pair_purchases_last - product.product_gap) / max(product.product_gap_spread, 1)
    assert row.pair_late_product == pytest.approx(late)


def test_a_match_of_profiles_is_the_chance_to_meet_in_one_part_of_the_day(found: Found) -> None:
    parts = ("night", "morning", "afternoon", "evening")
    user, product = found["user"]["visit",], found["product"]["p1",]
    both = sum(user[f"user_{part}"] * product[f"product_{part}"] for part in parts)
    assert 0 < both < 1
    assert found["row"]["visit", "p1"].profile_match == pytest.approx(both, rel=1e-4)


def test_rates_of_a_segment_are_shrunk_to_the_category_and_those_to_the_shop(found: Found) -> None:
    everyone = [e for e in EVERY if e.seen]
    shop = lines(everyone) / len(standing(everyone, "view"))

    def rate(events: Events, towards: float) -> float:
        return (lines(events) + 200 * towards) / (len(standing(events, "view")) + 200)

    row = found["row"]["ann", "p0"]
    category = [e for e in everyone if CATEGORY[e.product] == "c0"]
    alike = [e for e in category if segment(e.user) == segment("ann")]
    assert 0 < len(alike) < len(category)
    assert row.category_conversion == pytest.approx(rate(category, shop), rel=1e-4)
    assert row.segment_conversion == pytest.approx(rate(alike, rate(category, shop)), rel=1e-4)
    assert row.segment_pull == pytest.approx(row.segment_conversion / row.category_conversion, rel=1e-4)
    assert found["row"]["ann", "mug"].segment_conversion == pytest.approx(shop, rel=1e-4), "no category: the shop's rate"
    assert found["user"]["ann",].segment == segment("ann")
