"""A user's rows among each other: visits, machines, and orders that were taken back."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import QualityConfig
from propensity_spark.ingest import visits

Make = Callable[..., DataFrame]
EVENT = "user_id STRING, event_id STRING, event_ts TIMESTAMP"
LOOK = "user_id STRING, event_id STRING, event STRING, event_ts TIMESTAMP, event_date DATE"
ORDER = "event_id STRING, user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, quantity DOUBLE"
BOUGHT, AGAIN, BACK, LATER = (f"2024-03-0{day} 09:00:00" for day in (1, 2, 3, 4))
HALF_AN_HOUR = timedelta(minutes=30)


def _timed(frame: DataFrame) -> DataFrame:
    """The rows as ingest hands them on, of days in UTC, with nulls for what the test does not name."""
    texts = {c: F.lit(None).cast("string") for c in ("product_id", "event", "order_id", "source", "source_file", "category")}
    rest = {"quantity": F.lit(None).cast("double"), "known_ts": F.col("event_ts"), "ingested_ts": F.lit(None).cast("timestamp")}
    absent = {c: value for c, value in {**texts, **rest, "event_date": F.to_date("event_ts")}.items() if c not in frame.columns}
    return visits.timed(frame.withColumns(absent))


def test_a_silence_longer_than_the_gap_starts_a_visit(table: Make) -> None:
    events = table(
        EVENT,
        ("ann", "1", "2024-03-01 09:00:00"),
        ("ann", "2", "2024-03-01 09:30:00"),  # exactly the gap
        ("ann", "3", "2024-03-01 10:00:01"),  # one second more
        ("ann", "4", "2024-03-01 10:00:01"),
        ("ann", "5", "2024-03-01 10:30:01.001"),  # a millisecond more
        ("bob", "6", "2024-03-01 09:45:00"),  # another user's events are no sign of life
    )
    timed = _timed(events)
    numbered = visits.sessionise(timed, HALF_AN_HOUR)
    assert {row["event_id"]: row["session_no"] for row in numbered.collect()} == {
        "1": 1,
        "2": 1,
        "3": 2,
        "4": 2,
        "5": 3,
        "6": 1,
    }
    assert numbered.columns == [*timed.columns, "session_no"]
    assert numbered.schema["session_no"].dataType.simpleString() == "int"


def test_later_events_do_not_renumber_earlier_visits(table: Make) -> None:
    past = [("ann", "1", "2024-03-01 09:00:00"), ("ann", "2", "2024-03-01 10:00:00")]
    later = [("ann", "0", "2024-03-01 10:00:01"), ("ann", "3", "2024-03-02 10:00:00")]
    numbered = visits.sessionise(_timed(table(EVENT, *past, *later)), HALF_AN_HOUR)
    assert {row["event_id"]: row["session_no"] for row in numbered.collect()} == {"1": 1, "2": 2, "0": 2, "3": 3}


def test_of_rows_that_say_the_same_the_first_to_arrive_is_kept(table: Make) -> None:
    early, late = "2024-03-01 10:00:00", "2024-03-05 10:00:00"
    rows = [
        ("ann", "1", BOUGHT, late, "b.csv"),
        ("ann", "1", BOUGHT, early, "a.csv"),
        ("ann", "2", BOUGHT, early, "a.csv"),
        ("ann", "2", BOUGHT, late, "b.csv"),
        ("ann", "3", BOUGHT, late, "b.csv"),
        ("ann", "4", BOUGHT, None, "b.csv"),  # nobody knows when: the first file's
        ("ann", "4", BOUGHT, None, "a.csv"),
    ]
    kept = visits.deduplicate(_timed(table(f"{EVENT}, ingested_ts TIMESTAMP, source_file STRING", *rows))).collect()
    assert {row["event_id"]: row["source_file"] for row in kept} == {
        "1": "a.csv",
        "2": "a.csv",
        "3": "b.csv",
        "4": "a.csv",
    }
    assert len(kept) == 4


@pytest.mark.parametrize("flip", [False, True])
def test_of_copies_in_one_file_every_run_keeps_the_same(table: Make, flip: bool) -> None:
    ddl = f"{EVENT}, known_ts TIMESTAMP, source STRING, category STRING, source_file STRING"
    pairs = [  # of which the first is kept
        (("ann", "1", BOUGHT, BOUGHT, "b", "b"), ("ann", "1", BOUGHT, AGAIN, "a", "a")),
        (("ann", "2", BOUGHT, BOUGHT, "a", "b"), ("ann", "2", BOUGHT, BOUGHT, "b", "a")),
        (("ann", "3", BOUGHT, BOUGHT, "a", "a"), ("ann", "3", BOUGHT, BOUGHT, "a", "b")),
        (("ann", "4", BOUGHT, BOUGHT, "a", "b"), ("ann", "4", BOUGHT, BOUGHT, "a", None)),
    ]
    rows = [(*copy, "a.csv") for pair in pairs for copy in (reversed(pair) if flip else pair)]
    kept = visits.deduplicate(_timed(table(ddl, *rows).coalesce(1))).orderBy("event_id").collect()
    found = [(r["user_id"], r["event_id"], BOUGHT, str(r["known_ts"]), r["source"], r["category"]) for r in kept]
    assert found == [first for first, _ in pairs]


def _looks(user: str, count: int, start: str, every: float, event: str = "view") -> list[tuple]:
    """`count` events of a user, `every` seconds apart; the day is that of the start."""
    first = datetime.fromisoformat(start)
    return [(user, f"{user}{start}{event}{n}", event, str(first + timedelta(seconds=n * every)), start[:10]) for n in range(count)]


def test_a_bot_looks_at_more_than_a_person_can(table: Make) -> None:
    limits = QualityConfig(bot_events_per_day=10, bot_events_per_minute=5)
    rows = [
        *_looks("reader", 10, "2024-03-01 09:00:00", 60),  # exactly the day's limit
        *_looks("reader", 11, "2024-03-02 09:00:00", 60),  # one more, the day after
        *_looks("clicker", 5, "2024-03-01 09:00:00", 11.9),  # exactly the minute's limit
        *_looks("hasty", 6, "2024-03-01 09:00:00", 11.9),  # one more in the same minute
        *_looks("across", 4, "2024-03-01 08:59:58", 0.5),  # six in three seconds, but of two minutes
        *_looks("across", 2, "2024-03-01 09:00:00", 0.5, "cart"),
        *_looks("merchant", 40, "2024-03-01 09:00:00", 0, "purchase"),
        *_looks("sorry", 40, "2024-03-01 09:00:00", 0, "return"),
        *_looks("mixed", 5, "2024-03-01 09:00:01", 1),
        *_looks("mixed", 1, "2024-03-01 09:00:01", 1, "favourite"),
        *_looks("filler", 8, "2024-03-01 09:00:01", 1, "cart"),  # a wholesaler puts his list into the cart
        *_looks("dated", 10, "2024-03-01 00:00:00", 0),  # of a log of days, as many as a day may have
        *_looks("dated", 11, "2024-03-02 00:00:00", 0),
        *_looks("hourly", 8, "2024-03-01 09:45:00", 0),  # hours of a zone that is a quarter off
    ]
    timed = _timed(table(LOOK, *rows))
    flagged = visits.flag_bots(timed, limits)
    found = {(row["user_id"], str(row["event_date"])): row["is_bot"] for row in flagged.distinct().collect()}
    assert found == {
        ("reader", "2024-03-01"): False,
        ("reader", "2024-03-02"): True,
        ("clicker", "2024-03-01"): False,
        ("hasty", "2024-03-01"): True,
        ("across", "2024-03-01"): False,
        ("merchant", "2024-03-01"): False,
        ("sorry", "2024-03-01"): False,
        ("mixed", "2024-03-01"): True,
        ("filler", "2024-03-01"): False,
        ("dated", "2024-03-01"): False,
        ("dated", "2024-03-02"): True,
        ("hourly", "2024-03-01"): False,
    }
    assert flagged.columns == [*timed.columns, "is_bot"]


def _cancelled(frame: DataFrame) -> dict[str, str | None]:
    said = visits.deduplicate(_timed(frame)).collect()
    assert all(row["cancelled_known_ts"] == row["cancelled_ts"] for row in said)
    return {row["event_id"]: str(row["cancelled_ts"]) if row["cancelled_ts"] else None for row in said}


def _oracle(rows: list[tuple]) -> dict[str, str | None]:
    """A stack of open purchases per user, product and quantity; a return takes the top one, if there is one."""
    ordered = sorted(rows, key=lambda row: (row[4], row[3] == "return", row[0]))
    stacks: dict[tuple, list[str]] = {}
    cancelled: dict[str, str | None] = {row[0]: None for row in rows}
    for event_id, user, product, event, at, quantity in ordered:
        stack = stacks.setdefault((user, product, quantity), [])
        if event == "purchase":
            stack.append(event_id)
        elif event == "return" and stack:
            cancelled[stack.pop()] = at
    return cancelled


def test_a_return_takes_back_the_latest_open_purchase_like_it(table: Make) -> None:
    rows = [
        ("one", "ann", "mug", "purchase", BOUGHT, 2.0),
        ("two", "ann", "mug", "purchase", AGAIN, 2.0),
        ("back", "ann", "mug", "return", BACK, 2.0),
        # a return before any purchase opens no credit
        ("early", "bob", "mug", "return", BOUGHT, 1.0),
        ("kept", "bob", "mug", "purchase", AGAIN, 1.0),
        # two returns of three, one of them twice
        ("x", "cem", "mug", "purchase", BOUGHT, 1.0),
        ("x1", "cem", "mug", "return", AGAIN, 1.0),
        ("x2", "cem", "mug", "return", AGAIN, 1.0),
        ("y", "cem", "mug", "purchase", BACK, 1.0),
        ("y1", "cem", "mug", "return", LATER, 1.0),
        # not alike: other quantity, other product, other user
        ("eve", "eve", "mug", "purchase", BOUGHT, 2.0),
        ("eve1", "eve", "mug", "return", AGAIN, 1.0),
        ("eve2", "eve", "cup", "return", AGAIN, 2.0),
        ("fay2", "fay", "mug", "return", AGAIN, 2.0),
        # in the same second, the purchase comes first
        ("a-back", "gus", "mug", "return", BOUGHT, 1.0),
        ("b-buy", "gus", "mug", "purchase", BOUGHT, 1.0),
        # looks stand between
        ("h1", "hal", "mug", "purchase", BOUGHT, 1.0),
        ("h2", "hal", "mug", "view", AGAIN, 1.0),
        ("h3", "hal", "mug", "cart", AGAIN, 1.0),
        ("h4", "hal", "mug", "return", BACK, 1.0),
    ]
    taken = {"two": BACK, "x": AGAIN, "y": LATER, "b-buy": BOUGHT, "h1": BACK}
    expected = {row[0]: taken.get(row[0]) for row in rows}
    assert _oracle(rows) == expected
    assert _cancelled(table(ORDER, *rows)) == expected


def test_a_return_that_names_an_order_takes_back_what_that_order_holds(table: Make) -> None:
    rows = [
        # the first order of two came back, not the latest
        ("a1", "ann", "mug", "purchase", BOUGHT, 1.0, "A"),
        ("a2", "ann", "mug", "purchase", AGAIN, 1.0, "B"),
        ("a3", "ann", "mug", "return", BACK, 1.0, "A"),
        # what an order's own return speaks of is nobody else's: the one without a name takes back the other
        ("b1", "bob", "mug", "purchase", BOUGHT, 1.0, "A"),
        ("b2", "bob", "mug", "purchase", AGAIN, 1.0, "B"),
        ("b3", "bob", "mug", "return", BACK, 1.0, None),
        ("b4", "bob", "mug", "return", LATER, 1.0, "B"),
        # it holds two, of which one came back: nothing of another order did
        ("c1", "cem", "mug", "purchase", BOUGHT, 1.0, "A"),
        ("c2", "cem", "mug", "purchase", AGAIN, 2.0, "B"),
        ("c3", "cem", "mug", "return", BACK, 1.0, "B"),
        # a name of its own kind, and an order of another product
        ("d1", "dan", "mug", "purchase", BOUGHT, 1.0, "A"),
        ("d2", "dan", "cup", "purchase", BOUGHT, 1.0, "B"),
        ("d3", "dan", "mug", "purchase", AGAIN, 1.0, "C"),
        ("d4", "dan", "mug", "return", BACK, 1.0, "B"),
        ("d5", "dan", "mug", "return", LATER, 1.0, "C-A"),
        # before its order there is nothing to take back
        ("e1", "eve", "mug", "purchase", BOUGHT, 1.0, "A"),
        ("e2", "eve", "mug", "return", AGAIN, 1.0, "B"),
        ("e3", "eve", "mug", "purchase", BACK, 1.0, "B"),
    ]
    taken = {"a1": BACK, "b1": BACK, "b2": LATER, "d3": BACK, "d1": LATER}
    found = _cancelled(table(f"{ORDER}, order_id STRING", *rows))
    assert {event: at for event, at in found.items() if at} == taken


def test_returns_agree_with_a_stack_on_random_histories(table: Make) -> None:
    chance = random.Random(11)
    start = datetime(2024, 3, 1)
    rows = [
        (
            f"{number:04}",
            f"user{chance.randrange(25)}",
            chance.choice(["mug", "cup"]),
            chance.choices(["purchase", "return", "view"], [5, 4, 2])[0],
            str(start + timedelta(hours=chance.randrange(30))),  # few hours: many ties
            chance.choice([1.0, 2.0]),
        )
        for number in range(1500)
    ]
    expected = _oracle(rows)
    assert 200 < sum(when is not None for when in expected.values()) < 700
    assert _cancelled(table(ORDER, *rows)) == expected


def test_what_comes_later_takes_nothing_back_from_an_earlier_return(table: Make) -> None:
    past = [("a", "ann", "mug", "purchase", BOUGHT, 1.0), ("b", "ann", "mug", "return", AGAIN, 1.0)]
    later = [("c", "ann", "mug", "return", BACK, 1.0), ("d", "ann", "mug", "purchase", LATER, 1.0)]
    assert _cancelled(table(ORDER, *past)) == {"a": AGAIN, "b": None}
    assert _cancelled(table(ORDER, *past, *later)) == {"a": AGAIN, "b": None, "c": None, "d": None}


def test_what_was_taken_back_adds_no_row_and_two_columns(table: Make) -> None:
    rows = (
        ("a", "ann", "mug", "purchase", BOUGHT, 1.0),
        ("b", "ann", "mug", "return", AGAIN, 1.0),
        ("c", "ann", "mug", "view", AGAIN, None),
    )
    frame = _timed(table(ORDER, *rows))
    told = visits.deduplicate(frame)
    assert set(told.columns) == {*frame.columns, "cancelled_ts", "cancelled_known_ts"}
    assert told.schema["cancelled_ts"].dataType.typeName() == "timestamp"
    assert sorted((r["event_id"], r["event"], r["quantity"]) for r in told.collect()) == [
        ("a", "purchase", 1.0),
        ("b", "return", 1.0),
        ("c", "view", None),
    ]


def test_a_return_that_came_twice_takes_one_purchase_back(table: Make) -> None:
    """Of copies the first to arrive says when it was known; a purchase without quantity is taken back by its like."""
    ddl = f"{ORDER}, known_ts TIMESTAMP, ingested_ts TIMESTAMP, source_file STRING"
    rows = [
        ("a", "ann", "mug", "purchase", BOUGHT, None, BOUGHT, BOUGHT, "a.csv"),
        ("b", "ann", "mug", "purchase", AGAIN, None, AGAIN, AGAIN, "a.csv"),
        ("c", "ann", "mug", "return", BACK, None, LATER, LATER, "b.csv"),
        ("c", "ann", "mug", "return", BACK, None, BACK, BACK, "c.csv"),
    ]
    told = visits.deduplicate(_timed(table(ddl, *rows))).collect()
    assert sorted((r["event_id"], str(r["cancelled_ts"]), str(r["cancelled_known_ts"])) for r in told) == [
        ("a", "None", "None"),
        ("b", BACK, BACK),
        ("c", "None", "None"),
    ]


@pytest.mark.parametrize("flip", [False, True])
def test_copies_of_one_file_say_on_every_run_since_when_a_return_was_known(table: Make, flip: bool) -> None:
    ddl = f"{ORDER}, known_ts TIMESTAMP, source_file STRING"
    bought = ("a", "ann", "mug", "purchase", BOUGHT, 1.0, BOUGHT, "a.csv")
    copies = [("b", "ann", "mug", "return", AGAIN, 1.0, known, "a.csv") for known in (BACK, LATER)]
    rows = table(ddl, bought, *(reversed(copies) if flip else copies)).coalesce(1)
    told = {r["event_id"]: r for r in visits.deduplicate(_timed(rows)).collect()}
    assert (str(told["a"]["cancelled_known_ts"]), str(told["b"]["known_ts"])) == (BACK, BACK)


def test_a_purchase_is_known_to_be_taken_back_once_both_it_and_the_return_are_known(table: Make) -> None:
    rows = [
        ("a", "ann", "mug", "purchase", BOUGHT, 1.0, BOUGHT),
        ("b", "ann", "mug", "return", AGAIN, 1.0, LATER),
        ("c", "ann", "cup", "purchase", BOUGHT, 1.0, LATER),
        ("d", "ann", "cup", "return", AGAIN, 1.0, BACK),
    ]
    netted = visits.deduplicate(_timed(table(f"{ORDER}, known_ts TIMESTAMP", *rows))).where("event = 'purchase'").collect()
    assert {(r["event_id"], str(r["cancelled_ts"]), str(r["cancelled_known_ts"])) for r in netted} == {
        ("a", AGAIN, LATER),
        ("c", AGAIN, LATER),
    }


def test_one_shuffle_and_one_sort_serve_every_step(table: Make) -> None:
    events = _timed(table(f"{ORDER}, known_ts TIMESTAMP"))
    made = visits.flag_bots(visits.sessionise(visits.deduplicate(events), HALF_AN_HOUR), QualityConfig())
    plan = made._jdf.queryExecution().executedPlan().toString()
    above, below = plan.split("Union", 1)  # of the events and what is said of them
    assert (above.count("Sort ["), above.count("Exchange ")) == (1, 1)
    assert "Window" in below
