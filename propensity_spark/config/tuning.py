"""How settings of a family are searched: how long, on which folds, by which figure."""

from dataclasses import dataclass

from propensity_spark.config.checks import one_of, within
from propensity_spark.config.models import FAMILIES

FIGURES = ("log_loss", "pr_auc")
HISTORIES = ("expanding", "sliding")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """A search over a family's settings (empty: the champion's), within `budget_minutes` and `trials` in all.

    `folds` dates validate, the newest ones of those that the rehearsal trains on; each is learnt from dates at least a horizon
    earlier: all of them (`expanding`) or the last `width` (`sliding`). `share` of the users take part, `parallel` folds at a time.
    `parameters` narrows the search to some settings. `storage`: where the search is kept to go on later (empty: in the warehouse).
    """

    family: str = ""
    figure: str = "log_loss"
    budget_minutes: float = 30.0
    trials: int = 40
    folds: int = 2
    history: str = "expanding"
    width: int = 2
    share: float = 0.5
    parallel: int = 1
    parameters: tuple[str, ...] = ()
    storage: str = ""

    def __post_init__(self) -> None:
        one_of("tune.family", self.family, ("", *FAMILIES))
        one_of("tune.figure", self.figure, FIGURES)
        one_of("tune.history", self.history, HISTORIES)
        within("tune.budget_minutes", self.budget_minutes, 0.1, 100_000)
        within("tune.trials", self.trials, 1, 100_000)
        within("tune.folds", self.folds, 1, 52)
        within("tune.width", self.width, 1, 104)
        within("tune.share", self.share, 0.001, 1)
        within("tune.parallel", self.parallel, 1, 52)
