"""Who is scored: users with the event that the shop names, lately enough."""

from collections.abc import Callable

import pytest
from pyspark.sql import DataFrame

from propensity_spark.config import PopulationConfig
from propensity_spark.trainset.population import population

SEEN = "as_of DATE, user_id STRING, event STRING, age INT"
ROWS = (
    ("2024-04-01", "edge", "purchase", 28),
    ("2024-04-01", "late", "purchase", 29),
    ("2024-04-01", "twice", "purchase", 1),
    ("2024-04-01", "twice", "purchase", 2),
    ("2024-04-01", "looks", "view", 1),
    ("2024-04-01", "took back", "cancelled", 1),
    ("2024-05-01", "late", "purchase", 28),  # at another date
)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("purchase", {(4, "edge"), (4, "twice"), (5, "late")}),
        ("view", {(4, "looks")}),
        ("any", {(4, "edge"), (4, "twice"), (4, "looks"), (4, "took back"), (5, "late")}),
    ],
)
def test_users_are_scored_after_such_an_event_within_the_days(
    table: Callable[..., DataFrame], event: str, expected: set[tuple[int, str]]
) -> None:
    rows = population(table(SEEN, *ROWS), PopulationConfig(event=event, days=28)).collect()
    assert {(r.as_of.month, r.user_id) for r in rows} == expected
    assert len(rows) == len(expected), "a user is there once"
