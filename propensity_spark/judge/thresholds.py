"""From which probability on a shop acts: chosen on the calibration period, then held fixed and applied to later rows.

No test row is looked at. The champion's score buckets of the held-out users, which its calibrator is fitted from, are the rows
that choose: each bucket's lower edge, calibrated, is a candidate threshold, with the pairs and the purchases above it. So
choosing costs no pass over rows, and what the test says of the threshold is what a shop that had set it before would have met.
(On the calibration rows themselves the chosen threshold looks a little better than it is; those figures are not reported.)
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from propensity_spark.config import JudgeConfig
from propensity_spark.judge.buckets import of_everyone, width
from propensity_spark.judge.calibrator import Calibrator
from propensity_spark.judge.cells import Vector

F1, COST, BUDGET = "f1", "cost", "budget"
NOBODY = 1.0  # above every calibrated probability


@dataclass(frozen=True, slots=True)
class Levels:
    """Candidate thresholds, highest first, and the pairs, purchases, their value and how many have one at or above each."""

    threshold: Vector
    pairs: Vector
    bought: Vector
    value: Vector
    priced: Vector


def told(config: JudgeConfig) -> dict[str, str]:
    """Each rule in plain words, with the costs or the budget that it went by."""
    missed = f"{config.cost_missed:g}" if config.cost_missed else "the mean price of what was bought"
    contacts = f"{config.budget_contacts:,} contacts" if config.budget_contacts else f"{100 * config.budget_share:g}% of the pairs"
    return {
        F1: "the best F1",
        COST: f"the least cost: {config.cost_false_positive:g} for a contact in vain, {missed} for a missed purchase",
        BUDGET: f"a budget: at most {contacts}",
    }


def levels(rows: pd.DataFrame, scorer: str, calibrator: Calibrator) -> Levels:
    """What a scorer's buckets (see buckets.collect) say of each threshold; equal probabilities are one."""
    mine = of_everyone(rows, scorer, calibrator.by)
    x = mine["bucket"].to_numpy(dtype=np.float64) * width(calibrator.by)
    edge = calibrator.on(x, mine["key"].to_numpy(dtype=np.str_) if calibrator.by else None)
    falling, place = np.unique(-edge, return_inverse=True)
    columns = ("weight", "positives", "value", "priced")
    return Levels(-falling, *(np.cumsum(np.bincount(place, mine[name].to_numpy())).astype(np.float64) for name in columns))


def choose(found: Levels, config: JudgeConfig, held: float) -> dict[str, float]:
    """The probability from which on to act, by rule.

    Takes   `held`: the share of the users that the levels come from; contacts are counted for all of them.
    Returns f1: where the harmonic mean of precision and recall is highest; cost: where contacts in vain and missed purchases
            cost least (left out where a missed purchase costs its price and no price is known); budget: as low as the contacts
            allow, never lower; NOBODY where even the highest is too many. Of equals the higher.
    """
    vain, missed = found.pairs - found.bought, found.bought[-1] - found.bought
    chosen = {F1: float(found.threshold[np.argmax(2 * found.bought / (found.pairs + found.bought[-1]))])}
    each = config.cost_missed or float(found.value[-1] / max(found.priced[-1], 1e-12))
    if each:
        cost = np.concatenate([[found.bought[-1] * each], vain * config.cost_false_positive + missed * each])
        chosen[COST] = float(np.concatenate([[NOBODY], found.threshold])[np.argmin(cost)])
    most = config.budget_contacts * held if config.budget_contacts else config.budget_share * found.pairs[-1]
    inside = np.flatnonzero(found.pairs <= most * (1 + 1e-12))
    chosen[BUDGET] = float(found.threshold[inside[-1]]) if inside.size else NOBODY
    return chosen
