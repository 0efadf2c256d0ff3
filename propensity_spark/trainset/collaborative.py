"""Candidates and scores from what all users did: what goes together, what fits by ALS, and what is likely to be taken up next.

Sparse and dense matrices in a grouped Arrow function: pairs of pairs as a Spark self-join took 52 s where this takes a few. Work
is bounded on every side: a user's latest rows, a sample of users to learn from, the products listed, a bucket of users per task.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset import affinity
from propensity_spark.trainset.sampling import uniform
from propensity_spark.trainset.shelf import Block, Layout, Shelf
from propensity_spark.trainset.sources import AFFINITY, ALS, TOGETHER

SCORES = ("together_score", "als_score", "affinity", "following_score", "peers_score")
RECENT = "together_recent"
_INTEREST = {"purchase": 1.0, "cart": 0.5, "favourite": 0.5, "view": 0.2}  # one event of the day
_SAMPLED_USERS = 20_000  # enough to learn from; more only costs
_BUYERS = 0.75  # of those places: buyers have so many, or more where they are more among the users
_USERS_A_TASK = 20_000
_LISTED_DAYS = 28.0  # the shortest half-life of interest, but for a shorter one that is set
_PARTITIONS = 8  # for each of Spark's own; most stay empty, and cost nothing
_SALT = 1
_KEYS = "as_of DATE, user_id STRING, product_id STRING, source INT"
_NAMED = ["as_of", "user_id", "product_id", "source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How a date is learnt from: the horizon in days, how fast interest fades, and the seed.

    `recent_half_life` asks for the group `together_recent` as well.
    """

    horizon_days: int
    half_life_days: float
    seed: int
    recent_half_life: float | None = None

    @property
    def listing_half_life_days(self) -> float:
        """How fast interest fades where it decides which products are listed.

        Tastes outlast products: where these live for weeks, what sold in spring would keep out what is on sale now. So it fades
        with the horizon, in which what is listed is to be bought; but not within days, when the last places would go by chance.
        """
        return min(self.half_life_days, max(float(self.horizon_days), _LISTED_DAYS))

    @property
    def scores(self) -> tuple[str, ...]:
        """The score columns, in order."""
        return (*SCORES, RECENT) if self.recent_half_life else SCORES


def history(seen: DataFrame, most: int) -> DataFrame:
    """What each user did with a product on a day, her latest `most` rows.

    Takes   events as seen at their as_of (features.compute.as_seen), with age in days.
    Returns as_of, user_id, product_id, age INT (1: the day before), bought BOOLEAN, interest FLOAT > 0.
    """
    weight = F.coalesce(*(F.when(F.col("event") == event, F.lit(value)) for event, value in _INTEREST.items()), F.lit(0.0))
    daily = seen.groupBy("as_of", "user_id", "product_id", "age").agg(
        F.max(F.col("event") == "purchase").alias("bought"), F.sum(weight).cast("float").alias("interest")
    )
    latest = Window.partitionBy("as_of", "user_id").orderBy(F.col("age").asc(), F.col("product_id").asc())
    ranked = daily.where("interest > 0").withColumn("_place", F.row_number().over(latest))
    return ranked.where(F.col("_place") <= most).drop("_place")


def collaborative(
    population: DataFrame,
    past: DataFrame,
    config: CandidateConfig,
    learning: Learning,
    asked: DataFrame,
    excluded: DataFrame | None = None,
) -> DataFrame:
    """Each user's closest products by every source, and the scores of these, of what she had to do with, and of what is asked for.

    Takes   population as_of, user_id; `past` from `history`; `asked`: as_of, user_id, product_id, source of pairs that others
            name; `excluded`: as_of, product_id of what is learnt from, but named by no source of these (None: nothing).
    Returns as_of, user_id, product_id, source INT (bits; 0: hers already, or asked for, and no source of these names it),
            together_score >= 0, als_score, affinity (a logit; null where nothing tells its level), following_score and
            peers_score >= 0 FLOAT, with a half-life together_recent FLOAT >= 0. Of equal scores the smaller product_id goes
            first. What is asked for is given back besides, with its source and without scores: it has none where a user has no
            past, or a product is not listed. Where a user's past has nothing that is listed, als_score, following_score and
            peers_score are null.
    """
    sizes = F.broadcast(_sizes(past, population))
    spread, theirs = _spread(_marked(past, excluded), population, sizes), _by_bucket(asked, sizes)
    schema = ", ".join([_KEYS, *(f"{score} FLOAT" for score in learning.scores)])
    by = ("as_of", "_bucket")
    return _apart(spread).groupBy(*by).cogroup(_apart(theirs).groupBy(*by)).applyInPandas(_task(config, learning), schema)


def _marked(past: DataFrame, excluded: DataFrame | None) -> DataFrame:
    """The past plus excluded BOOLEAN."""
    if excluded is None:
        return past.withColumn("excluded", F.lit(False))
    marks = excluded.withColumn("excluded", F.lit(True))
    return past.join(marks, ["as_of", "product_id"], "left").fillna(False, ["excluded"])


def _sizes(past: DataFrame, population: DataFrame) -> DataFrame:
    """On how many buckets a date's population lies, and which shares of its users are sampled.

    Returns as_of, _buckets INT >= 1, _of_buyers and _of_others DOUBLE: the shares of those who bought anything and of the rest.
    """
    buyer = F.when(F.col("bought"), F.col("user_id"))
    counts = [F.approx_count_distinct("user_id").alias("_users"), F.approx_count_distinct(buyer).alias("_bought")]
    counted = past.groupBy("as_of").agg(*counts)
    served = population.groupBy("as_of").agg(F.count("*").alias("_served"))
    # aliases, since population and past may be of the same table
    both = counted.alias("past").join(served.alias("asked"), F.col("past.as_of") == F.col("asked.as_of"), "left")
    buckets = F.greatest(F.ceil(F.col("_served") / _USERS_A_TASK), F.lit(1)).cast("int")  # greatest leaves nulls out
    of_buyers, of_others = _shares(F.col("_users"), F.col("_bought"))
    return both.select("past.as_of", buckets.alias("_buckets"), of_buyers.alias("_of_buyers"), of_others.alias("_of_others"))


def _shares(users: Column, bought: Column) -> tuple[Column, Column]:
    """Which shares of the buyers and of the others are sampled: all where they fit in; else buyers first, and some others.

    What is bought is learnt from buyers, who may be one in ten of a shop's visitors, and would be of the sample. Without any
    others the affinity would be of the level of buyers, at dates with many of them: so each stands for more (affinity.learn).
    """
    buyers = F.least(bought, users)  # both are estimates
    others = users - buyers
    places = F.least(buyers, F.greatest(F.lit(_BUYERS * _SAMPLED_USERS), _SAMPLED_USERS * buyers / F.greatest(users, F.lit(1))))
    of_buyers = F.least(F.lit(1.0), places / F.greatest(buyers, F.lit(1)))
    of_others = F.least(F.lit(1.0), (_SAMPLED_USERS - places) / F.greatest(others, F.lit(1)))
    return of_buyers, F.when(others > 0, of_others).otherwise(of_buyers)


def _own_bucket() -> Column:
    return F.pmod(F.xxhash64("user_id"), F.col("_buckets")).cast("int")


def _by_bucket(asked: DataFrame, sizes: DataFrame) -> DataFrame:
    """The pairs asked for, each where its user is scored; of a date without a past all in one place."""
    bucket = F.coalesce(_own_bucket(), F.lit(0)).alias("_bucket")
    # aliases, since population and past may be of the same table: Spark could not tell the columns of both sides apart
    named = (F.col(name).alias(name) for name in _NAMED)
    return asked.join(sizes, on="as_of", how="left").select(*named, bucket)


def _spread(past: DataFrame, population: DataFrame, sizes: DataFrame) -> DataFrame:
    """Rows to the buckets that need them: a user to be scored goes to one, a sampled user to all (of the date).

    Returns the past's columns, _bucket INT, _scored and _sampled BOOLEAN, and _stands_for FLOAT >= 1: for how many users she is in
            the sample, against a buyer.
    """
    everyone = population.select("as_of", "user_id", F.lit(True).alias("_scored"))
    own = _own_bucket()
    has_bought = F.max("bought").over(Window.partitionBy("as_of", "user_id"))
    is_sampled = uniform(_SALT, "user_id") < F.when(F.col("_has_bought"), F.col("_of_buyers")).otherwise(F.col("_of_others"))
    stands_for = F.when(F.col("_has_bought"), 1.0).otherwise(F.col("_of_buyers") / F.col("_of_others")).cast("float")
    every = F.when(is_sampled, F.sequence(F.lit(0), F.col("_buckets") - 1)).otherwise(F.array().cast("array<int>"))
    mine = F.when(F.col("_scored"), F.array(own)).otherwise(F.array().cast("array<int>"))
    is_hers = F.col("_scored") & (own == F.col("_bucket"))
    told = [is_sampled.alias("_sampled"), stands_for.alias("_stands_for")]
    return (
        past.withColumn("_has_bought", has_bought)
        .join(everyone, on=["as_of", "user_id"], how="left")
        .join(sizes, on="as_of", how="inner")
        .select("*", F.explode(F.array_union(every, mine)).alias("_bucket"), *told)
        .select(*past.columns, "_bucket", "_sampled", "_stands_for", is_hers.alias("_scored"))
    )


def _apart(spread: DataFrame) -> DataFrame:
    """Each bucket on a task of its own, nearly: a few dates on as few partitions would leave one core with most of them."""
    spark = spread.sparkSession
    told = str(spark.conf.get("spark.sql.shuffle.partitions"))
    shuffles = int(told) if told.isdigit() else spark.sparkContext.defaultParallelism  # Databricks may say auto
    return spread.repartition(_PARTITIONS * shuffles, "as_of", "_bucket")


def _task(config: CandidateConfig, learning: Learning) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    def score(bucket: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        bucket["_scored"] = bucket["_scored"].fillna(False).astype(bool)
        given = asked[_NAMED].assign(**{name: np.float32(np.nan) for name in learning.scores})
        if not bucket["_scored"].any() or not bucket["_sampled"].any():
            return given
        with threadpool_limits(1):  # a core is a task's; and sums come out the same everywhere
            return pd.concat([*found(bucket, asked, config, learning), given])[list(given.columns)]

    return score


def found(bucket: pd.DataFrame, asked: pd.DataFrame, config: CandidateConfig, learning: Learning) -> Iterator[pd.DataFrame]:
    """The pairs that `collaborative` scores, of a bucket of one date, some users at a time.

    Takes rows of `history` with excluded, _scored and _sampled BOOL, and _stands_for; the pairs asked for of the same bucket.
    """
    layout = Layout(
        products=listed(bucket[bucket["_sampled"]], config.products, learning.listing_half_life_days),
        horizon_days=learning.horizon_days,
        half_life_days=learning.half_life_days,
        config=config,
        recent_half_life=learning.recent_half_life,
    )
    rows, users = _coded(bucket, layout)
    sample = rows[rows["_sampled"] & (rows["interest"] > 0)]
    shelf, blend = Shelf(sample, layout), affinity.learn(sample, layout, learning.seed)
    offered = ~np.isin(layout.products, bucket.loc[bucket["excluded"], "product_id"].unique())
    wanted = _placed(asked, users, layout.products)
    for block in affinity.blocks(rows[rows["_scored"]]):
        chosen = _chosen(shelf, blend, block, learning, offered, wanted)
        chosen["user_id"] = pd.Series(users[_codes(block)[chosen.pop("_user")]], dtype=object)
        yield chosen.assign(as_of=bucket["as_of"].iloc[0])


def listed(sample: pd.DataFrame, most: int, half_life_days: float) -> npt.NDArray[np.object_]:
    """The products that draw the most interest lately, at most so many, in order of product_id."""
    faded = sample["interest"] * np.exp2(-sample["age"] / half_life_days)
    drawn = faded.groupby(sample["product_id"]).sum().sort_index()
    return np.sort(drawn.sort_values(ascending=False, kind="stable").index[:most].to_numpy(dtype=object))


def _coded(bucket: pd.DataFrame, layout: Layout) -> tuple[pd.DataFrame, npt.NDArray[np.object_]]:
    """The rows of listed products in an order of their own, users as codes, products as places.

    Who had to do with none of them has one row, of no interest: what draws everybody may draw her.
    """
    place = pd.Index(layout.products).get_indexer(bucket["product_id"])
    codes, users = pd.factorize(bucket["user_id"], sort=True)
    told = bucket[["age", "bought", "interest", "_scored", "_sampled"]]
    rows = told.assign(user=codes, product=place, stands_for=bucket["_stands_for"])
    is_listed = rows["product"] >= 0
    others = rows[~rows["user"].isin(rows.loc[is_listed, "user"])].drop_duplicates("user")
    blank = others.assign(product=0, bought=False, interest=np.float32(0))
    kept = pd.concat([rows[is_listed], blank]).sort_values(["user", "product", "age"], kind="stable")
    return kept, np.asarray(users, dtype=object)


def _placed(asked: pd.DataFrame, users: npt.NDArray[np.object_], products: npt.NDArray[np.object_]) -> pd.DataFrame:
    """The pairs asked for of known users and listed products: user (its code) and product (its place)."""
    placed = {
        "user": pd.Index(users).get_indexer(pd.Index(asked["user_id"])),
        "product": pd.Index(products).get_indexer(pd.Index(asked["product_id"])),
    }
    return pd.DataFrame(placed).query("user >= 0 and product >= 0")


def _codes(block: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The code of each user of the block, in the block's order, which is theirs."""
    return block.groupby("user")["known_as"].first().to_numpy(dtype=np.int64)


def _among(wanted: pd.DataFrame, block: pd.DataFrame, products: int) -> npt.NDArray[np.bool_]:
    """Users of the block x products: what is asked for."""
    codes = _codes(block)
    mine = wanted[wanted["user"].isin(codes)]
    among = np.zeros((len(codes), products), dtype=np.bool_)
    among[np.searchsorted(codes, mine["user"]), mine["product"]] = True
    return among


def _chosen(
    shelf: Shelf,
    blend: affinity.Blend,
    block: pd.DataFrame,
    learning: Learning,
    offered: npt.NDArray[np.bool_],
    wanted: pd.DataFrame,
) -> pd.DataFrame:
    """The pairs of a block of users: _user (its number in the block), product_id, source and the scores.

    Sources name what is `offered` of the products; what is `wanted` is scored all the same.
    """
    config, own = shelf.layout.config, affinity.touched(block, len(shelf.layout.products))
    als, together = shelf.als(block), shelf.together(block)
    likely = blend.affinity(shelf.signals(own, als, together))
    following, peers = shelf.following(block), shelf.peers(block)
    for taste in (als, following, peers):
        taste[~own.any(axis=1)] = np.nan  # nothing tells it
    fresh = ~own & (shelf.known & offered)[None, :]
    source = (
        TOGETHER * largest(np.where((together > 0) & offered[None, :], together, -np.inf), config.together)
        + ALS * largest(np.where(fresh, als, -np.inf), config.als)
        + AFFINITY * largest(np.where(fresh, likely, -np.inf), config.affinity)
    )
    users, products = np.nonzero((source > 0) | own | _among(wanted, block, len(offered)))
    told = likely if blend.has_level else np.full_like(likely, np.nan)  # else it would be of another scale than at other dates
    scores = [together, als, told, following, peers]
    if learning.recent_half_life:
        scores.append(shelf.together_recent(block))
    values = {name: score[users, products].astype(np.float32) for name, score in zip(learning.scores, scores, strict=True)}
    # strings of Arrow's would come in chunks once blocks are joined, and Spark refuses those
    names = pd.Series(shelf.layout.products[products], dtype=object)
    return pd.DataFrame({"_user": users, "product_id": names, "source": source[users, products].astype(np.int32)} | values)


def largest(scores: Block, most: int) -> npt.NDArray[np.bool_]:
    """Where the `most` largest finite scores of each row are; of equal ones the first columns."""
    finite = np.isfinite(scores)
    if most == 0 or not finite.any():
        return np.zeros(scores.shape, dtype=bool)
    if most >= scores.shape[1]:
        return finite
    edge = np.partition(scores, -most, axis=1)[:, -most][:, None]
    above = scores > edge
    ties = (scores == edge) & finite
    chosen: npt.NDArray[np.bool_] = (above & finite) | (ties & (np.cumsum(ties, axis=1) <= most - above.sum(axis=1, keepdims=True)))
    return chosen
