"""Figures of merit of each user's list of k: what it finds, how early, and how far the lists reach into the catalogue.

The rows are ordered once for all scorers; what is bought or listed of them is kept, and everything else is summed from that.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

FOUND = ("recall", "ndcg", "hit_rate", "map", "mrr")  # of one buyer's list
_OF_ALL = ("catalogue_coverage", "novelty")  # lists together
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingMetrics:
    """Means over the users who bought anything within the horizon. None: nobody did, or it was not asked for.

    `map`: mean over her purchases (at most k of them) of the precision down to each in the list; `mrr`: mean of 1 / place of the
    first hit in the list. `recall_ceiling` is what a perfect list of k reaches; `coverage` the share of purchases that are
    candidates at all. Over all lists, buyers' or not: `catalogue_coverage` is the share of the products that are in any, `novelty`
    the mean of -log2 of the share of buyers that a listed product had.
    """

    k: int
    users: int
    recall: float | None
    ndcg: float | None
    hit_rate: float | None
    recall_ceiling: float | None
    coverage: float | None
    map: float | None = None
    mrr: float | None = None
    catalogue_coverage: float | None = None
    novelty: float | None = None

    def flat(self) -> dict[str, float | None]:
        """The numbers by name, with k."""
        return {
            **{with_k(name, self.k): getattr(self, name) for name in (*FOUND, *_OF_ALL)},
            f"recall_at_{self.k}_ceiling": self.recall_ceiling,
            "candidate_coverage": self.coverage,
            "buyers": float(self.users),
        }


def with_k(name: str, k: int) -> str:
    """What a figure of lists of k is called in tables: recall_at_10, recall_at_10_low; other figures keep their names."""
    figure = next((figure for figure in (*FOUND, *_OF_ALL) if name == figure or name.startswith(f"{figure}_")), None)
    return f"{figure}_at_{k}{name.removeprefix(figure)}" if figure else name


def per_user(scored: DataFrame, truth: DataFrame, scorers: Mapping[str, str], k: int = 10) -> dict[str, RankingMetrics]:
    """Judge each user's list by several score columns, higher is better.

    Takes   `scored`: all candidate pairs: user_id, product_id, label and the columns; `truth`: the distinct pairs user_id,
            product_id bought by the population, candidates or not.
    Returns the metrics by name, without those of all lists together (see `reach`). Equal scores are taken in the order of
            product_id. NDCG's ideal list has min(truth, k) hits.
    """
    with placed(scored, scorers, k) as rows:
        found = sums(buyers(rows, truth, scorers, k), scorers, {}, k)
    everyone = found[found["view"] == ALL]
    return {name: of_sums(everyone, name, k) for name in scorers}


def ndcg_of_each(scored: DataFrame, truth: DataFrame, scorers: Mapping[str, str], k: int = 10) -> DataFrame:
    """The NDCG of each buyer's list: user_id and a column DOUBLE by each scorer's name; see `per_user`."""
    each = buyers(_placed(scored, scorers, k), truth, scorers, k)
    return each.select("user_id", *(F.col(f"ndcg_{name}").alias(name) for name in scorers))


@contextmanager
def placed(scored: DataFrame, scorers: Mapping[str, str], k: int, *also: str) -> Iterator[DataFrame]:
    """The pairs that were bought or are in a scorer's list of k, kept meanwhile; one sort of the rows for each scorer.

    Gives user_id, product_id, label, `also`, and by scorer _place_<name>, 1 is best, and _so_far_<name>, the hits down to there.
    """
    rows = _placed(scored, scorers, k, *also).persist()
    try:
        yield rows
    finally:
        rows.unpersist()


def _placed(scored: DataFrame, scorers: Mapping[str, str], k: int, *also: str) -> DataFrame:
    made = []
    for name, column in scorers.items():
        best = Window.partitionBy("user_id").orderBy(F.col(column).desc(), F.col("product_id").asc())
        down_to = best.rowsBetween(Window.unboundedPreceding, Window.currentRow)
        made += [F.row_number().over(best).alias(f"_place_{name}"), F.sum("label").over(down_to).alias(f"_so_far_{name}")]
    ordered = scored.select("user_id", "product_id", "label", *also, *dict.fromkeys(scorers.values()))
    listed = F.least(*(F.col(f"_place_{name}") for name in scorers), F.lit(1 << 30)) <= k
    return ordered.select("user_id", "product_id", "label", *also, *made).where(listed | (F.col("label") == 1))


def buyers(rows: DataFrame, truth: DataFrame, scorers: Mapping[str, str], k: int, *also: str) -> DataFrame:
    """A row per user who bought, from what `placed` gave.

    Returns user_id, `also` (which are the same in all rows of a user), _truth (products bought), _reachable (of them
    candidates), and <figure>_<scorer> for each of FOUND.
    """
    hits = rows.groupBy("user_id").agg(
        *(F.max(column).alias(column) for column in also),
        F.sum("label").alias("_reachable"),
        *(part for name in scorers for part in _hits(name, k)),
    )
    wanted = truth.groupBy("user_id").agg(F.count(F.lit(1)).alias("_truth"))
    reachable = F.coalesce("_reachable", F.lit(0)).alias("_reachable")
    figures = [part for name in scorers for part in _figures(name, k)]
    return wanted.join(hits, on="user_id", how="left").select("user_id", *also, "_truth", reachable, *figures)


def _hits(name: str, k: int) -> list[Column]:
    place, so_far = F.col(f"_place_{name}"), F.col(f"_so_far_{name}")
    hit = F.when((place <= k) & (F.col("label") == 1), 1.0)
    return [
        F.sum(hit).alias(f"_hits_{name}"),
        F.sum(hit / F.log2(place + 1)).alias(f"_gain_{name}"),
        F.sum(hit * so_far / place).alias(f"_precision_{name}"),
        F.max(hit / place).alias(f"_first_{name}"),
    ]


def _figures(name: str, k: int) -> list[Column]:
    hits, gain, precision, first = (F.coalesce(f"_{part}_{name}", F.lit(0.0)) for part in ("hits", "gain", "precision", "first"))
    most, ideal = F.least(F.col("_truth"), F.lit(k)), F.lit(0.0)
    for place in range(1, k + 1):
        ideal = ideal + F.when(F.col("_truth") >= place, 1 / F.log2(F.lit(float(place + 1)))).otherwise(0.0)
    made = (hits / F.col("_truth"), gain / ideal, (hits > 0).cast("double"), precision / most, first)
    return [part.alias(f"{figure}_{name}") for figure, part in zip(FOUND, made, strict=True)]


def sums(each: DataFrame, scorers: Mapping[str, str], by: Mapping[str, Column], k: int) -> pd.DataFrame:
    """The buyers' figures summed: a row for all, and one per view of `by` (name -> a text of the user's) and key."""
    keys = {ALL: F.lit(ALL), **by}
    entries = F.array(*(F.struct(F.lit(n).alias("view"), key.cast("string").alias("key")) for n, key in keys.items()))
    figures = [f"{figure}_{name}" for name in scorers for figure in FOUND]
    grouped = each.select("*", F.explode(entries).alias("_v")).groupBy(F.col("_v.view").alias("view"), F.col("_v.key").alias("key"))
    found = grouped.agg(
        F.count(F.lit(1)).alias("users"),
        F.sum(F.least(F.col("_truth"), F.lit(k)) / F.col("_truth")).alias("ceiling"),
        F.sum("_truth").alias("truth"),
        F.sum("_reachable").alias("reachable"),
        *(F.sum(figure).alias(figure) for figure in figures),
    )
    return found.toPandas()


def of_sums(row: pd.DataFrame, name: str, k: int, reached: tuple[float | None, float | None] | None = None) -> RankingMetrics:
    """A scorer's metrics from one row of `sums` (or none: nobody bought), and from `reach`."""
    catalogue, novelty = reached or (None, None)
    users = int(row["users"].sum())
    mean = {figure: float(row[f"{figure}_{name}"].sum()) / users if users else None for figure in FOUND}
    return RankingMetrics(
        k=k,
        users=users,
        **mean,
        recall_ceiling=float(row["ceiling"].sum()) / users if users else None,
        coverage=float(row["reachable"].sum() / row["truth"].sum()) if users else None,
        catalogue_coverage=catalogue,
        novelty=novelty,
    )


def reach(
    rows: DataFrame, catalogue: DataFrame, scorers: Mapping[str, str], k: int
) -> dict[str, tuple[float | None, float | None]]:
    """By scorer, how much of the catalogue its lists hold, and how novel they are; see RankingMetrics.

    Takes   what `placed` gave; product_id and share (of the buyers; null: unknown, and no part of the mean).
    """
    lists = [F.sum((F.col(f"_place_{name}") <= k).cast("int")).alias(name) for name in scorers]
    joined = catalogue.join(rows.groupBy("product_id").agg(*lists), on="product_id", how="left")
    bits = -F.log2("share")
    made = [F.count(F.lit(1)).alias("_products")]
    for name in scorers:
        told = F.sum(F.col(name) * bits) / F.sum(F.when(bits.isNotNull(), F.col(name)))
        made += [F.sum((F.col(name) > 0).cast("int")).alias(f"_in_{name}"), told.alias(f"_bits_{name}")]
    row = joined.agg(*made).collect()[0].asDict()
    products = row["_products"]
    return {n: ((row[f"_in_{n}"] or 0) / products if products else None, row[f"_bits_{n}"]) for n in scorers}
