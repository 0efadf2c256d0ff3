"""Figures of merit of each user's list: recall, NDCG and hit rate at k, with the ceilings beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingMetrics:
    """Means over the users who bought anything within the horizon. None: nobody did.

    `recall_ceiling` is what a perfect list of k reaches; `coverage` the share of purchases that are candidates at all.
    """

    k: int
    users: int
    recall: float | None
    ndcg: float | None
    hit_rate: float | None
    recall_ceiling: float | None
    coverage: float | None

    def flat(self) -> dict[str, float | None]:
        """The numbers by name, with k."""
        return {
            f"recall_at_{self.k}": self.recall,
            f"ndcg_at_{self.k}": self.ndcg,
            f"hit_rate_at_{self.k}": self.hit_rate,
            f"recall_at_{self.k}_ceiling": self.recall_ceiling,
            "candidate_coverage": self.coverage,
            "buyers": float(self.users),
        }


def per_user(scored: DataFrame, truth: DataFrame, scorers: Mapping[str, str], k: int = 10) -> dict[str, RankingMetrics]:
    """Judge each user's list by several score columns, higher is better.

    Takes   `scored`: all candidate pairs: user_id, product_id, label and the columns; `truth`: the distinct pairs user_id,
            product_id bought by the population, candidates or not.
    Returns the metrics by name. Equal scores are taken in the order of product_id. NDCG's ideal list has min(truth, k) hits.
    """
    reachable = scored.where("label = 1").groupBy("user_id").agg(F.count(F.lit(1)).alias("_reachable"))
    joined = _with_hits(scored, truth, scorers, k).join(reachable, on="user_id", how="left")
    row = joined.agg(*_means(list(scorers), k)).collect()[0].asDict()
    return {name: _metrics(name, k, row) for name in scorers}


def ndcg_of_each(scored: DataFrame, truth: DataFrame, scorers: Mapping[str, str], k: int = 10) -> DataFrame:
    """The NDCG of each buyer's list: user_id and a column DOUBLE by each scorer's name; see `per_user`."""
    each = _with_hits(scored, truth, scorers, k)
    return each.select("user_id", *(_ndcg(name, k).alias(name) for name in scorers))


def _with_hits(scored: DataFrame, truth: DataFrame, scorers: Mapping[str, str], k: int) -> DataFrame:
    """A row per user who bought: _truth, how many products, and her hits and gain by each scorer (null: no list)."""
    wanted = truth.groupBy("user_id").agg(F.count(F.lit(1)).alias("_truth"))
    return wanted.join(_hits(scored, scorers, k), on="user_id", how="left")


def _hits(scored: DataFrame, scorers: Mapping[str, str], k: int) -> DataFrame:
    """Per user and scorer, the hits among the k best and their discounted gain."""
    columns = dict.fromkeys(scorers.values())
    placed = scored.select("user_id", "product_id", "label", *columns).select(
        "user_id", "label", *(_place(column).alias(f"_place_{name}") for name, column in scorers.items())
    )
    sums = []
    for name in scorers:
        place, hit = F.col(f"_place_{name}"), F.col("label")
        inside = place <= k
        sums.append(F.sum(F.when(inside, hit).otherwise(0)).alias(f"_hits_{name}"))
        sums.append(F.sum(F.when(inside, hit / F.log2(place + 1)).otherwise(0.0)).alias(f"_gain_{name}"))
    return placed.groupBy("user_id").agg(*sums)


def _place(column: str) -> Column:
    best = Window.partitionBy("user_id").orderBy(F.col(column).desc(), F.col("product_id").asc())
    return F.row_number().over(best)


def _means(names: list[str], k: int) -> list[Column]:
    reachable = F.coalesce("_reachable", F.lit(0))
    made = [
        F.count(F.lit(1)).alias("users"),
        F.avg(F.least(F.col("_truth"), F.lit(k)) / F.col("_truth")).alias("ceiling"),
        (F.sum(reachable) / F.sum("_truth")).alias("coverage"),
    ]
    for name in names:
        hits = F.coalesce(f"_hits_{name}", F.lit(0))
        made += [
            F.avg(hits / F.col("_truth")).alias(f"recall_{name}"),
            F.avg(_ndcg(name, k)).alias(f"ndcg_{name}"),
            F.avg((hits > 0).cast("double")).alias(f"hit_{name}"),
        ]
    return made


def _ndcg(name: str, k: int) -> Column:
    ideal = F.lit(0.0)
    for place in range(1, k + 1):
        ideal = ideal + F.when(F.col("_truth") >= place, 1 / F.log2(F.lit(float(place + 1)))).otherwise(0.0)
    return F.coalesce(f"_gain_{name}", F.lit(0.0)) / ideal


def _metrics(name: str, k: int, row: dict[str, float | None]) -> RankingMetrics:
    return RankingMetrics(
        k=k,
        users=int(row["users"] or 0),
        recall=row[f"recall_{name}"],
        ndcg=row[f"ndcg_{name}"],
        hit_rate=row[f"hit_{name}"],
        recall_ceiling=row["ceiling"],
        coverage=row["coverage"],
    )
