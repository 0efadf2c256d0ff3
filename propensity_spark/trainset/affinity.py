"""Which products a user is likely to take up next: the signals of a shelf, weighed as they told it a horizon before.

The weights are learnt anew for every date, from labels that had matured by then, so that each shop and season says itself
how much popularity, novelty and the tastes of others count there.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity_spark.trainset.shelf import Block, Layout, Numbers, Shelf, Signals

_BLOCK = 1000  # users whose pairs are in memory at once
_NEGATIVES = 200_000  # pairs that were not taken up are sampled down to about so many
_FEWEST = 100  # with fewer pairs taken up, nothing is learnt
_SALT = 4
_VARIES = 1e-6  # of its mean: how much a signal must scatter


@dataclass(frozen=True, slots=True)
class Blend:
    """A weight per signal and the intercept: a logistic regression. `has_level`: else it is good for an order alone."""

    weights: Numbers
    intercept: float
    has_level: bool = True

    def affinity(self, signals: Signals) -> Block:
        """The logit of taking up each product, users x products; of use for order more than for its level."""
        return signals.weighed(self.weights) + np.float32(self.intercept)


class _Examples(NamedTuple):
    """Pairs to learn from: their signals, whether they were taken up, and for how many users each one's user stands."""

    signals: Numbers
    labels: npt.NDArray[np.bool_]
    stands_for: Numbers


def learn(rows: pd.DataFrame, layout: Layout, seed: int) -> Blend:
    """Weigh the signals by what the users of the rows took up first within the last horizon; see Shelf for the rows.

    Besides, they have stands_for: each user counts for so many, so that the level is that of all users and not of the sample's.
    Where too little was taken up, a fixed blend of recent popularity and ALS; without level where nothing tells one.
    """
    horizon = layout.horizon_days
    before = rows[rows["age"] > horizon].assign(age=lambda r: r["age"] - horizon)
    taken_up = rows[rows["bought"] & (rows["age"] <= horizon)]
    shelf = Shelf(before, layout)
    rate = min(1.0, _NEGATIVES / max(1, before["user"].nunique() * len(layout.products)))
    learnt = [_examples(shelf, block, taken_up, rate, seed) for block in blocks(before)]
    if not learnt:
        return _fixed(layout)
    examples = _Examples(*(np.concatenate(each) for each in zip(*learnt, strict=True)))
    return _regression(examples, rate) if examples.labels.sum() >= _FEWEST else _levelled(_fixed(layout), examples, rate)


def blocks(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows by blocks of users, with `user` counted anew from 0 in each and the code before as `known_as`."""
    codes, _ = pd.factorize(rows["user"], sort=True)
    numbered = rows.assign(known_as=rows["user"], user=codes % _BLOCK, _block=codes // _BLOCK)
    return [block for _, block in numbered.groupby("_block", sort=True)]


def touched(rows: pd.DataFrame, products: int) -> npt.NDArray[np.bool_]:
    """Users x products: whether the user had anything to do with the product (in rows of no interest she had not)."""
    own = np.zeros((int(rows["user"].max()) + 1, products), dtype=np.bool_)
    own[rows["user"], rows["product"]] = rows["interest"] > 0
    return own


def _examples(shelf: Shelf, block: pd.DataFrame, taken_up: pd.DataFrame, rate: float, seed: int) -> _Examples:
    """A block's pairs that had not been touched: those taken up, and `rate` of the rest."""
    own = touched(block, len(shelf.layout.products))
    place = pd.Series(block["user"].to_numpy(), index=block["known_as"].to_numpy()).groupby(level=0).first()
    mine = taken_up[taken_up["user"].isin(place.index)]
    label = np.zeros_like(own)
    label[place.loc[mine["user"]].to_numpy(), mine["product"].to_numpy()] = True
    draw = np.random.default_rng((seed, _SALT, int(block["known_as"].iloc[0])))
    chosen = draw.random(own.shape, dtype=np.float32) < rate
    users, products = np.nonzero(~own & shelf.known[None, :] & (label | chosen))
    signals = shelf.signals(own, shelf.als(block), shelf.together(block))
    stands_for = block.groupby("user")["stands_for"].first().to_numpy(dtype=np.float64)
    return _Examples(signals.at(users, products), label[users, products], stands_for[users])


def _regression(examples: _Examples, rate: float) -> Blend:
    """Of those not taken up, `rate` are there: that moves the intercept alone, and is put right there.

    A signal that is the same for all has no weight: what is left of it once its mean is taken away is rounding.
    """
    from sklearn.linear_model import LogisticRegression

    signals, labels, stands_for = examples
    middle, spread = signals.mean(axis=0), signals.std(axis=0)
    varies = spread > _VARIES * np.maximum(1.0, np.abs(middle))
    scale = np.where(varies, spread + 1e-9, 1.0)
    fitted = LogisticRegression(C=1.0, max_iter=200).fit((signals - middle) / scale * varies, labels, stands_for)
    weights = np.where(varies, fitted.coef_[0] / scale, 0.0)
    return Blend(weights, float(fitted.intercept_[0] - weights @ middle + np.log(rate)))


def _levelled(blend: Blend, examples: _Examples, rate: float) -> Blend:
    """The blend at the level at which as much is taken up as was: dates that learn and dates that do not are of one scale."""
    signals, labels, stands_for = examples
    if not len(labels):  # whoever was there had touched everything
        return blend
    told = signals @ blend.weights
    most = told.max()
    odds = (stands_for * np.where(labels, 1.0, 1 / rate) * np.exp(told - most)).sum()
    return Blend(blend.weights, float(np.log((stands_for * labels).sum() + 0.5) - np.log(odds) - most))


def _fixed(layout: Layout) -> Blend:
    """Recent popularity first; who fits better of equally popular ones."""
    windows = len(layout.windows)
    popularity = [0.0] * windows
    popularity[layout.windows.index(max(w for w in layout.windows if w <= layout.horizon_days))] = 1.0
    return Blend(np.array([*popularity, 0.0, 0.0, 0.3, 0.3]), 0.0, has_level=False)
