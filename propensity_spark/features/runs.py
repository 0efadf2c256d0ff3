"""Rows sorted by key and time: every key is one run, in which moments are found by binary search."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Pairs = tuple[Ints, Ints]
Numbers = npt.NDArray[Any]


class Runs:
    """Rows sorted by key and one of their times: every key is one run."""

    def __init__(self, key: Ints, time: Ints, keys: int) -> None:
        self.order: Ints = _sorted(key, time)
        self.key, self.time = key[self.order], time[self.order]
        sizes = np.bincount(self.key, minlength=keys)
        self.ends: Ints = np.cumsum(sizes)
        self.starts: Ints = self.ends - sizes

    def before(self, key: Ints, moment: Ints) -> Ints:
        """The position behind the last row of the key's run whose time is before the moment: a binary search each."""
        low, high = self.starts[key], self.ends[key]
        open_ = np.flatnonzero(low < high)
        while open_.size:
            middle = (low[open_] + high[open_]) >> 1
            earlier = self.time[middle] < moment[open_]
            low[open_] = np.where(earlier, middle + 1, low[open_])
            high[open_] = np.where(earlier, high[open_], middle)
            open_ = open_[low[open_] < high[open_]]
        return low

    def scan(self, values: Numbers, merge: Callable[[Numbers, Numbers, Ints, Ints], Numbers]) -> Numbers:
        """Each row merged with all rows before it in its run, by doubling: the passes shrink with the runs.

        `merge` gets what the rows and the rows before them hold so far, and both positions.
        """
        done, step = values.copy(), 1
        place = np.arange(self.key.size, dtype=np.int64) - self.starts[self.key]
        deep = np.flatnonzero(place >= step)
        while deep.size:
            done[deep] = merge(done[deep], done[deep - step], deep, deep - step)
            step *= 2
            deep = deep[place[deep] >= step]
        return done


def _sorted(key: Ints, time: Ints) -> Ints:
    if np.all(time[1:] >= time[:-1]):
        return by_code(key)
    by_time = np.argsort(time, kind="stable")
    return by_time[by_code(key[by_time])]


def by_code(codes: Ints) -> Ints:
    """The stable order of codes from 0 to 2^32: by 16 bits at a time, which numpy sorts in a pass and does not compare."""
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    high = codes >> 16
    return order[np.argsort(high[order].astype(np.uint16), kind="stable")] if high.any() else order


def ranges(begin: Ints, end: Ints) -> Pairs:
    """(number of the range, position in it) for every position of half-open ranges."""
    sizes = np.maximum(end - begin, 0)
    at = np.repeat(np.arange(begin.size, dtype=np.int64), sizes)
    inside = np.arange(at.size, dtype=np.int64) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return at, begin[at] + inside
