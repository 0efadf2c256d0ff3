"""What is due again, and what is popular or new in a user's categories and segment."""

from collections.abc import Callable

import pytest
from pyspark.sql import DataFrame

from propensity_spark.config import CandidateConfig
from propensity_spark.errors import MissingColumns
from propensity_spark.trainset import sources

Make = Callable[..., DataFrame]
DAY, OTHER = "2024-04-01", "2024-05-01"
PEOPLE = "as_of DATE, user_id STRING"
PAIRS = "as_of DATE, user_id STRING, product_id STRING, pair_seen_last FLOAT, pair_purchases_last FLOAT, pair_gap FLOAT"
PRODUCTS = "as_of DATE, product_id STRING, product_buyers_recent FLOAT, product_age FLOAT, product_gap FLOAT"
CATEGORIES = "as_of DATE, user_id STRING, category STRING, ucat_orders_decayed FLOAT, ucat_seen_last FLOAT"
NONE = CandidateConfig(touched=1, popular=0, together=0, als=0, affinity=0, due=0)


def _pairs(frame: DataFrame) -> set[tuple[str, str]]:
    rows = [(row["user_id"], row["product_id"]) for row in frame.collect()]
    assert len(rows) == len(set(rows)), "a pair comes once"
    return set(rows)


def test_due_is_what_was_bought_about_one_gap_ago_the_nearest_first(table: Make) -> None:
    pairs = table(
        PAIRS,
        (DAY, "ann", "half", 5.0, 5.0, 10.0),  # exactly half a gap
        (DAY, "ann", "double", 20.0, 20.0, 10.0),  # exactly two
        (DAY, "ann", "soon", 4.9, 4.9, 10.0),
        (DAY, "ann", "late", 20.1, 20.1, 10.0),
        (DAY, "ann", "others", 30.0, 30.0, None),  # once: the gap of the product's buyers
        (DAY, "ann", "once", 30.0, 30.0, None),  # nobody ever bought it again
        (DAY, "ann", "once lately", 1.0, 1.0, None),
        (DAY, "ann", "seen", 10.0, None, None),
        (DAY, "bob", "half", 5.0, 5.0, 10.0),  # nobody scores bob
    )
    products = table(PRODUCTS, (DAY, "others", 1.0, 90.0, 30.0), (OTHER, "once", 1.0, 90.0, 30.0))
    people = table(PEOPLE, (DAY, "ann"))
    every = sources.due(people, pairs, products, CandidateConfig(due=9))
    assert _pairs(every) == {("ann", name) for name in ("half", "double", "others")}
    nearest = sources.due(people, pairs, products, CandidateConfig(due=2))
    assert _pairs(nearest) == {("ann", "others"), ("ann", "double")}, "of the two that are as near the smaller product"


def _in_categories(table: Make, **config: int) -> DataFrame:
    orders = [("toys", 5.0, 9.0), ("books", 3.0, 9.0), ("food", 1.0, 2.0), ("tools", 1.0, 3.0)]  # tools was seen before food
    tables = {
        "pair": table(PAIRS),
        "user_category": table(CATEGORIES, *((DAY, "ann", *each) for each in orders), (DAY, "ann", None, 9.0, 1.0)),
        "product": table(
            PRODUCTS,
            (DAY, "t1", 5.0, 90.0, None),
            (DAY, "t2", 4.0, 28.0, None),  # new, by a hair
            (DAY, "t3", 4.0, 28.1, None),
            (DAY, "b1", None, 3.0, None),  # nobody bought it yet
            (DAY, "w1", 9.0, 90.0, None),  # of tools, the fourth
            (OTHER, "f1", 9.0, 90.0, None),
        ),
        "products": table(
            "product_id STRING, category STRING",
            *(("t1", "toys"), ("t2", "toys"), ("t3", "toys"), ("b1", "books"), ("w1", "tools"), ("f1", "food"), ("x", None)),
        ),
    }
    asked = CandidateConfig(**{**dict.fromkeys(("popular", "together", "als", "affinity", "due"), 0), "touched": 1, **config})
    made = sources.of_others(table(PEOPLE, (DAY, "ann"), (DAY, "new")), tables, asked)
    return made[-1]


def test_the_most_bought_of_a_users_three_favourite_categories(table: Make) -> None:
    assert _pairs(_in_categories(table, category=6)) == {("ann", "t1"), ("ann", "t2")}
    assert _pairs(_in_categories(table, category=3)) == {("ann", "t1")}, "a third of them in each"


def test_fresh_is_what_was_first_seen_lately_in_them(table: Make) -> None:
    assert _pairs(_in_categories(table, fresh=3)) == {("ann", "t2"), ("ann", "b1")}


def test_the_most_bought_of_a_users_segment(table: Make) -> None:
    pairs = table(
        PAIRS,
        *((DAY, user, "lamp", 1.0, 28.0, None) for user in ("n1", "n2")),  # the last day that counts
        (DAY, "n1", "bulb", 1.0, 1.0, None),
        *((DAY, user, "rope", 1.0, 28.1, None) for user in ("n1", "n2", "n3")),
        (DAY, "s1", "sand", 1.0, 1.0, None),
    )
    names = {"n1": "north", "n2": "north", "n3": "north", "s1": "south", "ann": "north"}
    users = table("as_of DATE, user_id STRING, segment STRING", *((DAY, user, segment) for user, segment in names.items()))
    people = table(PEOPLE, (DAY, "ann"), (DAY, "s1"), (DAY, "nobody knows"))
    found = sources.of_segment(people, pairs, users, CandidateConfig(segment=1))
    assert _pairs(found) == {("ann", "lamp"), ("s1", "sand")}
    with pytest.raises(MissingColumns, match=r"lacks \['segment'\].*candidates\.segment: 0"):
        sources.of_segment(people, pairs, users.drop("segment"), CandidateConfig(segment=1))
