"""How bought and not bought training rows are balanced."""

from dataclasses import dataclass

from propensity_spark.config.checks import one_of, within
from propensity_spark.errors import ConfigError

BALANCES = ("none", "weights", "under", "over", "smote")
_MOST = 1_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceConfig:
    """What is done to the rows of a fit; the probabilities are corrected for it exactly.

    `ratio`: how many times as high the odds of a purchase become; 0: as high as it takes for bought and not bought rows to
    count the same. `neighbours`: among how many of the nearest bought rows smote takes the other end.
    """

    method: str = "none"
    ratio: float = 0.0
    neighbours: int = 5

    def __post_init__(self) -> None:
        one_of("train.balance.method", self.method, BALANCES)
        within("train.balance.neighbours", self.neighbours, 1, 100)
        if self.ratio and not 1 < self.ratio <= _MOST:
            raise ConfigError(f"train.balance.ratio must be 0 (balanced) or in (1, {_MOST:.0f}], got {self.ratio!r}")
        if self.ratio and self.method == "none":
            raise ConfigError(f"train.balance.ratio is for {', '.join(BALANCES[1:])}, and the method is none: leave it out")
        if self.neighbours != 5 and self.method != "smote":
            raise ConfigError(f"train.balance.neighbours is for smote, and the method is {self.method}: leave it out")
