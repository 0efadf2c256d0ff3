"""What a shop would do without a model. A model that does not beat these is not worth running."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.judge.calibrator import COUNT, REAL

BASELINES = {
    "popular": "recent popularity",
    "own": "the user's own frequency",
    "own_popular": "own frequency, ties and gaps by recent popularity",
    "als": "what users alike do (ALS)",
}
KINDS = {"popular": COUNT, "own": COUNT, "own_popular": COUNT, "als": REAL}  # as calibration takes them
REFERENCE = "own_popular"  # what a slice of the champion's is held against
_UNKNOWN = -1000.0  # below any fit: ALS nears 0 (did nothing) and 1 (did something)


def add_baselines(rows: DataFrame, most_popular: float) -> DataFrame:
    """The rows plus a DOUBLE per baseline, higher is better.

    Takes   pair_orders (orders of this user with this product) and product_buyers_recent (its buyers lately), null is 0;
            als_score, null is below all others. `most_popular` is at least every product's buyers, so that popularity never
            outweighs an own order.
    """
    own, popular = _number("pair_orders", 0.0), _number("product_buyers_recent", 0.0)
    both = (own * (1 + most_popular) + popular).alias("own_popular")
    return rows.select("*", popular.alias("popular"), own.alias("own"), both, _number("als_score", _UNKNOWN).alias("als"))


def _number(name: str, unknown: float) -> Column:
    return F.coalesce(F.col(name).cast("double"), F.lit(unknown))
