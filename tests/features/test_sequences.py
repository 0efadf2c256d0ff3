"""The last events of a user at any moment, against a plain reading in Python; and at the edges of what was known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.features.sequences import last_events

SCHEMA = (
    "user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, known_ts TIMESTAMP, cancelled_known_ts TIMESTAMP, "
    "quantity DOUBLE, amount DOUBLE, is_bot BOOLEAN"
)
AT, TICK = datetime(2024, 3, 1, 12, tzinfo=UTC), timedelta(microseconds=1)
Event = tuple[str, str, str, datetime, datetime, datetime | None, float | None, float | None, bool]
Told = tuple[datetime, str, str, float | None, float | None]


def _event(product: str, ts: datetime, known: datetime | None = None, back: datetime | None = None, bot: bool = False) -> Event:
    return ("u0", product, "purchase", ts, known or ts, back, 2.0, 3.5, bot)


def _found(spark: SparkSession, rows: Sequence[Event], spine: DataFrame, most: int, tasks: int = 2) -> dict[int, list[Told]]:
    made = last_events(spark.createDataFrame(list(rows), SCHEMA), spine, most, tasks).collect()
    found = {r["row"]: [(e[0].replace(tzinfo=UTC), *e[1:]) for e in r["last_events"]] for r in made}
    assert len(found) == len(made)
    return found


def _asked(spark: SparkSession, *spine: tuple[int, str, datetime]) -> DataFrame:
    return spark.createDataFrame(list(spine), "row BIGINT, user_id STRING, moment TIMESTAMP")


def _by_hand(rows: Sequence[Event], user: str, moment: datetime, most: int) -> list[Told]:
    seen = []
    for who, product, event, ts, known, back, quantity, amount, bot in rows:
        if who != user or bot or known >= moment:
            continue
        is_taken = back is not None and event == "purchase" and back < moment
        state, since = ("cancelled", back) if is_taken else (event, known)
        seen.append(((ts, since, state, product), (ts, state, product, quantity, amount)))
    return [told for _, told in sorted(seen, key=lambda pair: pair[0])][-most:]


def _random(seed: int, count: int) -> list[Event]:
    rng, made = random.Random(seed), []
    for _ in range(count):
        ts = AT + timedelta(minutes=rng.randrange(600))  # many at the same minute
        known = ts + rng.choice([timedelta(0)] * 3 + [timedelta(minutes=rng.randrange(300)), timedelta(days=9)])
        event = rng.choice(["view", "purchase"])
        back = known + timedelta(minutes=rng.randrange(90)) if event == "purchase" and rng.random() < 0.4 else None
        amount = rng.choice([None, 1.5, 7.0])
        made.append((f"u{rng.randrange(4)}", f"p{rng.randrange(5)}", event, ts, known, back, 1.0, amount, rng.random() < 0.1))
    return made


@pytest.mark.parametrize("most", [1, 7, 500])
def test_sequences_agree_with_a_plain_reading(spark: SparkSession, most: int) -> None:
    rows = _random(5, 300)
    asked = [(n, f"u{n % 5}", AT + timedelta(minutes=7 * n) + TICK * (n % 3 - 1)) for n in range(120)]  # nobody is u4
    found = _found(spark, rows, _asked(spark, *asked), most, tasks=3)
    assert found == {n: _by_hand(rows, user, moment, most) for n, user, moment in asked}
    assert max(len(told) for told in found.values()) > min(most, 30) - 1
    assert any("cancelled" in told for sequence in found.values() for told in sequence)


def test_an_event_at_the_moment_itself_is_not_seen_and_one_before_is(spark: SparkSession) -> None:
    rows = [_event("before", AT - TICK), _event("at", AT), _event("late", AT - 2 * TICK, AT), _event("bot", AT - TICK, bot=True)]
    found = _found(spark, rows, _asked(spark, (0, "u0", AT), (1, "u0", AT + TICK), (2, "u1", AT)), 10)
    assert [told[2] for told in found[0]] == ["before"]
    assert [told[2] for told in found[1]] == ["late", "before", "at"]
    assert found[2] == []


def test_a_purchase_reads_as_cancelled_from_when_that_was_known_and_keeps_its_place(spark: SparkSession) -> None:
    rows = [_event("a", AT, back=AT + timedelta(hours=2)), _event("b", AT + timedelta(hours=1))]
    taken = AT + timedelta(hours=2)
    found = _found(spark, rows, _asked(spark, (0, "u0", taken), (1, "u0", taken + TICK)), 2)
    assert [(told[2], told[1]) for told in found[0]] == [("a", "purchase"), ("b", "purchase")]
    assert [(told[2], told[1]) for told in found[1]] == [("a", "cancelled"), ("b", "purchase")]


def test_no_events_and_no_questions_are_no_error(spark: SparkSession) -> None:
    assert _found(spark, [], _asked(spark, (0, "u0", AT)), 3) == {0: []}
    assert _found(spark, [_event("a", AT)], _asked(spark).where(F.lit(False)), 3) == {}
