"""How scores are judged: by which lists, at which thresholds, and how sure the figures are."""

from dataclasses import dataclass

from propensity_spark.config.checks import within


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """How long the judged lists are, what a contact in vain and a missed purchase cost, and how many pairs may be contacted,
    and how many blocks of users and samples of them say how sure the figures are.

    `cost_missed` 0: what a bought pair was worth on average (its product's mean price) in the calibration period.
    `budget_contacts` pairs of a date, or 0: the share `budget_share` of them.
    """

    k: int = 10
    cost_false_positive: float = 1.0
    cost_missed: float = 10.0
    budget_share: float = 0.01
    budget_contacts: int = 0
    blocks: int = 200
    draws: int = 500

    def __post_init__(self) -> None:
        within("judge.k", self.k, 1, 1000)
        within("judge.cost_false_positive", self.cost_false_positive, 1e-9, 1e9)
        within("judge.cost_missed", self.cost_missed, 0, 1e9)
        within("judge.budget_share", self.budget_share, 1e-9, 1)
        within("judge.budget_contacts", self.budget_contacts, 0, 10**12)
        within("judge.blocks", self.blocks, 20, 2000)
        within("judge.draws", self.draws, 100, 10_000)
