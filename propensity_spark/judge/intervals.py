"""How sure the champion's figures are, and its lead over the best baseline: a bootstrap of blocks of users.

Users are hashed into some 200 blocks. Spark sums the cells and the lists of each block in the pass that makes all figures, so no
row leaves it; blocks are then drawn with replacement, the same ones for every scorer. A block of users stands for its users as a
user stands for her pairs: with 200 blocks an interval is as wide as that of users drawn one by one to about 5 % (1 / sqrt(400)).
A figure plus the percentiles of how far the samples lie from all users is the interval of 95 %. Noise adds to the ECE of a sample,
so that its interval reaches up more than down: it does not flatter. Cells are coarse here, those of the figures themselves fine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.judge import metrics
from propensity_spark.judge.bootstrap import HIGH, LOW, Interval
from propensity_spark.judge.cells import Vector
from propensity_spark.trainset.sampling import uniform

BLOCK = "block"  # the view's name
PAIRS = {"pr_auc": 1, "log_loss": -1, "ece": -1, "predicted_over_observed": 0}  # figures, and which end is good (0: neither)
LISTS = {"recall": 1, "ndcg": 1}
_SALT = 5


def block(blocks: int) -> Column:
    """The number of the block of a row's user."""
    return F.floor(uniform(_SALT, "user_id") * blocks).cast("int")


def drawn(blocks: int, draws: int, seed: int) -> Vector:
    """How often each block (column) counts in each sample (row); in the first, which is no sample, once."""
    draw = np.random.default_rng(seed)
    samples = [np.bincount(draw.integers(0, blocks, blocks), minlength=blocks) for _ in range(draws)]
    return np.vstack([np.ones(blocks), *samples]).astype(np.float64)


def of_pairs(rows: pd.DataFrame, times: Vector) -> dict[str, Vector]:
    """Each of PAIRS in each sample, from one scorer's cells by block (`key`)."""
    best_first = np.sort(rows["bucket"].unique())[::-1]
    place = np.searchsorted(-best_first, -rows["bucket"].to_numpy())
    at = rows["key"].astype(int).to_numpy()

    def summed(name: str) -> Vector:
        dense = np.zeros((times.shape[1], len(best_first)))
        np.add.at(dense, (at, place), rows[name].to_numpy(dtype=np.float64))
        return np.asarray(times @ dense)

    weight, positives, predicted, loss = (summed(name) for name in ("weight", "positives", "predicted", "loss"))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "pr_auc": np.array([metrics.average_precision(y, w) for y, w in zip(positives, weight, strict=True)]),
            "log_loss": loss.sum(axis=1) / weight.sum(axis=1),
            "ece": np.array([metrics.ece(w, y, p) for w, y, p in zip(weight, positives, predicted, strict=True)]),
            "predicted_over_observed": predicted.sum(axis=1) / positives.sum(axis=1),
        }


def of_lists(rows: pd.DataFrame, scorer: str, times: Vector) -> dict[str, Vector]:
    """Each of LISTS in each sample, from the sums of the buyers' figures by block (`key`)."""
    at = rows["key"].astype(int).to_numpy()

    def summed(name: str) -> Vector:
        return np.asarray(times @ np.bincount(at, rows[name].to_numpy(dtype=np.float64), minlength=times.shape[1]))

    with np.errstate(divide="ignore", invalid="ignore"):
        return {figure: summed(f"{figure}_{scorer}") / summed("users") for figure in LISTS}


@dataclass(frozen=True, slots=True)
class Sure:
    """A figure with its interval."""

    value: float
    interval: Interval


def sure(value: float | None, samples: Vector) -> Sure | None:
    """A figure with the interval that its samples say (the first of them: all users); None where it is unknown."""
    off = samples[1:] - samples[0]
    known = off[np.isfinite(off)]
    if value is None or not known.size:
        return None
    low, high = np.percentile(known, [LOW, HIGH])
    return Sure(value, Interval(value + float(low), value + float(high)))


def told(
    champion: str,
    baselines: tuple[str, ...],
    figures: Mapping[str, Mapping[str, float | None]],
    samples: Mapping[str, Mapping[str, Vector]],
) -> dict[str, float | None]:
    """The ends of the champion's intervals and its gains, by name: pr_auc_low, pr_auc_high, pr_auc_gain, pr_auc_gain_low, ...

    Takes   scorer -> figure -> its value, and its samples. A gain is the champion's figure less that of the baseline that is
            best in this very figure, on these very rows: nothing easier to beat could be chosen.
    """
    made: dict[str, float | None] = {}
    for name, good in {**PAIRS, **LISTS}.items():
        mine = figures[champion][name]
        made |= _ends(name, sure(mine, samples[champion][name]))
        known = {other: value for other in baselines if (value := figures[other][name]) is not None}
        if good and known and mine is not None:
            best = max(known, key=lambda other: known[other] * good)
            gain = sure(mine - known[best], samples[champion][name] - samples[best][name])
            made |= {f"{name}_gain": gain.value if gain else None, **_ends(f"{name}_gain", gain)}
    return made


def _ends(name: str, found: Sure | None) -> dict[str, float | None]:
    interval = found.interval if found else None
    return {f"{name}_low": interval.low if interval else None, f"{name}_high": interval.high if interval else None}
