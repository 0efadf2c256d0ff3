"""How scores are judged: by which lists, at which thresholds, and how sure the figures are."""

from dataclasses import dataclass

from propensity_spark.config.checks import within


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """How long the judged lists are, what mistakes cost, how many pairs may be contacted, who is cold, and the bootstrap.

    `cost_missed` 0: what a bought pair was worth on average (its product's mean price) in the calibration period.
    `budget_contacts` pairs of a date, or 0: the share `budget_share` of them. Below `cold_orders` of a user and `cold_buyers` of
    a product they are cold. `draws` samples of `blocks` blocks of users say how sure the figures are.
    """

    k: int = 10
    cost_false_positive: float = 1.0
    cost_missed: float = 10.0
    budget_share: float = 0.01
    budget_contacts: int = 0
    cold_orders: int = 2
    cold_buyers: int = 10
    blocks: int = 200
    draws: int = 500

    def __post_init__(self) -> None:
        within("judge.k", self.k, 1, 1000)
        within("judge.cost_false_positive", self.cost_false_positive, 1e-9, 1e9)
        within("judge.cost_missed", self.cost_missed, 0, 1e9)
        within("judge.budget_share", self.budget_share, 1e-9, 1)
        within("judge.budget_contacts", self.budget_contacts, 0, 10**12)
        within("judge.cold_orders", self.cold_orders, 0, 10**6)
        within("judge.cold_buyers", self.cold_buyers, 0, 10**9)
        within("judge.blocks", self.blocks, 20, 2000)
        within("judge.draws", self.draws, 100, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionConfig:
    """Whether a champion that does worse than the best baseline is kept from scoring (see judge.gate).

    `ece_slack`: by how much its ECE may be higher anyhow, or `ece_slack_share` of the observed rate where that is more; more than
    these, and surely, refuses it. `stand_in`: of the other families that would pass, that with the least log loss takes its place;
    and the first that can be fitted that of a champion which cannot be.
    """

    gate: bool = True
    ece_slack: float = 0.0005
    ece_slack_share: float = 0.05
    stand_in: bool = True

    def __post_init__(self) -> None:
        within("promotion.ece_slack", self.ece_slack, 0, 1)
        within("promotion.ece_slack_share", self.ece_slack_share, 0, 1)
