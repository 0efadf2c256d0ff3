"""What goes together with what a user bought: item-item cosine over users, then the sum over the user's own products.

Sparse matrices in a grouped Arrow function: pairs of pairs as a Spark self-join took 52 s where this takes a few. Work is
bounded on every side: a user's latest products, a sample of users for the similarities, a bucket of users per task.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from scipy import sparse

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset.sampling import uniform

_MIN_COMMON_USERS = 2  # one user in common says nothing
_SAMPLED_USERS = 20_000  # enough for similarities; more only costs
_USERS_A_TASK = 20_000
_SALT = 1
_NOTHING = 1e-300  # the squared length of a product that was not bought
_RESULT = "as_of DATE, user_id STRING, product_id STRING, together_score DOUBLE"
_RECENT = ", together_recent DOUBLE"


def together(population: DataFrame, pairs: DataFrame, config: CandidateConfig, half_life_days: float | None = None) -> DataFrame:
    """The products that go together with what each user bought, at most config.together per user, the closest first.

    Takes   population as_of, user_id; pairs (features.pair) with pair_purchases_last in days.
    Returns as_of, user_id, product_id, together_score DOUBLE > 0; with a half-life together_recent DOUBLE as well (see
            `recent`). Own products may be among them.
    """
    spread = _spread(_lately_bought(pairs, config), population)
    result = _RESULT + (_RECENT if half_life_days else "")
    return spread.groupBy("as_of", "_bucket").applyInPandas(_scorer(config, half_life_days), result)


def _spread(bought: DataFrame, population: DataFrame) -> DataFrame:
    """Purchases to the buckets that need them: a user to be scored goes to one, a sampled user to all (of the date)."""
    everyone = population.select("as_of", "user_id", F.lit(True).alias("_scored"))
    sizes = bought.groupBy("as_of").agg(F.approx_count_distinct("user_id").alias("_buyers"))
    own = F.pmod(F.xxhash64("user_id"), F.col("_buckets")).cast("int")
    is_sampled = uniform(_SALT, "user_id") < F.lit(float(_SAMPLED_USERS)) / F.greatest("_buyers", F.lit(1))
    every = F.when(is_sampled, F.sequence(F.lit(0), F.col("_buckets") - 1)).otherwise(F.array().cast("array<int>"))
    mine = F.when(F.col("_scored"), F.array(own)).otherwise(F.array().cast("array<int>"))
    return (
        bought.join(everyone, on=["as_of", "user_id"], how="left")
        .join(F.broadcast(sizes), on="as_of", how="inner")
        .withColumn("_buckets", F.ceil(F.col("_buyers") / _USERS_A_TASK).cast("int"))
        .select("*", F.explode(F.array_union(every, mine)).alias("_bucket"), is_sampled.alias("_sampled"))
        .select(
            "as_of",
            "user_id",
            "product_id",
            "_age",
            "_bucket",
            "_sampled",
            (F.col("_scored") & (own == F.col("_bucket"))).alias("_scored"),
        )
    )


def _lately_bought(pairs: DataFrame, config: CandidateConfig) -> DataFrame:
    """A user's latest products, at most together_history of them."""
    by = Window.partitionBy("as_of", "user_id").orderBy(F.col("pair_purchases_last").asc(), F.col("product_id").asc())
    return (
        pairs.where(f"pair_purchases_last <= {config.together_days}")
        .withColumn("_place", F.row_number().over(by))
        .where(F.col("_place") <= config.together_history)
        .select("as_of", "user_id", "product_id", F.col("pair_purchases_last").alias("_age"))
    )


def _scorer(config: CandidateConfig, half_life_days: float | None) -> Callable[[pd.DataFrame], pd.DataFrame]:
    neighbours, most = config.together_neighbours, config.together
    columns = ["as_of", "user_id", "product_id", "together_score", *(["together_recent"] if half_life_days else [])]

    def score(bucket: pd.DataFrame) -> pd.DataFrame:
        liked = bucket[bucket["_scored"].fillna(False).astype(bool)]
        sample = bucket[bucket["_sampled"]]
        if liked.empty or sample.empty:
            return pd.DataFrame(columns=columns)
        found = closest(liked, sample, neighbours, most)
        if half_life_days:
            found["together_recent"] = recent(found, liked, sample, neighbours, half_life_days)
        return found

    return score


def closest(liked: pd.DataFrame, sample: pd.DataFrame, neighbours: int, most: int) -> pd.DataFrame:
    """Score products for the users of `liked` by what the users of `sample` bought together.

    Takes   as_of (one value), user_id, product_id in both, distinct; `neighbours` kept per product, `most` per user.
    Returns as_of, user_id, product_id, together_score; ties go to the smaller product_id.
    """
    products = np.sort(sample["product_id"].unique().astype(object))
    similarity = _similarity(_matrix(sample, products)[0], neighbours)
    basket, users = _matrix(liked, products)
    rows, columns, values = _largest(sparse.csr_matrix(basket @ similarity), most)
    return pd.DataFrame(
        {
            "as_of": liked["as_of"].iloc[0],
            "user_id": users[rows],
            "product_id": products[columns],
            "together_score": values,
        }
    )


def recent(
    found: pd.DataFrame, liked: pd.DataFrame, sample: pd.DataFrame, neighbours: int, half_life_days: float
) -> npt.NDArray[np.float64]:
    """The scores of the pairs `found` by `closest`, where what was bought lately counts more.

    A purchase `_age` days old weighs 2^(-age / half-life): in the sum over a user's own products, and by the mean age of the
    two purchases in what each user of `sample` bought together, so that the similarity stays a cosine.
    """
    if found.empty:  # an empty choice from a sparse matrix is no array
        return np.empty(0)
    products = np.sort(sample["product_id"].unique().astype(object))
    similarity = _similarity(
        _matrix(sample, products)[0], neighbours, _matrix(sample, products, _weight(sample, 2 * half_life_days))[0]
    )
    basket, users = _matrix(liked, products, _weight(liked, half_life_days))
    row, column = np.searchsorted(users, found["user_id"]), np.searchsorted(products, found["product_id"])
    return np.asarray(sparse.csr_matrix(basket @ similarity)[row, column], dtype=np.float64).ravel()


def _weight(bought: pd.DataFrame, half_life_days: float) -> npt.NDArray[np.float64]:
    return np.asarray(np.exp2(-bought["_age"].to_numpy(dtype=np.float64) / half_life_days))


def _matrix(
    bought: pd.DataFrame, products: npt.NDArray[Any], weight: npt.NDArray[np.float64] | None = None
) -> tuple[Any, npt.NDArray[Any]]:
    """Users x products, 1 or the row's weight where bought; products outside the list are left out. Rows by user_id."""
    codes, users = pd.factorize(bought["user_id"], sort=True)
    column = np.searchsorted(products, bought["product_id"])
    known = (column < len(products)) & (products[np.minimum(column, len(products) - 1)] == bought["product_id"].to_numpy())
    values = np.ones(int(known.sum())) if weight is None else weight[known]
    shape = (len(users), len(products))
    return sparse.csr_matrix((values, (codes[known], column[known])), shape=shape), np.asarray(users)


def _similarity(bought: Any, neighbours: int, weighted: Any = None) -> Any:
    """Products x products: the cosine of the sets of their buyers, the closest `neighbours` of each row.

    With `weighted`, the same matrix with weights: the cosine of those, where enough users bought both.
    """
    common = sparse.csr_matrix(bought.T @ bought)
    common.setdiag(0)
    common.data[common.data < _MIN_COMMON_USERS] = 0
    common.eliminate_zeros()
    if weighted is None:
        length = np.maximum(np.asarray(bought.sum(axis=0)).ravel(), 1)
    else:
        common = sparse.csr_matrix((weighted.T @ weighted).multiply(common > 0))
        length = np.maximum(np.asarray(weighted.multiply(weighted).sum(axis=0)).ravel(), _NOTHING)
    norm = sparse.diags(1 / np.sqrt(length))
    rows, columns, values = _largest(sparse.csr_matrix(norm @ common @ norm), neighbours)
    return sparse.csr_matrix((values, (rows, columns)), shape=common.shape)


def _largest(matrix: Any, most: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """The `most` largest entries of each row, as row, column, value; of equal ones the first columns."""
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    place = np.arange(len(rows)) - matrix.indptr[rows]
    kept = order[place < most]
    return rows[kept], matrix.indices[kept], matrix.data[kept]
