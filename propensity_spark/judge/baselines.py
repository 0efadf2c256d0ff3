"""What a shop would do without a model. A model that does not beat these is not worth running."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

BASELINES = {
    "popular": "recent popularity",
    "own": "the user's own frequency",
    "own_popular": "own frequency, ties and gaps by recent popularity",
}

REFERENCE = "own_popular"  # what a slice of the champion's is held against


def add_baselines(rows: DataFrame, most_popular: float) -> DataFrame:
    """The rows plus a DOUBLE >= 0 per baseline, higher is better.

    Takes   pair_orders (orders of this user with this product) and product_buyers_recent (its buyers lately); null is 0.
            `most_popular` is at least every product's buyers, so that popularity never outweighs an own order.
    """
    own, popular = _number("pair_orders"), _number("product_buyers_recent")
    return rows.select("*", popular.alias("popular"), own.alias("own"), (own * (1 + most_popular) + popular).alias("own_popular"))


def _number(name: str) -> Column:
    return F.coalesce(F.col(name).cast("double"), F.lit(0.0))
