"""Purchase rates of users without history, per segment and product: hierarchical shrinkage of counts.

A rate is told by its own purchases as far as they go, and by the wider level's rate beyond: with `expected` purchases by the
wider rate, `bought` ones, and a strength a,

    shrunk = wider x (bought + a) / (expected + a)

the mean of a gamma-Poisson model in which true rates scatter around the wider one with a variance of wider^2 / a. It lies between
the rate bought / users and the wider rate, and the wider one counts as much as `a` purchases. From above:

    overall           (bought + 1/2) / (users + 1), all products
    category          shrunk towards overall
    its new products  shrunk towards the category: nothing was done with them until lately
    product           shrunk towards its category, or the category's new products while it is new itself
    segment           the product in one segment, shrunk towards the product in all segments, where there are others

A level's strength is estimated by moments: of parts that hold the share s of what they are shrunk towards,

    a = sum(expected^2 (1 - s)) / sum((bought - expected)^2 - expected (1 - s))

between WEAKEST (else a product that nobody bought would be said to be impossible) and STRONGEST (parts differ by chance alone).
Users who never ordered and those who did have rates of their own. Of the former the new ones, and those who have been known for
longer, buy the same things at a pace of their own: all their rates are multiplied by

    (bought + a) / (expected + a)

of what the two expect by the rate of both together, all products, with `a` estimated as above. Where no user of a kind was
counted (all who had ordered had a score, say) the other kind's rates tell. Source: Clayton and Kaldor 1987,
relative risks; (1 - s): parts do not scatter freely around a mean that they make up themselves.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.config import ColdStartConfig
from propensity_spark.settle import settle
from propensity_spark.trainset.newcomers import NEW, NONE

SEGMENT, OVERALL, CATEGORY = "segment", "overall", "category"  # levels
WEAKEST, STRONGEST = 0.1, 1e6  # purchases
_NO_CATEGORY = ""


def rates(counts: DataFrame, asked: DataFrame, categories: DataFrame, config: ColdStartConfig) -> DataFrame:
    """The rate of every asked row. The rates of categories and products are computed at once: all else reads them.

    Takes   counts: history, segment, product_id, is_new, users, purchases (unique per the first four), read several times;
            asked: history, segment, product_id, is_new; categories: product_id, category.
    Returns the asked rows with `counted`: the history whose counts tell the rate (that of the most users, where the own was never
            counted; new users' is that of all without orders), propensity,
            product_rate and overall_rate DOUBLE; level: which rate carries most of the propensity; users and purchases BIGINT that
            this level counted (of a category: of all users, any of its products), category STRING; pace DOUBLE: by what all of
            these rates were multiplied for the history.
    """
    counts = _together(counts)
    named = _with_category(counts, categories)
    above = settle(_categories(named, config))
    products = settle(_products(named, above, config))
    placed = _with_category(_counted_as(_together(asked), counts), categories)
    placed = placed.join(F.broadcast(above), on=["history", "_category"], how="left")
    placed = _filled(placed, above).join(products, on=["history", "product_id"], how="left")
    told = _of_product(placed)
    mine = _sums(counts, "history", "segment", "product_id", into="s")
    both = told.join(mine, on=["history", "segment", "product_id"], how="left")
    strength = _segment_strength(mine, told, config)
    pace = _pace(counts, above)
    return _result(both.join(F.broadcast(strength), on="history", how="left").join(F.broadcast(pace), on="_whose", how="left"))


def _together(rows: DataFrame) -> DataFrame:
    """With users without orders as one history, and the rows' own as _whose."""
    own = F.col("history")
    return rows.withColumns({"_whose": own, "history": F.when(own == NEW, NONE).otherwise(own)})


def _counted_as(asked: DataFrame, counts: DataFrame) -> DataFrame:
    """The rows with the history by whose counts they are told: their own, or that of the most users. None where nothing counts."""
    there = counts.groupBy("history").agg(F.sum("users").alias("_n"))
    most = there.agg(F.max(F.struct("_n", "history")).getField("history").alias("_most"))
    known = F.broadcast(there.select("history", F.lit(True).alias("_is_there")))
    found = asked.join(known, on="history", how="left").crossJoin(F.broadcast(most)).where("_most IS NOT NULL")
    return found.withColumn("history", F.when(F.col("_is_there"), F.col("history")).otherwise(F.col("_most"))).drop(
        "_is_there", "_most"
    )


def _pace(counts: DataFrame, above: DataFrame) -> DataFrame:
    """Per history as it was counted, _whose: its pace; 1 where it is counted alone."""
    own = counts.groupBy("history", "_whose").agg(F.sum("purchases").alias("_b"), F.sum("users").alias("_n"))
    told = above.groupBy("history").agg(F.max("overall_rate").alias("_rate"), F.max("all_users").alias("_all"))
    joined = own.join(F.broadcast(told), on="history", how="inner")
    expected, share = F.col("_n") * F.col("_rate"), F.col("_n") / F.col("_all")
    strength = joined.groupBy("history").agg(_strength(F.col("_b"), expected, share, 0.0).alias("_a"))
    pace = (F.col("_b") + F.col("_a")) / (expected + F.col("_a"))
    return joined.join(F.broadcast(strength), on="history").select("_whose", F.when(share < 1, pace).otherwise(1.0).alias("pace"))


def _with_category(rows: DataFrame, categories: DataFrame) -> DataFrame:
    known = categories.select("product_id", "category").dropDuplicates(["product_id"])
    joined = rows.join(known, on="product_id", how="left")
    return joined.withColumn("_category", F.coalesce("category", F.lit(_NO_CATEGORY)))


def _sums(counts: DataFrame, *keys: str, into: str) -> DataFrame:
    """Purchases and users of the keys, as <into>_bought and <into>_users."""
    made = (F.sum("purchases").alias(f"{into}_bought"), F.sum("users").alias(f"{into}_users"))
    return counts.groupBy(*keys).agg(*made)


def shrunk(wider: Column, bought: Column, users: Column, strength: Column) -> Column:
    """The rate `bought` / `users`, shrunk towards the wider one."""
    return wider * (bought + strength) / (users * wider + strength)


def _strength(bought: Column, expected: Column, share: Column, fixed: float) -> Column:
    """An aggregate: how many purchases the wider rate counts for."""
    if fixed:
        return F.lit(float(fixed))
    free = F.when(share < 1, 1 - share)  # null: a part that is the whole says nothing
    excess = F.sum((bought - expected) * (bought - expected) - expected * free)  # without such parts
    estimate = F.sum(expected * expected * free) / F.when(excess > 0, excess)
    return F.least(F.greatest(F.coalesce(estimate, F.lit(STRONGEST)), F.lit(WEAKEST)), F.lit(STRONGEST))


def _categories(named: DataFrame, config: ColdStartConfig) -> DataFrame:
    """Per history and category: all_users, overall_rate, c_ and n_ (of new products) sums, c_rate and n_rate."""
    new = F.col("is_new")
    per = named.groupBy("history", "_category").agg(
        F.sum("purchases").alias("c_bought"),
        F.sum("users").alias("c_users"),
        F.coalesce(F.sum(F.when(new, F.col("purchases"))), F.lit(0)).alias("n_bought"),
        F.coalesce(F.sum(F.when(new, F.col("users"))), F.lit(0)).alias("n_users"),
    )
    everything = per.groupBy("history").agg(F.sum("c_bought").alias("all_bought"), F.sum("c_users").alias("all_users"))
    overall = (F.col("all_bought") + 0.5) / (F.col("all_users") + 1)
    joined = per.join(F.broadcast(everything), on="history", how="inner").withColumn("overall_rate", overall)
    expected = F.col("c_users") * F.col("overall_rate")
    share = F.col("c_users") / F.col("all_users")
    strength = joined.groupBy("history").agg(
        _strength(F.col("c_bought"), expected, share, config.category_strength).alias("c_strength")
    )
    rated = joined.join(F.broadcast(strength), on="history", how="inner")
    rated = rated.withColumn("c_rate", shrunk(F.col("overall_rate"), F.col("c_bought"), F.col("c_users"), F.col("c_strength")))
    of_new = shrunk(F.col("c_rate"), F.col("n_bought"), F.col("n_users"), F.col("c_strength"))
    return rated.withColumn("n_rate", of_new)


def _filled(placed: DataFrame, above: DataFrame) -> DataFrame:
    """Rows of a category that was never counted: the overall rate."""
    overall = above.groupBy("history").agg(F.max("overall_rate").alias("_overall"))
    joined = placed.join(F.broadcast(overall), on="history", how="inner")
    kept = [F.coalesce(column, F.lit(0)).alias(column) for column in ("c_bought", "c_users", "n_bought", "n_users")]
    rates = [F.coalesce(column, "_overall").alias(column) for column in ("overall_rate", "c_rate", "n_rate")]
    return joined.select("history", "_whose", "segment", "product_id", "is_new", "category", *kept, *rates)


def _products(named: DataFrame, above: DataFrame, config: ColdStartConfig) -> DataFrame:
    """Per history and product: p_bought, p_users and p_strength, which all products of a history share."""
    own = _sums(named, "history", "product_id", "_category", into="p")
    rated = own.join(F.broadcast(above), on=["history", "_category"], how="inner")
    expected, share = F.col("p_users") * F.col("c_rate"), F.col("p_users") / F.col("c_users")
    strength = rated.groupBy("history").agg(
        _strength(F.col("p_bought"), expected, share, config.product_strength).alias("p_strength")
    )
    return own.join(F.broadcast(strength), on="history", how="inner").drop("_category")


def _of_product(placed: DataFrame) -> DataFrame:
    """The rows with product_rate, and how much of it the product itself tells."""
    none = F.lit(0)
    told = placed.select(
        "*",
        F.when(F.col("is_new"), F.col("n_rate")).otherwise(F.col("c_rate")).alias("_prior"),
        F.coalesce("p_bought", none).alias("_bought"),
        F.coalesce("p_users", none).alias("_users"),
        F.coalesce("p_strength", F.lit(STRONGEST)).alias("_a"),
    )
    expected = F.col("_users") * F.col("_prior")
    return told.select(
        "*",
        shrunk(F.col("_prior"), F.col("_bought"), F.col("_users"), F.col("_a")).alias("product_rate"),
        (expected / (expected + F.col("_a"))).alias("_own"),
    )


def _segment_strength(mine: DataFrame, told: DataFrame, config: ColdStartConfig) -> DataFrame:
    """Per history: s_strength, over all products in all segments that were counted."""
    rate = told.groupBy("history", "product_id").agg(F.max("product_rate").alias("_r"), F.max("_users").alias("_n"))
    joined = mine.join(rate, on=["history", "product_id"], how="inner")
    expected, share = F.col("s_users") * F.col("_r"), F.col("s_users") / F.col("_n")
    return joined.groupBy("history").agg(_strength(F.col("s_bought"), expected, share, config.segment_strength).alias("s_strength"))


def _result(rows: DataFrame) -> DataFrame:
    """The propensity of each row, and the level that carries most of it with what was counted there."""
    bought, users = (F.coalesce(column, F.lit(0)) for column in ("s_bought", "s_users"))
    strength = F.coalesce("s_strength", F.lit(STRONGEST))
    expected = users * F.col("product_rate")
    alone = users == F.col("_users")  # nobody is in another segment: the product's rate has told all of it already
    segment = F.when(alone, 0.0).otherwise(expected / (expected + strength))
    product, category = (1 - segment) * F.col("_own"), (1 - segment) * (1 - F.col("_own"))
    level = F.when((segment >= product) & (segment >= category), SEGMENT).when(product >= category, OVERALL).otherwise(CATEGORY)
    propensity = F.when(alone, F.col("product_rate")).otherwise(shrunk(F.col("product_rate"), bought, users, strength))
    told = rows.select("*", propensity.alias("propensity"), level.alias("level"))
    pace, rates = F.coalesce("pace", F.lit(1.0)), ("propensity", "product_rate", "overall_rate")
    paced = [F.least(F.col(rate) * pace, F.lit(1.0)).alias(rate) for rate in rates]
    asked: list[Column | str] = [
        F.col("_whose").alias("history"),
        F.col("history").alias("counted"),
        "segment",
        "product_id",
        "is_new",
        "category",
        *paced,
        "level",
        pace.alias("pace"),
    ]
    return told.select(*asked, _counts_new().alias("counts_new"), _counted("users", users), _counted("purchases", bought))


def _counts_new() -> Column:
    """Whether a category's new products were counted for a new one: where it had none then, all of them were."""
    return F.col("is_new") & (F.coalesce("n_users", F.lit(0)) > 0)


def _counted(what: str, in_segment: Column) -> Column:
    """The users, or purchases, that the row's level counted."""
    column = {"users": "users", "purchases": "bought"}[what]
    beyond = F.when(_counts_new(), F.col(f"n_{column}")).otherwise(F.col(f"c_{column}"))
    level = F.col("level")
    chosen = F.when(level == SEGMENT, in_segment).when(level == OVERALL, F.col(f"_{column}")).otherwise(beyond)
    return chosen.cast("bigint").alias(what)


def best(rated: DataFrame, most: int) -> DataFrame:
    """The best `most` rows of every history and segment, with rank INT: by propensity, then by product_id."""
    by = Window.partitionBy("history", "segment").orderBy(F.col("propensity").desc(), F.col("product_id").asc())
    return rated.withColumn("rank", F.row_number().over(by)).where(F.col("rank") <= most)
