"""What a date knows of every product and, for some users, of every pair: the signals by which new products are shortlisted.

All of it is arithmetic on the rows of one date, inside a task; see `collaborative` for where the rows come from.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset import following, peers
from propensity_spark.trainset.als import Als, Factors, product_factors, user_factors
from propensity_spark.trainset.pasts import faded, past, strength
from propensity_spark.trainset.together import similarity

Block = npt.NDArray[np.float32]  # users x products
Numbers = npt.NDArray[np.float64]
_FACTORS = Als()
_FAINT_ALS, _FAINT_TOGETHER = 1e-4, 1e-3  # below this, a score says no more than none
_LATELY = 0.75  # horizons after which what peers did counts half
_WINDOWS = (0.25, 0.5, 1.0, 2.0, 6.0)  # horizons over which buyers are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the columns of the signals mean: the listed products in order, the horizon, and how fast interest fades.

    `recent_half_life`: how fast purchases fade in what goes together recently, where that is asked for.
    """

    products: npt.NDArray[Any]
    horizon_days: int
    half_life_days: float
    config: CandidateConfig
    recent_half_life: float | None = None

    @property
    def windows(self) -> tuple[int, ...]:
        """The windows, in days, over which a product's buyers are counted."""
        return tuple(sorted({max(1, round(share * self.horizon_days)) for share in _WINDOWS}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Those of products (products x k), of users (users x m) and of pairs (each users x products), apart: most are not of pairs."""

    products: Numbers
    users: Numbers
    pairs: tuple[Block, ...]

    def at(self, users: npt.NDArray[np.int64], products: npt.NDArray[np.int64]) -> Numbers:
        """All signals of some pairs, a row each."""
        of_pairs = [signal[users, products] for signal in self.pairs]
        return np.column_stack([self.products[products], self.users[users], *of_pairs])

    def weighed(self, weights: Numbers) -> Block:
        """The weighted sum of the signals of every pair, in the order of `at`."""
        k, m = self.products.shape[1], self.users.shape[1]
        plain = (self.products @ weights[:k])[None, :] + (self.users @ weights[k : k + m])[:, None]
        total: Block = plain.astype(np.float32)
        for weight, signal in zip(weights[k + m :], self.pairs, strict=True):
            total += np.float32(weight) * signal
        return total


class Shelf:
    """The listed products as of one date, as a sample of the users shows them.

    `rows`: one per user, product and day: user (code), product (its place in the layout), age (days before the date, >= 1),
    bought (BOOL) and interest (FLOAT > 0).
    """

    def __init__(self, rows: pd.DataFrame, layout: Layout) -> None:
        self.layout, self._rows = layout, rows

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether anybody had anything to do with the product yet."""
        return np.bincount(self._rows["product"], minlength=self._size) > 0

    def buyers(self, days: int) -> Numbers:
        """The users who bought the product in the last `days` days."""
        lately = self._rows[self._rows["bought"] & (self._rows["age"] <= days)]
        return np.bincount(lately.drop_duplicates(["user", "product"])["product"], minlength=self._size).astype(np.float64)

    @cached_property
    def factors(self) -> Factors:
        """The products' ALS factors."""
        return product_factors(self._strength(self._rows), _FACTORS)

    @cached_property
    def similarity(self) -> Any:
        """Products x products, sparse: how much the sets of their buyers overlap."""
        return similarity(self._basket(self._rows), self.layout.config.together_neighbours)

    def als(self, rows: pd.DataFrame) -> Block:
        """How well each product fits the users of the rows (codes from 0), by ALS."""
        return np.asarray(user_factors(self._strength(rows), self.factors, _FACTORS) @ self.factors.T)

    def together(self, rows: pd.DataFrame) -> Block:
        """How closely each product goes together with what the users of the rows bought."""
        return np.asarray((self._basket(rows) @ self.similarity).toarray(), dtype=np.float32)

    def together_recent(self, rows: pd.DataFrame) -> Block:
        """The same where what was bought lately counts more.

        A purchase `age` days old weighs 2^(-age / half-life): in the sum over a user's own products, and by the mean age of
        the two purchases in what each user of the sample bought together, so that the similarity stays a cosine.
        """
        basket = self._basket(rows, self.layout.recent_half_life)
        return np.asarray((basket @ self._recent_similarity).toarray(), dtype=np.float32)

    @cached_property
    def _recent_similarity(self) -> Any:
        half_life = self.layout.recent_half_life
        weighted = self._basket(self._rows, 2 * half_life if half_life else None)
        return similarity(self._basket(self._rows), self.layout.config.together_neighbours, weighted)

    def following(self, rows: pd.DataFrame) -> Block:
        """How much users with the pasts of the rows bought each product next; NaN where nothing can be learnt."""
        if self._follows is None:
            return np.full((_users(rows), self._size), np.nan, dtype=np.float32)
        return np.asarray(past(rows, _users(rows), self._size, self._habit) @ self._follows, dtype=np.float32)

    @cached_property
    def _follows(self) -> Block | None:
        return following.learn(self._rows, self._size, self.layout.horizon_days, self._habit)

    @property
    def _habit(self) -> float:
        """What is bought next hangs on habits, and those fade faster than tastes."""
        return self.layout.half_life_days / 2

    def peers(self, rows: pd.DataFrame) -> Block:
        """What lately drew the users whose pasts are most like those of the rows' users.

        Where the rows say as whom the sample knows a user (known_as), she is no peer of her own.
        """
        asked = past(rows, _users(rows), self._size, self.layout.half_life_days)
        themselves = None
        if "known_as" in rows:
            themselves = rows.groupby("user")["known_as"].first().to_numpy(dtype=np.int64)
            themselves = np.where(np.isin(themselves, self._rows["user"]), themselves, -1)
        return peers.score(asked, self._pasts, self._lately, themselves)

    @cached_property
    def _pasts(self) -> Any:
        return past(self._rows, _users(self._rows), self._size, self.layout.half_life_days)

    @cached_property
    def _lately(self) -> Any:
        return faded(self._rows, _users(self._rows), self._size, _LATELY * self.layout.horizon_days)

    def signals(self, own: npt.NDArray[np.bool_], als: Block, together: Block) -> Signals:
        """What may tell which products users will take up next, given what they touched (users x products) and their scores."""
        fits = (np.log(np.maximum(als, np.float32(_FAINT_ALS))), np.log(np.maximum(together, np.float32(_FAINT_TOGETHER))))
        return Signals(products=self._of_products, users=np.log1p(own.sum(axis=1, keepdims=True)), pairs=fits)

    @cached_property
    def _of_products(self) -> Numbers:
        """log(1 + buyers) per window and log(1 + days since anybody first had to do with the product)."""
        oldest = np.zeros(self._size)
        np.maximum.at(oldest, self._rows["product"].to_numpy(), self._rows["age"].to_numpy(dtype=np.float64))
        return np.log1p(np.column_stack([*(self.buyers(days) for days in self.layout.windows), oldest]))

    @property
    def _size(self) -> int:
        return len(self.layout.products)

    def _strength(self, rows: pd.DataFrame) -> Any:
        return strength(rows, _users(rows), self._size, self.layout.half_life_days)

    def _basket(self, rows: pd.DataFrame, half_life_days: float | None = None) -> Any:
        """Users x products: 1 where bought within together_days, or what is left of it since the last purchase."""
        lately = rows[rows["bought"] & (rows["age"] <= self.layout.config.together_days)]
        last = lately.groupby(["user", "product"], as_index=False)["age"].min()
        left = np.ones(len(last)) if half_life_days is None else np.exp2(-last["age"].to_numpy(dtype=np.float64) / half_life_days)
        return sparse.csr_matrix((left, (last["user"], last["product"])), shape=(_users(rows), self._size))


def _users(rows: pd.DataFrame) -> int:
    return int(rows["user"].max()) + 1 if len(rows) else 0
