"""What differs is told per date and feature, with the row that differs most."""

from collections.abc import Callable
from datetime import date

from pyspark.sql import DataFrame

from propensity_spark.features.spec import KEYS
from propensity_spark.trainset.differences import differences

Make = Callable[..., DataFrame]
AS_OF = date(2024, 4, 1)


def test_training_rows_that_find_nothing_known_must_hold_nothing(table: Make) -> None:
    keys = "as_of DATE, user_id STRING, product_id STRING, n FLOAT, m FLOAT"
    day = "2024-04-01"
    again = table(keys, (day, "ann", "lamp", 1.0, None), (day, "ann", "mug", 5.0, 1.0), (day, "bob", "mug", 9.0, 9.0))
    joined = table(keys, (day, "ann", "lamp", 1.00005, None), (day, "ann", "mug", 4.0, 1.0), (day, "ann", "vase", None, 2.0))
    found, compared = differences(joined, again, ["n", "m"], KEYS["pair"], whole=False)
    assert compared == {AS_OF: 3}
    assert {d.feature: (d.key, d.stored, d.recomputed, d.rows) for d in found} == {
        "n": (("ann", "mug"), 4.0, 5.0, 1),  # 0.00005 are within the tolerance of sums of floats
        "m": (("ann", "vase"), 2.0, None, 1),
    }


def test_dates_are_compared_each_by_itself(table: Make) -> None:
    keys = "as_of DATE, user_id STRING, n FLOAT"
    again = table(keys, ("2024-03-01", "ann", 1.0), ("2024-04-01", "ann", 1.0), ("2024-04-01", "bob", 1.0))
    stored = table(keys, ("2024-03-01", "ann", 1.0), ("2024-04-01", "ann", 2.0), ("2024-04-01", "bob", float("inf")))
    found, compared = differences(stored, again, ["n"], KEYS["user"], whole=True)
    assert compared == {date(2024, 3, 1): 1, AS_OF: 2}
    assert [(d.as_of, d.feature, d.rows, d.key, d.stored) for d in found] == [(AS_OF, "n", 2, ("bob",), float("inf"))]
