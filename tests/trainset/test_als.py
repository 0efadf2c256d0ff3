"""Matrix factorisation: the same problem solved as Spark's own ALS solves it, and users it has not seen."""

import numpy as np
import pytest
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession
from scipy import sparse

from propensity_spark.trainset.als import Als, product_factors, user_factors

SETTINGS = Als(rank=4, confidence=3.0, regularisation=2.0, rounds=30)


def _strength(users: int = 40, products: int = 25) -> sparse.csr_matrix:
    """Two kinds of users who like two kinds of products, with some noise."""
    draw = np.random.default_rng(5)
    alike = np.equal.outer(np.arange(users) % 2, np.arange(products) % 2)
    acted = draw.random((users, products)) < np.where(alike, 0.5, 0.05)
    return sparse.csr_matrix(acted * draw.uniform(0.5, 2.0, (users, products)))


def loss(strength: sparse.csr_matrix, users: np.ndarray, products: np.ndarray, settings: Als) -> float:
    """What the factors are to minimise, written out with dense matrices."""
    dense = strength.toarray()
    confidence, wanted = 1 + settings.confidence * dense, (dense > 0).astype(float)
    error = (confidence * (wanted - users @ products.T) ** 2).sum()
    return float(error + settings.regularisation * ((users**2).sum() + (products**2).sum()))


def test_the_loss_is_as_low_as_what_plain_least_squares_row_by_row_reach() -> None:
    strength = _strength()
    products = product_factors(strength, SETTINGS)
    users = user_factors(strength, products, SETTINGS)
    dense = strength.toarray()
    for row in (0, 7, 39):
        weight = 1 + SETTINGS.confidence * dense[row]
        left = (products.T * weight) @ products + SETTINGS.regularisation * np.eye(SETTINGS.rank)
        np.testing.assert_allclose(
            users[row], np.linalg.solve(left, (products.T * weight) @ (dense[row] > 0)), rtol=1e-3, atol=1e-5
        )
    best = loss(strength, users, products, SETTINGS)
    draw = np.random.default_rng(1)
    for _ in range(20):  # no small step in any direction is better
        moved = products + 0.02 * draw.standard_normal(products.shape)
        assert loss(strength, users, moved, SETTINGS) > best


@pytest.mark.fit
def test_spark_s_own_als_reaches_the_same_loss(spark: SparkSession) -> None:
    """Spark scales the regularisation by a row's number of ratings: here every user and product has eight."""
    users, products = np.repeat(np.arange(40), 8), (np.repeat(np.arange(40), 8) + np.tile([0, 2, 4, 6, 8, 10, 12, 13], 40)) % 40
    values = np.random.default_rng(4).uniform(0.5, 2.0, len(users)).astype(np.float32)
    strength = sparse.csr_matrix((values, (users, products)))
    rows = zip(users.tolist(), products.tolist(), values.tolist(), strict=True)
    ratings = spark.createDataFrame(list(rows), "user INT, item INT, rating FLOAT")
    theirs = ALS(
        rank=SETTINGS.rank,
        maxIter=15,
        implicitPrefs=True,
        alpha=SETTINGS.confidence,
        regParam=SETTINGS.regularisation / 8,
        seed=1,
        itemCol="item",
    ).fit(ratings)
    factors = [
        np.array([row["features"] for row in sorted(found.collect(), key=lambda row: row["id"])])
        for found in (theirs.userFactors, theirs.itemFactors)
    ]
    mine = product_factors(strength, SETTINGS)
    reached = loss(strength, user_factors(strength, mine, SETTINGS), mine, SETTINGS)
    assert reached == pytest.approx(loss(strength, *factors, SETTINGS), rel=0.02)
    assert reached < 0.8 * loss(strength, *(0 * f for f in factors), SETTINGS)


def test_a_user_that_the_fit_has_not_seen_gets_factors_and_one_without_history_none() -> None:
    strength = _strength()
    products = product_factors(strength, SETTINGS)
    newcomers = sparse.csr_matrix((np.array([1.0, 1.0]), ([0, 0], [2, 4])), shape=(2, strength.shape[1]))
    scores = user_factors(newcomers, products, SETTINGS) @ products.T
    assert scores[0, 6::2].mean() > 3 * abs(scores[0, 7::2].mean())  # who likes even products gets even ones
    assert not scores[1].any()


def test_one_seed_gives_equal_factors() -> None:
    first, again = (product_factors(_strength(), SETTINGS) for _ in range(2))
    np.testing.assert_array_equal(first, again)
