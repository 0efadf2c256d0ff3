"""The simulated shop itself: who its users are, what they like, when they come, and so how likely each purchase is.

A user comes by a Poisson process of her own rate, higher at weekends and in season. A visit holds a Poisson number of
views; a view falls on one of the user's favourites or, by her taste, on a category and there on a product by its
popularity; each view turns into a purchase independently, by the product, the user and the category's season. A Poisson
process thinned by independent choices is a Poisson process again, so that the probability of at least one purchase that
is kept, within a window of days, is exact:

    P = 1 - exp(- sum over days of  visits(user, day) x (1 - cancelled) x (1 - exp(- views x share x conversion)))
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql.types import DoubleType, StructField, StructType

from propensity_spark.config import SimulatorConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

USERS_A_BLOCK = 500  # the unit of work and of seeding, so that results do not depend on the cluster
VIEWS_A_VISIT = 5.0
CANCELLED = 0.02  # of order lines, within the same day
CARTS_A_PURCHASE = 3.0
FAVOURITES, FAVOURITE_SHARE = 6, 0.25  # how many products a user has, and the share of her views that falls on them
TASTE_SHAPE = 0.6  # of the gamma that a user's liking of a category is drawn from
ACTIVITY, EAGERNESS = (-0.32, 0.8), (-0.045, 0.3)  # logarithms' mean and spread: of a user's visits, of her conversion
_CONVERSION = 0.06
AGES = ("18-29", "30-44", "45-59", "60+")
USER_ID, PRODUCT_ID = "U%07d", "P%06d"  # as the logs write them
REGIONS = ("north", "east", "south", "west")
_TRAITS, _PRODUCTS, _VISITS = 1, 2, 3  # streams of random numbers


@dataclass(frozen=True, slots=True)
class Products:
    """Per product: its category, its share of the category's views, its conversion, its list price."""

    category: Ints
    share: Floats
    conversion: Floats
    price: Floats


@dataclass(frozen=True, slots=True)
class Users:
    """Per user of a block: visits a day, taste over categories (rows sum to 1), conversion factor, favourites."""

    visits: Floats
    taste: Floats
    conversion: Floats
    favourites: Ints
    age: Ints
    region: Ints


@dataclass(frozen=True)
class Shop:
    """A shop drawn from its configuration; equal configurations give equal shops."""

    config: SimulatorConfig

    @property
    def blocks(self) -> int:
        """How many blocks of users there are."""
        return -(-self.config.users // USERS_A_BLOCK)

    def members(self, block: int) -> Ints:
        """The numbers of the users of a block."""
        return np.arange(block * USERS_A_BLOCK, min((block + 1) * USERS_A_BLOCK, self.config.users))

    def random(self, block: int) -> np.random.Generator:
        """The stream of a block's visits."""
        return np.random.default_rng([self.config.seed, _VISITS, block])

    @cached_property
    def products(self) -> Products:
        """All products, in the order of their category."""
        c = self.config
        draw = np.random.default_rng([c.seed, _PRODUCTS])
        category = np.sort(np.concatenate([np.arange(c.categories), draw.integers(0, c.categories, c.products - c.categories)]))
        weight = draw.lognormal(0.0, 0.9, c.products)
        share = weight / np.bincount(category, weight)[category]
        conversion = np.clip(_CONVERSION * draw.lognormal(0.0, 0.35, c.products), 0.005, 0.4)
        level = draw.lognormal(3.0, 0.5, c.categories)[category]
        return Products(category, share, conversion, np.round(level * draw.lognormal(0.0, 0.3, c.products), 2))

    @cached_property
    def appeal(self) -> Floats:
        """Age groups x categories: what each age likes."""
        draw = np.random.default_rng([self.config.seed, _PRODUCTS, 1])
        return draw.lognormal(0.0, 0.6, (len(AGES), self.config.categories))

    @cached_property
    def seasons(self) -> Floats:
        """Per day of the week's and the year's rhythm: a factor on everybody's visits, of mean about 1."""
        days = np.arange(self.horizon_end)
        weekend = np.isin((days + self._weekday) % 7, (5, 6))
        return np.asarray((1 + 0.25 * (weekend - 2 / 7)) * (1 + 0.08 * np.sin(2 * np.pi * days / 365)))

    @cached_property
    def category_seasons(self) -> Floats:
        """Categories x days: a factor on conversion."""
        phase = np.random.default_rng([self.config.seed, _PRODUCTS, 2]).uniform(0, 1, self.config.categories)
        days = np.arange(self.horizon_end)
        return np.asarray(1 + 0.1 * np.sin(2 * np.pi * (days / 365 + phase[:, None])))

    @property
    def horizon_end(self) -> int:
        """Days for which a truth exists: the log's days and two years after them."""
        return self.config.days + 730

    @property
    def _weekday(self) -> int:
        return self.config.start.weekday()

    def users(self, block: int) -> Users:
        """The users of a block."""
        c, size = self.config, len(self.members(block))
        draw = np.random.default_rng([c.seed, _TRAITS, block])
        age, region = draw.integers(0, len(AGES), size), draw.integers(0, len(REGIONS), size)
        liked = draw.gamma(TASTE_SHAPE, 1.0, (size, c.categories)) * self.appeal[age] + 1e-6
        taste = liked / liked.sum(axis=1, keepdims=True)
        activity = draw.lognormal(*ACTIVITY, size) * np.array([1.1, 1.0, 0.9, 1.0])[region]
        conversion = draw.lognormal(*EAGERNESS, size)
        favourites = self.browse(taste, np.repeat(np.arange(size), FAVOURITES), draw).reshape(size, FAVOURITES)
        return Users(activity * self.visits_a_day, taste, conversion, favourites, age, region)

    @property
    def visits_a_day(self) -> float:
        """The mean visits of a user a day that give about the configured number of events."""
        c, bought = self.config, _CONVERSION * 1.06
        events_a_visit = VIEWS_A_VISIT * (1 + bought * (1 + CARTS_A_PURCHASE) + bought)
        return c.events / (c.users * c.days * events_a_visit)

    def browse(self, taste: Floats, who: Ints, draw: np.random.Generator) -> Ints:
        """A product for each viewer in `who` (rows of taste): a category by taste, then a product by its share."""
        reached = np.cumsum(taste, axis=1)[who] < draw.random(len(who))[:, None]
        category = np.minimum(reached.sum(axis=1), self.config.categories - 1)
        return np.asarray(np.minimum(np.searchsorted(self._ladder, category + draw.random(len(who))), self.config.products - 1))

    @cached_property
    def _ladder(self) -> Floats:
        """Cumulated shares within the category, plus the category's number: one search finds a product."""
        products = self.products
        total = np.cumsum(products.share)
        before = np.concatenate([[0.0], total])[np.searchsorted(products.category, products.category)]
        return np.asarray(products.category + np.minimum(total - before, 1.0))

    def view(self, users: Users, who: Ints, draw: np.random.Generator) -> Ints:
        """A product for each viewer: a favourite, or what browsing finds."""
        favourite = users.favourites[who, draw.integers(0, FAVOURITES, len(who))]
        return np.asarray(np.where(draw.random(len(who)) < FAVOURITE_SHARE, favourite, self.browse(users.taste, who, draw)))

    def share(self, users: Users, who: Ints, product: Ints) -> Floats:
        """The probability that a view of the user falls on the product."""
        favourite = (users.favourites[who] == product[:, None]).sum(axis=1) / FAVOURITES
        browsed = users.taste[who, self.products.category[product]] * self.products.share[product]
        return np.asarray(FAVOURITE_SHARE * favourite + (1 - FAVOURITE_SHARE) * browsed)

    def conversion(self, users: Users, who: Ints, product: Ints, day: Ints) -> Floats:
        """The probability that a view becomes a purchase on that day."""
        season = self.category_seasons[self.products.category[product], day]
        return np.asarray(np.minimum(self.products.conversion[product] * users.conversion[who] * season, 0.9))

    def propensity(self, user: Ints, product: Ints, first_day: int, days: int) -> Floats:
        """The true probability of a purchase that is kept, within `days` days from day `first_day` of the log."""
        result = np.empty(len(user))
        block = user // USERS_A_BLOCK
        window = np.arange(first_day, first_day + days)
        for number in np.unique(block):
            rows = np.flatnonzero(block == number)
            users, who, what = _block(self.config, int(number)), user[rows] % USERS_A_BLOCK, product[rows]
            seen = VIEWS_A_VISIT * self.share(users, who, what)
            bought = [1 - np.exp(-seen * self.conversion(users, who, what, np.full(len(rows), d))) for d in window]
            total = self.seasons[window] @ np.array(bought)
            result[rows] = -np.expm1(-users.visits[who] * (1 - CANCELLED) * total)
        return result


@lru_cache(maxsize=1024)
def _block(config: SimulatorConfig, block: int) -> Users:
    return _shop(config).users(block)


@lru_cache(maxsize=2)
def _shop(config: SimulatorConfig) -> Shop:
    return Shop(config)


def true_propensity(pairs: DataFrame, config: SimulatorConfig, horizon_days: int) -> DataFrame:
    """The pairs plus truth DOUBLE: the true probability of a purchase within `[as_of, as_of + horizon_days)`.

    Takes   as_of DATE, user_id, product_id and further columns. Truth is null for whom the shop does not know (bots).
    """
    fields = [*pairs.schema.fields, StructField("truth", DoubleType())]

    def add(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield batch.assign(truth=_truth_of(batch, _shop(config), horizon_days))

    return pairs.mapInPandas(add, StructType(fields))


def _truth_of(batch: pd.DataFrame, shop: Shop, horizon_days: int) -> Floats:
    user, product = _numbers(batch["user_id"], "U"), _numbers(batch["product_id"], "P")
    first = (pd.to_datetime(batch["as_of"]) - pd.Timestamp(shop.config.start)).dt.days.to_numpy()
    known = (user >= 0) & (user < shop.config.users) & (product >= 0) & (product < shop.config.products)
    known &= (first >= 0) & (first + horizon_days <= shop.horizon_end)
    truth = np.full(len(batch), np.nan)
    for day in np.unique(first[known]):
        rows = np.flatnonzero(known & (first == day))
        truth[rows] = shop.propensity(user[rows], product[rows], int(day), horizon_days)
    return truth


def _numbers(ids: pd.Series, letter: str) -> Ints:
    """The number inside an id; -1 for one that the shop did not give."""
    digits = ids.str.extract(rf"^{letter}(\d+)$")[0]
    return np.asarray(pd.to_numeric(digits).fillna(-1).astype("int64"))
