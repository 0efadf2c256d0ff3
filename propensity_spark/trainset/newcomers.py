"""Users whom nothing scores: they never ordered, or not lately; the products on sale to them; and what they bought of these.

A row counts from the moment at which it had happened and was known; a moment before the midnight that begins as_of is seen there.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.ingest.events import midnight
from propensity_spark.ingest.versions import ever

# a user's history: never ordered, never ordered and not known for long, or ordered but not scored any more
NONE, NEW, OLD = "none", "new", "old"
NEVER = (NONE, NEW)
COUNTED = ("history", "segment", "product_id", "is_new")


def first_known(events: DataFrame, versions: DataFrame | None, key: str) -> DataFrame:
    """Since when each user or product was known, at all and by what was done.

    Takes   silver.events, `key`: user_id or product_id; `versions`: its dated versions, or None.
    Returns key, known_at, touched_at (of the first event), ordered_at (of the first purchase) TIMESTAMP, null: never; is_listed:
            whether a version holds since ever. That says nothing of when the shop knew of the key: known_at is then of its first
            event, or null. Machines do not count, nor do returns: what they send back was bought before there were logs. A
            purchase that was taken back was an order all the same.
    """
    moment, never = F.greatest("event_ts", "known_ts"), F.lit(None).cast("timestamp")
    rows = events.where(~F.col("is_bot") & (F.col("event") != "return")).select(
        key,
        moment.alias("known_at"),
        moment.alias("touched_at"),
        F.when(F.col("event") == "purchase", moment).alias("ordered_at"),
        F.lit(False).alias("is_listed"),
    )
    if versions is not None:
        since, is_listed = F.greatest("valid_from", "known_ts"), F.col("valid_from") == ever()
        told = versions.select(
            key, since.alias("known_at"), never.alias("touched_at"), never.alias("ordered_at"), is_listed.alias("is_listed")
        )
        rows = rows.unionByName(told)
    first = (F.min(column).alias(column) for column in ("known_at", "touched_at", "ordered_at"))
    found = rows.groupBy(key).agg(*first, F.max("is_listed").alias("is_listed"))
    # of a table without dates a later version tells of a change, not since when there was somebody
    return found.withColumn("known_at", F.when(F.col("is_listed"), F.col("touched_at")).otherwise(F.col("known_at")))


def unscored(
    users: DataFrame, scored: DataFrame, as_of: DataFrame, new_days: int, time_zone: str, with_listed: bool = False
) -> DataFrame:
    """Who is known at a date and not scored: as_of, user_id, history.

    Takes   `users` from first_known; `scored`: as_of, user_id (the population); `as_of` from compute.moments; `new_days`: for so
            many before as_of, since their midnight, the new ones have been known; `with_listed`: those as well whom a table
            names now and of whom nothing says since when. In the past such a table knows who was to come, and who stayed.
    """
    known = users.join(F.broadcast(as_of), on=_is_known(with_listed), how="inner")
    is_new = F.coalesce(F.col("known_at"), ever()) >= midnight(F.date_sub("as_of", new_days), time_zone)
    history = F.when(F.col("ordered_at") < F.col("as_of_ts"), OLD).when(is_new, NEW).otherwise(NONE)
    return known.select("as_of", "user_id", history.alias("history")).join(scored, on=["as_of", "user_id"], how="left_anti")


def _is_known(with_listed: bool) -> Column:
    seen = F.col("known_at") < F.col("as_of_ts")
    return seen | (F.col("known_at").isNull() & F.col("is_listed")) if with_listed else seen


def first_buyers(users: DataFrame, as_of: DataFrame, horizon_days: int, time_zone: str) -> DataFrame:
    """Whose first order falls within [as_of, as_of + horizon): as_of, user_id, history NONE; arguments as of `on_sale`."""
    until = midnight(F.date_add("as_of", horizon_days), time_zone)
    inside = (F.col("ordered_at") >= F.col("as_of_ts")) & (F.col("ordered_at") < until)
    found = users.join(F.broadcast(as_of), on=inside, how="inner")
    return found.select("as_of", "user_id", F.lit(NONE).alias("history"))


def on_sale(products: DataFrame, as_of: DataFrame, new_days: int, time_zone: str) -> DataFrame:
    """The products known at a date: as_of, product_id, is_new BOOLEAN (nothing was done with it until `new_days` before as_of).

    One that an undated catalogue lists is on sale from its first event on, or at every date where there never was any.
    Takes   `products` from first_known; `as_of` from compute.moments.
    """
    since = midnight(F.date_sub("as_of", new_days), time_zone)
    is_new = F.coalesce(F.col("touched_at") >= since, F.lit(True))
    known = products.join(F.broadcast(as_of), on=_is_known(with_listed=True), how="inner")
    return known.select("as_of", "product_id", is_new.alias("is_new"))


def counts(users: DataFrame, products: DataFrame, purchases: DataFrame) -> DataFrame:
    """What users bought of what was on sale, dates added up.

    Takes   users: as_of, user_id, history, segment; products: as_of, product_id, is_new; purchases: distinct as_of, user_id,
            product_id.
    Returns history, segment, product_id, is_new, users BIGINT (a user counts once at every date at which the product was on
            sale), purchases BIGINT.
    """
    crowds = users.groupBy("as_of", "history", "segment").agg(F.count(F.lit(1)).alias("users"))
    met = products.join(F.broadcast(crowds), on="as_of", how="inner").groupBy(*COUNTED).agg(F.sum("users").alias("users"))
    theirs = purchases.join(users, on=["as_of", "user_id"], how="inner").join(products, on=["as_of", "product_id"], how="inner")
    bought = theirs.groupBy(*COUNTED).agg(F.count(F.lit(1)).alias("purchases"))
    joined = met.join(bought, on=list(COUNTED), how="left")
    return joined.select(*COUNTED, "users", F.coalesce("purchases", F.lit(0)).alias("purchases"))
