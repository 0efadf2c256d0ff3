"""How sure a difference between two scorers is: users are drawn with replacement, the same ones for all scorers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Statistic = Callable[[Vector], float]  # of how often each user was drawn
LOW, HIGH = 2.5, 97.5  # percentiles


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the difference lies in 95 of 100 samples of users."""

    low: float
    high: float


def paired(statistics: Mapping[str, Statistic], base: str, users: int, draws: int, seed: int) -> dict[str, Interval]:
    """The interval of each statistic less that of `base`, over `draws` samples of as many users as there are."""
    found: dict[str, list[float]] = {name: [] for name in statistics if name != base}
    for times in _samples(users, draws, seed):
        level = statistics[base](times)
        for name, differences in found.items():
            differences.append(statistics[name](times) - level)
    return {name: _interval(np.array(differences)) for name, differences in found.items()}


def _samples(users: int, draws: int, seed: int) -> Iterator[Vector]:
    draw = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(draw.integers(0, users, users), minlength=users).astype(np.float64)


def _interval(differences: Vector) -> Interval:
    known = differences[np.isfinite(differences)]
    low, high = np.percentile(known, [LOW, HIGH]) if known.size else (np.nan, np.nan)
    return Interval(float(low), float(high))


def average_precision(user: Ints, label: Ints, score: Vector) -> Statistic:
    """PR-AUC of rows whose users were drawn so often; equal scores are one step of the curve."""
    order = np.argsort(-score, kind="stable")
    user, label, score = user[order], label[order], score[order]
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))

    def of(times: Vector) -> float:
        weight = times[user]
        hits, rows = np.cumsum(weight * label)[ends], np.cumsum(weight)[ends]
        precision = np.divide(hits, rows, out=np.zeros_like(hits), where=rows > 0)
        return float((precision * np.diff(hits, prepend=0.0)).sum() / hits[-1]) if hits[-1] else float("nan")

    return of


def mean_of(user: Ints, value: Vector) -> Statistic:
    """The mean of one value per user, over those users that have one."""

    def of(times: Vector) -> float:
        weight = times[user]
        return float((weight * value).sum() / weight.sum()) if weight.sum() else float("nan")

    return of
