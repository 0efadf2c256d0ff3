"""The parts of the rows that are judged apart: an average may hide a slice for which the scores are no good."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import JudgeConfig

REPEAT, NEW, COLD, WARM, OTHER, UNKNOWN = "repeat", "new", "cold", "warm", "other", "unknown"
EXISTS, ACTIVITY, USERS, PRODUCTS, CATEGORY, SEGMENT = "exists", "activity", "users", "products", "category", "segment"
OF_USERS = (ACTIVITY, USERS, SEGMENT)  # the same for all pairs of a user: her list is in it as well
READS = ("user_orders", "product_buyers", "category", "segment")  # columns of the rows, where there are any
_ORDERS = ((2, "0-1"), (5, "2-4"), (10, "5-9"))  # fewer orders than: the slice
MOST_CATEGORIES, MOST_SEGMENTS = 10, 30


def of_rows(rows: DataFrame, config: JudgeConfig, categories: Sequence[str], segments: Sequence[str]) -> dict[str, Column]:
    """The slices that the columns of the rows tell, as texts: what they are by -> which one a row is in.

    Takes   pair_orders, and of READS what there is: orders of the user and buyers of the product before as_of (null: none), the
            product's category, the user's segment; `categories`, `segments`: those that stand for themselves.
    Returns exists (bought before, or never), activity (by orders), users and products (cold: less history than config says),
            category and segment, each only where its column is there.
    """
    category = F.when(F.col("category").isin(list(categories)), F.col("category")).otherwise(OTHER)
    segment = F.when(F.col("segment").isin(list(segments)), F.col("segment")).when(F.col("segment").isNull(), UNKNOWN)
    made = {
        EXISTS: ("pair_orders", exists()),
        ACTIVITY: ("user_orders", activity()),
        USERS: ("user_orders", _history("user_orders", config.cold_orders)),
        PRODUCTS: ("product_buyers", _history("product_buyers", config.cold_buyers)),
        CATEGORY: ("category", category),
        SEGMENT: ("segment", segment.otherwise(OTHER)),
    }
    return {by: value for by, (column, value) in made.items() if column in rows.columns}


def exists() -> Column:
    """Whether the user has bought the product before."""
    return F.when(_number("pair_orders") > 0, REPEAT).otherwise(NEW)


def activity() -> Column:
    """The slice of the user's orders."""
    orders = _number("user_orders")
    slice_ = F.when(orders < _ORDERS[0][0], _ORDERS[0][1])
    for below, name in _ORDERS[1:]:
        slice_ = slice_.when(orders < below, name)
    return slice_.otherwise(f"{_ORDERS[-1][0]}+")


def _history(column: str, least: int) -> Column:
    return F.when(_number(column) < least, COLD).otherwise(WARM)


def _number(column: str) -> Column:
    return F.coalesce(F.col(column).cast("double"), F.lit(0.0))
