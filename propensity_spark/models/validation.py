"""Which rows of a fit tell it when to stop: those of a share of the users."""

from pyspark.sql import Column, DataFrame

from propensity_spark.models.layout import ORDER
from propensity_spark.trainset.sampling import uniform

SHARE = 0.1  # of the users, where trees end early
_SALT = 13


def held(rows: DataFrame, share: float, seed: int, salt: int = _SALT) -> Column:
    """Whether a row is for validation, by its user; where numbered rows (see layout) have no user_id, by their place.

    Who holds users out of a fit that may hold some out itself gives a `salt` of its own: else it takes the very same users.
    """
    return uniform(seed + salt, "user_id" if "user_id" in rows.columns else ORDER) < share
