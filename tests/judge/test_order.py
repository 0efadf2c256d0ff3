"""A user's list: the two heads are joined in standard deviations of the list."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.judge.order import RANKING, add_ranking

Make = Callable[..., DataFrame]


def test_both_heads_weigh_the_same_within_a_list(table: Make) -> None:
    rows = table(
        "as_of DATE, user_id STRING, product_id STRING, p DOUBLE, r DOUBLE",
        ("2024-04-01", "ann", "a", 0.5, 10.0),
        ("2024-04-01", "ann", "b", 0.2, 30.0),
        ("2024-04-01", "ann", "c", 0.1, 20.0),
        ("2024-04-01", "bob", "a", 0.9, 1.0),  # alone: no spread
        ("2024-04-08", "ann", "a", 0.0, 5.0),  # another date, another list; a score at the edge
        ("2024-04-08", "ann", "b", 1.0, 5.0),
    )
    found = {(str(r.as_of), r.user_id, r.product_id): r.ranking_score for r in add_ranking(rows, "p", "r").collect()}
    odds, ranks = np.log([1.0, 0.25, 1 / 9]), np.array([10.0, 30.0, 20.0])
    expected = [(a - x.mean()) / x.std() for x in (odds, ranks) for a in x]
    for place, product in enumerate("abc"):
        assert found["2024-04-01", "ann", product] == pytest.approx((expected[place] + expected[place + 3]) / 2)
    assert found["2024-04-01", "bob", "a"] == 0.0
    assert found["2024-04-08", "ann", "b"] == pytest.approx(0.5)
    alone = add_ranking(rows.where("user_id = 'ann' AND as_of = '2024-04-01'"), "p", None)
    assert [r.product_id for r in alone.orderBy(F.col(RANKING).desc()).collect()] == ["a", "b", "c"]
