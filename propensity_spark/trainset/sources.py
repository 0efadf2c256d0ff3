"""Sources of candidates from what the tables say of users, their categories and segments: due again, popular there, new there.

All of it reads the past of as_of only; ties go to the smaller product_id.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.config import CandidateConfig
from propensity_spark.errors import MissingColumns
from propensity_spark.features.categories import add_category

KEYS = ("as_of", "user_id", "product_id")
TOUCHED, POPULAR, TOGETHER, ALS, AFFINITY, DUE, CATEGORY, SEGMENT, FRESH = (1 << place for place in range(9))
NAMES = {
    TOUCHED: "touched",
    POPULAR: "popular",
    TOGETHER: "together",
    ALS: "als",
    AFFINITY: "affinity",
    DUE: "due",
    CATEGORY: "category",
    SEGMENT: "segment",
    FRESH: "fresh",
}
_SOON, _LATE = 0.5, 2.0  # of the usual gap, since the last order
_CATEGORIES = 3  # a user's favourite ones
Tables = Mapping[str, DataFrame]


def of_hers(population: DataFrame, tables: Tables, config: CandidateConfig) -> list[DataFrame]:
    """What the sources that are switched on name of what a user had to do with: as_of, user_id, product_id, source INT.

    Takes   population as_of, user_id; `tables`: features.pair and product, by their short names.
    """
    made = [touched(population, tables["pair"], config)] if config.touched else []
    return [*made, due(population, tables["pair"], tables["product"], config)] if config.due else made


def of_others(population: DataFrame, tables: Tables, config: CandidateConfig) -> list[DataFrame]:
    """What they name for what others did, whatever a user's own past; returns what `of_hers` does.

    Takes   population as_of, user_id; `tables`: as for `of_hers`, and for their sources user_category and user (with segment);
            products (see categories.add_category).
    Raises  MissingColumns where a source needs what the shop does not have.
    """
    made = []
    if config.popular:
        listed = popular(tables["product"], config)
        made.append(population.join(F.broadcast(listed), on="as_of", how="inner"))
    if config.category or config.fresh:
        favourites, shelved = _favourites(population, tables["user_category"]), _shelved(tables)
        if config.category:
            made.append(_of_categories(favourites, shelved, config.category, CATEGORY, "product_buyers_recent > 0"))
        if config.fresh:
            new = f"product_age <= {config.popular_days}"
            made.append(_of_categories(favourites, shelved, config.fresh, FRESH, new))
    if config.segment:
        made.append(of_segment(population, tables["pair"], tables["user"], config))
    return made


def touched(population: DataFrame, pairs: DataFrame, config: CandidateConfig) -> DataFrame:
    """The products that a user had anything to do with, the latest first."""
    recent = pairs.where(f"pair_seen_last <= {config.touched_days}").join(population, on=["as_of", "user_id"], how="left_semi")
    return _marked(_top(recent, ["as_of", "user_id"], [F.col("pair_seen_last").asc()], config.touched), TOUCHED)


def popular(products: DataFrame, config: CandidateConfig) -> DataFrame:
    """The products with the most buyers lately: as_of, product_id."""
    ranked = products.where("product_buyers_recent > 0")
    best = _top(ranked, ["as_of"], [F.col("product_buyers_recent").desc()], config.popular)
    return best.select("as_of", "product_id", F.lit(POPULAR).alias("source"))


def due(population: DataFrame, pairs: DataFrame, products: DataFrame, config: CandidateConfig) -> DataFrame:
    """What a user bought about one usual gap ago, the nearest to it first: her own gap, else that of the product's buyers.

    From half a gap to two after the last order; where neither is known nothing is due, and a gap is a day at least. Of what she
    bought long ago, too: `touched` may have left it out.
    """
    gaps = products.select("as_of", "product_id", "product_gap")
    bought = pairs.where("pair_purchases_last IS NOT NULL").join(population, on=["as_of", "user_id"], how="left_semi")
    gap = F.coalesce("pair_gap", "product_gap")  # `greatest` alone would take a day for what is unknown
    since = F.log(F.greatest("pair_purchases_last", F.lit(0.5)) / F.greatest(gap, F.lit(1.0)))
    known = bought.join(gaps, on=["as_of", "product_id"], how="left").where(gap.isNotNull())
    told = known.select(*KEYS, since.alias("_since"))
    near = told.where(F.exp("_since").between(_SOON, _LATE))
    return _marked(_top(near, ["as_of", "user_id"], [F.abs("_since").asc()], config.due), DUE)


def of_segment(population: DataFrame, pairs: DataFrame, users: DataFrame, config: CandidateConfig) -> DataFrame:
    """What the most users of a user's segment bought lately.

    Raises MissingColumns where users have no segment: features.segment_by names it, or features.groups must hold `segment`.
    """
    if "segment" not in users.columns:
        raise MissingColumns(
            "features.user",
            ["segment"],
            users.columns,
            "Name features.segment_by, add segment to features.groups, or set candidates.segment: 0.",
        )
    segments = users.select("as_of", "user_id", "segment")
    lately = pairs.where(f"pair_purchases_last <= {config.popular_days}").select(*KEYS)
    counted = lately.join(segments, ["as_of", "user_id"], "inner").groupBy("as_of", "segment", "product_id").count()
    best = _top(counted, ["as_of", "segment"], [F.col("count").desc()], config.segment).select("as_of", "segment", "product_id")
    mine = population.join(segments, ["as_of", "user_id"], "inner")
    return _marked(mine.join(best, ["as_of", "segment"], "inner"), SEGMENT)


def _favourites(population: DataFrame, user_categories: DataFrame) -> DataFrame:
    """Each user's favourite categories: as_of, user_id, category. Orders count before views, the latest first."""
    liked = [F.coalesce(c, F.lit(0.0)).desc() for c in ("ucat_orders_decayed", "ucat_views") if c in user_categories.columns]
    mine = user_categories.where("category IS NOT NULL").join(population, ["as_of", "user_id"], "left_semi")
    order = [*liked, F.col("ucat_seen_last").asc()]
    return _top(mine, ["as_of", "user_id"], order, _CATEGORIES, "category").select("as_of", "user_id", "category")


def _shelved(tables: Tables) -> DataFrame:
    """The products that anybody had to do with before as_of, with their category."""
    known = tables["product"].select("as_of", "product_id", "product_buyers_recent", "product_age")
    return add_category(known, tables["products"]).where("category IS NOT NULL")


def _of_categories(favourites: DataFrame, shelved: DataFrame, most: int, source: int, where: str) -> DataFrame:
    """The best products of each favourite category: in all, so many a user or a few more."""
    a_category = -(-most // _CATEGORIES)
    order = [F.coalesce("product_buyers_recent", F.lit(0.0)).desc(), F.col("product_age").asc()]
    best = _top(shelved.where(where), ["as_of", "category"], order, a_category).select("as_of", "category", "product_id")
    return _marked(favourites.join(best, ["as_of", "category"], "inner"), source)


def _marked(pairs: DataFrame, source: int) -> DataFrame:
    return pairs.select(*KEYS, F.lit(source).alias("source"))


def _top(frame: DataFrame, group: Sequence[str], order: list[Column], most: int, tie: str = "product_id") -> DataFrame:
    by = Window.partitionBy(*group).orderBy(*order, F.col(tie).asc())
    return frame.withColumn("_place", F.row_number().over(by)).where(F.col("_place") <= most).drop("_place")
