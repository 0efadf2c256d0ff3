"""What a scorer's calibration has to know of it: how its scores came about."""

import math
from dataclasses import dataclass

from propensity_spark.judge.calibrator import PROBABILITY, Calibrator


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to calibrate: the column, how, what its model learnt from, and the kind of score.

    `negative_rate`: the share of the pairs not bought that were among the rows; `odds`: how many times as high balancing
    made the odds in them (trainset.balance); `focal_gamma`: that of the loss which it minimised (0: log loss).
    `is_margin`: the score is the sigmoid of a margin, whose scale says nothing of probabilities.
    `blocks` of users, whose buckets are kept apart for intervals (0: none are).
    `by`: the kinds of segments to try (segments.READS), where the rows have their columns; `shrinkage`: of their offsets, in
    purchases.
    """

    score: str
    method: str = "auto"
    negative_rate: float = 1.0
    odds: float = 1.0
    focal_gamma: float = 0.0
    kind: str = PROBABILITY
    is_margin: bool = False
    by: tuple[str, ...] = ()
    shrinkage: float = 50.0
    blocks: int = 0

    @property
    def shift(self) -> float:
        """What undoes both: minus the logarithm of the factor by which the model's odds exceed those of all pairs."""
        return math.log(self.negative_rate) - math.log(self.odds) if self.kind == PROBABILITY else 0.0

    @property
    def corrected(self) -> Calibrator:
        """The prior and the loss undone, exactly, and nothing fitted."""
        return Calibrator(kind=self.kind, method="none", shift=self.shift, focal_gamma=self.focal_gamma)
