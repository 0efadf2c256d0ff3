"""How near to the truth of the simulated shop anybody could come who saw only its log.

Usage: python tests/knowable.py CONFIG WAREHOUSE
A reader who knows every law of the shop and all of its products, but of its users only their age and what they viewed and
ordered before the test date, infers what each user is like: visits and conversion on a grid, taste and favourites by Gibbs
sampling. His predictions are held against the truth as `truth_gap` holds the models: 0 is the truth, 1 the best baseline of the
run in WAREHOUSE. A model has to learn the laws as well, so that only by luck could it come nearer than he.
"""

import sys
from dataclasses import dataclass
from datetime import date

import deltalake
import numpy as np

from propensity_spark import loading
from propensity_spark.config import Config
from propensity_spark.ingest import truth
from propensity_spark.ingest.simulate import ORDER, VIEW, block_events
from propensity_spark.ingest.truth import Floats, Ints, Shop, Users

_ROUNDS, _BURN_IN = 150, 30
_SPREAD = np.linspace(-4, 4, 401)  # standard deviations of a lognormal prior


def main(file: str, warehouse: str) -> None:
    """Print the gaps of the models, and of who knows all but the users."""
    config = loading.load([file], [])
    metrics = deltalake.DeltaTable(f"{warehouse}/gold/metrics").to_pandas(filters=[("period", "=", "test")])
    test = metrics[metrics["as_of"] == metrics["as_of"].max()]
    losses, gaps = (test[test["metric"] == name].set_index("scorer")["value"] for name in ("log_loss", "truth_gap"))
    best = (gaps - 1.0).abs().idxmin()
    reach = losses[best] - losses["truth"]
    day = test["as_of"].iloc[0]
    print(f"gap to the truth as of {day}; from the truth to {best} it is {reach:.5f} nats a pair")
    for name, gap in sorted([*gaps.items(), ("knowable", _excess(config, day) / reach)], key=lambda row: row[1]):
        print(f"  {name:14s}{gap:7.3f}")


def _excess(config: Config, as_of: date) -> float:
    """The reader's expected log loss above the truth's, in nats a pair, over all pairs of users and products."""
    shop, ahead = Shop(config.simulator), config.labels.horizon_days
    day = (as_of - config.simulator.start).days
    rows = []
    for block in range(shop.blocks):
        users, seen = shop.users(block), _Seen.of(shop, block, day)
        true = shop.propensity(*_pairs(shop, block), day, ahead).reshape(seen.views.shape)
        said = _chances(shop, _visits(shop, seen, day), _guessed(shop, users, seen, block), _eager(shop, seen), day, ahead)
        rows.append(_nats(true, said) - _nats(true, true))
    return float(np.concatenate(rows).mean())


@dataclass(frozen=True)
class _Seen:
    """What a block's users did before a day. views: users x products; visits, orders: per user."""

    views: Floats
    visits: Floats
    orders: Floats

    @classmethod
    def of(cls, shop: Shop, block: int, day: int) -> "_Seen":
        """Cancelled orders count: the reader knows how many are cancelled."""
        events = block_events(shop, block)
        events = events[events["local"] < day * 86400].assign(user=events["user"] - shop.members(block)[0])
        size = len(shop.members(block))
        looks, bought = events[events["kind"] == VIEW], events[events["kind"] == ORDER]
        views = np.zeros((size, shop.config.products))
        np.add.at(views, (looks["user"].to_numpy(), looks["product"].to_numpy()), 1)
        visits = looks.groupby("user")["visit"].nunique().reindex(range(size), fill_value=0)
        orders = bought.groupby("user")["quantity"].sum().reindex(range(size), fill_value=0)
        return cls(views, visits.to_numpy(float), orders.to_numpy(float))


def _posterior(counts: Floats, expected: Floats, centre: float, spread: float) -> Floats:
    """Mean of a factor with a lognormal prior, of which the counts are Poisson with `expected` times it as their mean."""
    factor = np.exp(centre + spread * _SPREAD)
    logs = counts[:, None] * np.log(factor) - expected[:, None] * factor - _SPREAD**2 / 2
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weight @ factor / weight.sum(axis=1))


def _visits(shop: Shop, seen: _Seen, day: int) -> Floats:
    """Visits a day per user."""
    expected = np.full(len(seen.visits), shop.seasons[:day].sum() * shop.visits_a_day)
    return _posterior(seen.visits, expected, *truth.ACTIVITY) * shop.visits_a_day


def _eager(shop: Shop, seen: _Seen) -> Floats:
    """Conversion factor per user."""
    return _posterior(seen.orders, seen.views @ shop.products.conversion, *truth.EAGERNESS)


def _pairs(shop: Shop, block: int) -> tuple[Ints, Ints]:
    """Every user of a block with every product."""
    members, products = shop.members(block), np.arange(shop.config.products)
    return np.repeat(members, len(products)), np.tile(products, len(members))


def _guessed(shop: Shop, users: Users, seen: _Seen, block: int) -> Floats:
    """Users x products: the share of the user's views as the reader expects it."""
    draw = np.random.default_rng(block)
    return np.array([_guess(shop, shop.appeal[age], views, draw) for age, views in zip(users.age, seen.views, strict=True)])


def _guess(shop: Shop, appeal: Floats, views: Floats, draw: np.random.Generator) -> Floats:
    """The posterior mean of one user's shares: favourites and taste drawn in turn, given which views were browsing."""
    category, popularity = shop.products.category, shop.products.share
    liked = appeal.copy()
    favourites = np.argsort(-views)[: truth.FAVOURITES].copy()
    total = np.zeros(len(views))
    for number in range(_ROUNDS):
        liked = _taste(shop, appeal, liked, favourites, views, draw)
        browsed = (1 - truth.FAVOURITE_SHARE) * (liked / liked.sum())[category] * popularity
        for place in range(truth.FAVOURITES):
            rest = browsed + _favoured(np.delete(favourites, place), len(views))
            logs = np.log(browsed) + views * np.log1p(truth.FAVOURITE_SHARE / truth.FAVOURITES / rest)
            chance = np.cumsum(np.exp(logs - logs.max()))
            favourites[place] = np.searchsorted(chance, draw.random() * chance[-1])
        if number >= _BURN_IN:
            total += browsed + _favoured(favourites, len(views))
    return total / (_ROUNDS - _BURN_IN)


def _taste(shop: Shop, appeal: Floats, liked: Floats, favourites: Ints, views: Floats, draw: np.random.Generator) -> Floats:
    """How a user likes each category, up to a factor: from the views that were browsing, and from what she made a favourite."""
    category = shop.products.category
    browsed = (1 - truth.FAVOURITE_SHARE) * (liked / liked.sum())[category] * shop.products.share
    browsing = draw.binomial(views.astype(int), browsed / (browsed + _favoured(favourites, len(views))))
    counts = np.bincount(category, browsing, len(appeal)) + np.bincount(category[favourites], minlength=len(appeal))
    # Shares of gamma draws have no conjugate law; with the sum's own gamma drawn beside them each of them has one.
    beside = draw.gamma(counts.sum()) / liked.sum()
    return np.asarray(draw.gamma(truth.TASTE_SHAPE + counts) / (1 / appeal + beside) + 1e-12)


def _favoured(favourites: Ints, products: int) -> Floats:
    """The share of views that falls on each product as a favourite."""
    return np.bincount(favourites, minlength=products) * (truth.FAVOURITE_SHARE / truth.FAVOURITES)


def _chances(shop: Shop, visits: Floats, shares: Floats, eager: Floats, day: int, ahead: int) -> Floats:
    """Users x products: the probability of a purchase that is kept, in `ahead` days from `day` on."""
    bought = np.zeros_like(shares)
    for d in range(day, day + ahead):
        season = shop.category_seasons[shop.products.category, d]
        conversion = np.minimum(shop.products.conversion * season * eager[:, None], 0.9)
        bought += shop.seasons[d] * -np.expm1(-truth.VIEWS_A_VISIT * shares * conversion)
    return np.asarray(-np.expm1(-visits[:, None] * (1 - truth.CANCELLED) * bought))


def _nats(true: Floats, said: Floats) -> Floats:
    """Expected log loss per pair of who says so while the truth is so."""
    return -(true * np.log(said) + (1 - true) * np.log1p(-said))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
