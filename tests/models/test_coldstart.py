"""Rates of users without history are what the formulas say, lie between what they are shrunk from, and say what carries them."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest
from pyspark.sql import DataFrame, Row

from propensity_spark.config import ColdStartConfig
from propensity_spark.models.coldstart import CATEGORY, OVERALL, SEGMENT, STRONGEST, WEAKEST, best, rates

Make = Callable[..., DataFrame]
Count = tuple[str, str, str, bool, int, int]  # history, segment, product, is_new, users, purchases
COUNTS = "history STRING, segment STRING, product_id STRING, is_new BOOLEAN, users BIGINT, purchases BIGINT"
ASKED = "history STRING, segment STRING, product_id STRING, is_new BOOLEAN"
CATEGORIES = "product_id STRING, category STRING"
OF = {"a": "lamps", "b": "lamps", "c": "mugs", "d": "mugs", "new": "lamps", "bare": None, "odd": "odds", "later": "lamps"}
ROWS: tuple[Count, ...] = (
    ("none", "north", "a", False, 1000, 60),
    ("none", "south", "a", False, 800, 2),
    ("none", "north", "b", False, 1000, 4),
    ("none", "south", "b", False, 800, 5),
    ("none", "north", "c", False, 1000, 1),
    ("none", "south", "c", False, 800, 0),
    ("none", "north", "d", False, 300, 2),
    ("none", "south", "d", False, 200, 0),
    ("none", "north", "new", True, 500, 30),
    ("none", "south", "new", True, 400, 20),
    ("none", "north", "bare", False, 1000, 0),
    ("none", "south", "bare", False, 800, 3),
    ("old", "north", "a", False, 50, 5),
)
LATER: tuple[tuple[str, str, str, bool], ...] = (
    ("none", "north", "later", True),  # never counted, and new as `new` was
    ("none", "south", "odd", True),  # never counted, nor its category
    ("none", "east", "a", False),  # a segment never counted
    ("none", "north", "new", False),  # not new any more
    ("gone", "north", "a", False),  # a history never counted
)


def _strength(parts: Iterable[tuple[float, float, float]]) -> float:
    """Of (bought, expected, share)."""
    parts = [part for part in parts if part[2] < 1]
    excess = sum((b - e) ** 2 - e * (1 - s) for b, e, s in parts)
    return min(max(sum(e * e * (1 - s) for _, e, s in parts) / excess, WEAKEST), STRONGEST) if excess > 0 else STRONGEST


def _shrunk(wider: float, bought: float, users: float, strength: float) -> float:
    return wider * (bought + strength) / (users * wider + strength)


def _told_by(rows: Iterable[Count], *at: int) -> dict[tuple[object, ...], tuple[int, int]]:
    """Users and purchases by some of a row's columns; a category stands at 6."""
    summed: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        key = tuple((*row, OF[row[2]])[place] for place in at)
        summed[key][0] += row[4]
        summed[key][1] += row[5]
    return {key: (users, bought) for key, (users, bought) in summed.items()}


def _oracle(rows: Iterable[Count], asked: Iterable[tuple[str, str, str, bool]], fixed: ColdStartConfig) -> dict[object, float]:
    """One history's propensities, by segment, product and is_new."""
    rows = list(rows)
    ((users, bought),) = _told_by(rows, 0).values()
    overall = (bought + 0.5) / (users + 1)
    of_category, of_new = _told_by(rows, 6), _told_by([row for row in rows if row[3]], 6)
    strength = fixed.category_strength or _strength((b, n * overall, n / users) for n, b in of_category.values())
    plain = {key: _shrunk(overall, b, n, strength) for key, (n, b) in of_category.items()}
    new = {key: _shrunk(plain[key], *reversed(of_new.get(key, (0, 0))), strength) for key in plain}
    of_product, category = _told_by(rows, 2), lambda p: (OF[p],)
    p_strength = fixed.product_strength or _strength(
        (b, n * plain[category(p)], n / of_category[category(p)][0]) for (p,), (n, b) in of_product.items()
    )
    told = {}
    for _, _, p, is_new in asked:
        wider = (new if is_new else plain).get(category(p), overall)
        n, b = of_product.get((p,), (0, 0))
        told[p, is_new] = _shrunk(wider, b, n, p_strength)
    mine = _told_by(rows, 1, 2)
    highest = {p: max(rate for (q, _), rate in told.items() if q == p) for p, _ in told}
    s_strength = fixed.segment_strength or _strength(
        (b, n * highest[p], n / of_product[p,][0]) for (_, p), (n, b) in mine.items() if p in highest
    )

    def rate(segment: str, product: str, is_new: bool) -> float:
        n, b = mine.get((segment, product), (0, 0))
        alone = n == of_product.get((product,), (0, 0))[0]
        return told[product, is_new] if alone else _shrunk(told[product, is_new], b, n, s_strength)

    return {(s, p, new): rate(s, p, new) for _, s, p, new in asked}


@pytest.mark.parametrize("fixed", [ColdStartConfig(), ColdStartConfig(category_strength=3, product_strength=2, segment_strength=8)])
def test_rates_are_those_of_plain_arithmetic(table: Make, fixed: ColdStartConfig) -> None:
    asked = (*(row[:4] for row in ROWS), *LATER)
    found = rates(table(COUNTS, *ROWS), table(ASKED, *asked), table(CATEGORIES, *OF.items()), fixed).collect()
    expected = {}
    for history, by in (("none", "none"), ("old", "old"), ("gone", "none")):  # never counted: as most users are
        theirs = [row for row in ROWS if row[0] == by]
        told = _oracle(theirs, [row for row in asked if row[0] in (history, by)], fixed)
        expected |= {(history, *row[1:4]): told[row[1:4]] for row in asked if row[0] == history}
    assert {row.history: row.counted for row in found} == {"none": "none", "old": "old", "gone": "none"}
    assert {(r.history, r.segment, r.product_id, r.is_new): r.propensity for r in found} == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("brisk", [1, 3, 10])
def test_new_users_buy_the_same_things_at_a_pace_of_their_own(table: Make, brisk: int) -> None:
    new = [("new", *row[1:4], row[4] // 2, row[5] * brisk // 2) for row in ROWS if row[0] == "none"]
    both = [("none", *a[1:4], a[4] + b[4], a[5] + b[5]) for a, b in zip(ROWS, new, strict=False)]
    asked = [("none", "north", p, False) for p in ("a", "b", "c")]
    told = _oracle(both, asked, ColdStartConfig())
    users, bought = (sum(row[place] for row in both) for place in (4, 5))
    overall = (bought + 0.5) / (users + 1)
    parts = {h: [sum(row[place] for row in rows if row[0] == h) for place in (4, 5)] for h, rows in (("none", ROWS), ("new", new))}
    a = _strength((b, n * overall, n / users) for n, b in parts.values())
    pace = {h: (b + a) / (n * overall + a) for h, (n, b) in parts.items()}
    also = [("new", *row[1:]) for row in asked]
    old = ("old", "north", "a", False)
    found = rates(table(COUNTS, *ROWS, *new), table(ASKED, *asked, *also, old), table(CATEGORIES, *OF.items()), ColdStartConfig())
    rows = {(r.history, r.product_id): r for r in found.collect()}
    for (segment, product, is_new), rate in told.items():
        assert (segment, is_new) == ("north", False)
        for history, of in pace.items():
            row = rows[history, product]
            assert (row.pace, row.propensity) == (pytest.approx(of, rel=1e-9), pytest.approx(rate * of, rel=1e-9))
            assert row.purchases == rows["none", product].purchases, "counted together"
    assert rows["old", "a"].pace == 1
    assert (pace["new"] > 1.5) == (brisk > 1)


def test_no_pace_makes_a_probability_above_one_and_who_was_not_counted_has_none(table: Make) -> None:
    counted = [
        (h, "north", p, False, 100, n) for h, p, n in (("none", "a", 60), ("none", "b", 0), ("new", "a", 100), ("new", "b", 100))
    ]
    asked, categories, plain = table(ASKED, *(row[:4] for row in counted[::2])), table(CATEGORIES, *OF.items()), ColdStartConfig()
    found = {row.history: row for row in rates(table(COUNTS, *counted), asked, categories, plain).collect()}
    assert found["new"].propensity == 1
    assert found["new"].pace * found["none"].propensity / found["none"].pace > 1
    alone = {row.history: row for row in rates(table(COUNTS, *ROWS), asked, categories, plain).collect()}
    assert alone["new"].pace == alone["none"].pace == 1
    assert alone["new"].propensity == alone["none"].propensity


def test_what_was_never_bought_or_counted_gets_the_rate_of_its_like(table: Make) -> None:
    fixed = ColdStartConfig(category_strength=3, product_strength=2, segment_strength=8)
    categories = table(CATEGORIES, *OF.items())
    asked = table(ASKED, *LATER, ("none", "south", "later", False), ("none", "south", "c", False))
    found = {(r.segment, r.product_id, r.is_new): r for r in rates(table(COUNTS, *ROWS), asked, categories, fixed).collect()}
    new, as_others, odd = found["north", "later", True], found["south", "later", False], found["south", "odd", True]
    assert 121 / 4500 < new.propensity < 50 / 900, "new lamps sell better than other lamps"
    assert (new.level, new.users, new.purchases) == (CATEGORY, 900, 50)
    assert (as_others.level, as_others.users, as_others.purchases) == (CATEGORY, 4500, 121)
    assert odd.propensity == odd.overall_rate
    assert (odd.level, odd.users, odd.purchases) == (CATEGORY, 0, 0)
    assert found["east", "a", False].propensity == found["east", "a", False].product_rate
    assert found["south", "c", False].propensity > 0, "bought by nobody there is not impossible"
    assert (new.counts_new, as_others.counts_new) == (True, False)
    none_then = rates(table(COUNTS, *(row for row in ROWS if not row[3])), table(ASKED, *LATER), categories, fixed).collect()
    assert {row.counts_new for row in none_then} == {False}, "a category without new ones then counted all of its products"


def test_the_level_is_the_one_that_carries_most(table: Make) -> None:
    def level(segment_strength: float, product_strength: float) -> Row:
        fixed = ColdStartConfig(category_strength=3, product_strength=product_strength, segment_strength=segment_strength)
        asked = table(ASKED, ("none", "north", "a", False))
        return rates(table(COUNTS, *ROWS), asked, table(CATEGORIES, *OF.items()), fixed).collect()[0]

    told = {(row.level, row.users, row.purchases) for row in (level(1, 1), level(1000, 1), level(1000, 1000))}
    assert told == {(SEGMENT, 1000, 60), (OVERALL, 1800, 62), (CATEGORY, 4500, 121)}


def test_a_rate_lies_between_those_that_it_is_shrunk_from(table: Make) -> None:
    draw = random.Random(5)
    categories = [(f"p{n}", f"c{n % 7}") for n in range(60)]
    rows = []
    for segment in ("x", "y", "z"):
        for product, _ in categories:
            users = draw.choice((0, 1, 30, 5000))
            rows.append(
                ("none", segment, product, draw.random() < 0.2, users, draw.randint(0, min(users, draw.choice((0, 2, 40)))))
            )
    found = rates(table(COUNTS, *rows), table(ASKED, *(r[:4] for r in rows)), table(CATEGORIES, *categories), ColdStartConfig())
    mine = {row[1:4]: row[4:] for row in rows}
    for row in found.collect():
        users, bought = mine[row.segment, row.product_id, row.is_new]
        ends = (bought / users, row.product_rate) if users else (row.product_rate, row.product_rate)
        assert min(ends) * (1 - 1e-12) <= row.propensity <= max(ends) * (1 + 1e-12), row
        assert 0 < row.propensity <= 1, row


def test_segments_that_differ_by_chance_alone_are_no_segments(table: Make) -> None:
    alike = [("none", s, p, False, 1000, n) for s in ("x", "y") for p, n in (("a", 50), ("b", 10), ("c", 30), ("d", 5))]
    asked = [row[:4] for row in alike]
    found = rates(table(COUNTS, *alike), table(ASKED, *asked), table(CATEGORIES, *OF.items()), ColdStartConfig()).collect()
    assert {row.level for row in found} == {OVERALL}
    for row in found:
        assert row.propensity == pytest.approx(row.product_rate, rel=1e-4)


def test_the_best_of_a_segment_are_ranked_and_ties_are_broken_by_product(table: Make) -> None:
    rated = table(
        "history STRING, segment STRING, product_id STRING, propensity DOUBLE",
        ("none", "x", "b", 0.2),
        ("none", "x", "a", 0.2),
        ("none", "x", "c", 0.3),
        ("none", "y", "a", 0.1),
        ("old", "x", "a", 0.4),
    )
    found = {(r.history, r.segment, r.rank): r.product_id for r in best(rated, 2).collect()}
    assert found == {("none", "x", 1): "c", ("none", "x", 2): "a", ("none", "y", 1): "a", ("old", "x", 1): "a"}
