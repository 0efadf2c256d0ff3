"""Factors of users and products from implicit feedback: alternating least squares with confidence weights.

Source: Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets (2008). A date's sample of users is small, and
there are a dozen dates a run: inside a task this takes a second where a distributed fit starts hundreds of jobs.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Factors = npt.NDArray[np.float32]
_CHUNK = 4096  # rows solved at once: each of them has a matrix of rank x rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Als:
    """The settings: one unit of strength adds `confidence` to the confidence 1 of having done nothing."""

    rank: int = 32
    confidence: float = 5.0
    regularisation: float = 5.0
    rounds: int = 6
    seed: int = 0


def product_factors(strength: Any, settings: Als) -> Factors:
    """Products x rank, from a sparse matrix users x products: 0 where the user did nothing, more the more she did."""
    users = strength.tocsr().astype(np.float32)
    products = users.T.tocsr()
    draw = np.random.default_rng(settings.seed)
    factors = (0.1 * draw.standard_normal((products.shape[0], settings.rank))).astype(np.float32)
    for _ in range(settings.rounds):
        factors = _solved(products, _solved(users, factors, settings), settings)
    return factors


def user_factors(strength: Any, products: Factors, settings: Als) -> Factors:
    """Users x rank, given the products' factors: users that the fit has not seen as well."""
    return _solved(strength.tocsr().astype(np.float32), products, settings)


def _solved(strength: Any, others: Factors, settings: Als) -> Factors:
    """Each row's factors x that minimise sum of c (p - x y)^2 + regularisation |x|^2, p 1 where c > 1."""
    rank = others.shape[1]
    plain = others.T @ others + settings.regularisation * np.eye(rank, dtype=np.float32)
    solved = np.empty((strength.shape[0], rank), dtype=np.float32)
    for start in range(0, strength.shape[0], _CHUNK):
        rows = strength[start : start + _CHUNK] * np.float32(settings.confidence)
        left = _squares(rows, others) + plain
        rows.data += 1
        solved[start : start + _CHUNK] = np.linalg.solve(left, (rows @ others)[:, :, None])[:, :, 0]
    return solved


def _squares(rows: Any, others: Factors) -> Factors:
    """Each row's sum of its weights times y y', rows x rank x rank.

    A small product of dense matrices per row: as one sparse product with all y y' side by side it took three times as long.
    """
    made = np.empty((rows.shape[0], others.shape[1], others.shape[1]), dtype=np.float32)
    for row, (start, end) in enumerate(pairwise(rows.indptr)):
        met = others[rows.indices[start:end]]
        np.dot(met.T * rows.data[start:end], met, out=made[row])
    return made
