"""A row is in one slice of each kind; limits are where the settings say, and no history is a cold one."""

from collections.abc import Callable

import pytest
from pyspark.sql import DataFrame

from propensity_spark.config import JudgeConfig
from propensity_spark.judge import slices

Make = Callable[..., DataFrame]
DDL = "pair_orders FLOAT, user_orders FLOAT, product_buyers FLOAT, category STRING, segment STRING"


def _sliced(table: Make, *row: object) -> dict[str, str]:
    rows = table(DDL, row)
    made = slices.of_rows(rows, JudgeConfig(cold_orders=3, cold_buyers=5), ["lamps", "mugs"], ["north"])
    return rows.select(*(key.alias(by) for by, key in made.items())).collect()[0].asDict()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((None, None, None, None, None), ("new", "0-1", "cold", "cold", "other", "unknown")),
        ((0.0, 1.0, 4.0, "lamps", "north"), ("new", "0-1", "cold", "cold", "lamps", "north")),
        ((1.0, 2.0, 5.0, "mugs", "north"), ("repeat", "2-4", "cold", "warm", "mugs", "north")),
        ((1.0, 4.0, 5.0, "rugs", "south"), ("repeat", "2-4", "warm", "warm", "other", "other")),
        ((1.0, 5.0, 5.0, "rugs", "north"), ("repeat", "5-9", "warm", "warm", "other", "north")),
        ((1.0, 10.0, 5.0, "rugs", "north"), ("repeat", "10+", "warm", "warm", "other", "north")),
    ],
)
def test_slices_begin_where_they_say(table: Make, row: tuple[object, ...], expected: tuple[str, ...]) -> None:
    names = (slices.EXISTS, slices.ACTIVITY, slices.USERS, slices.PRODUCTS, slices.CATEGORY, slices.SEGMENT)
    assert _sliced(table, *row) == dict(zip(names, expected, strict=True))


def test_a_shop_that_knows_less_has_fewer_slices(table: Make) -> None:
    assert set(slices.of_rows(table("pair_orders FLOAT", (1.0,)), JudgeConfig(), [], [])) == {slices.EXISTS}
