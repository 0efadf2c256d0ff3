"""What categories a user likes, undisturbed by single favourites that are looked at day after day."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

_AT_MOST = 2.0  # times the views that the user's views of the category would give the product
READS = "views_ever"
MEANING = {
    "views_taste": f"{READS}, at most the larger of 1 and {_AT_MOST} x product's part of the category's x user's in the category",
    "user_taste": "sum of views_taste over the user",
}


def add_taste(pairs: DataFrame) -> DataFrame:
    """Count views of a product beyond twice what taste for its category explains as no more than that.

    Takes   per as_of, user_id, product_id: category and views_ever (no nulls).
    Returns the same rows plus views_taste DOUBLE, the views that tell taste, and user_taste DOUBLE, their sum over the user.
    """
    user = ["as_of", "user_id"]
    in_category = F.sum("views_ever").over(Window.partitionBy(*user, "category"))
    likely = _AT_MOST * F.col("_share") * in_category
    shared = pairs.join(_shares(pairs), on=["as_of", "product_id"], how="left").repartition(*user)
    capped = shared.withColumn("views_taste", F.least("views_ever", F.greatest(likely, F.lit(1.0))))
    return capped.select(*pairs.columns, "views_taste", F.sum("views_taste").over(Window.partitionBy(*user)).alias("user_taste"))


def _shares(pairs: DataFrame) -> DataFrame:
    """as_of, product_id, _share: the product's part of its category's views."""
    products = pairs.groupBy("as_of", "product_id", "category").agg(F.sum("views_ever").alias("_views"))
    whole = F.sum("_views").over(Window.partitionBy("as_of", "category"))
    return products.select("as_of", "product_id", (F.col("_views") / whole).alias("_share"))
