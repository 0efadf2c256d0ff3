"""What is learnt from: features, who is scored, which pairs, labels, dates, the audit and the encoders."""

from dataclasses import dataclass, field, fields

from propensity_spark.config.balance import BalanceConfig
from propensity_spark.config.checks import named, one_of, within
from propensity_spark.errors import ConfigError
from propensity_spark.schemas import EVENT_TYPES

# The groups of features that may be chosen; what each holds stands in features/groups/.
FEATURE_GROUPS = ("gaps", "sessions", "profile", "momentum", "shares", "prices", "segment", "together_recent")
LEVEL_ENCODERS = ("index", "one_hot", "frequency", "target")  # they learn a table of the column's values
SCALERS = ("standard", "min_max", "robust", "log", "impute")
ENCODERS = (*LEVEL_ENCODERS, "hash", *SCALERS)
FILLS = ("median", "mean", "constant")
LEAST_RATE = 0.0001  # of negatives that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConfig:
    """The windows, in days, and the half-life of decayed counts; `version` rises where these change what a feature means.

    `groups`: which groups of features there are besides the first. `segment_by`: the users' attribute that is a user's
    segment, as it was known at as_of; without one, segments are made of how lately and how often users come.
    `last_events`: as many of a user's events go with the totals of a spine's moments, as a sequence; 0: none.
    """

    windows: tuple[int, ...] = (1, 7, 28, 90)
    half_life_days: float = 60.0
    history_days: int = 365
    version: int = 1
    groups: tuple[str, ...] = ()
    segment_by: str = ""
    last_events: int = 0

    def __post_init__(self) -> None:
        if not self.windows or list(self.windows) != sorted(set(self.windows)):
            raise ConfigError(f"features.windows must be rising days such as [1, 7, 28, 90], got {self.windows!r}")
        within("features.windows", min(self.windows), 1, 3650)
        within("features.half_life_days", self.half_life_days, 0.1, 3650)
        within("features.history_days", self.history_days, max(self.windows), 3650)
        within("features.version", self.version, 1, 1_000_000)
        within("features.last_events", self.last_events, 0, 1000)
        for group in self.groups:
            one_of("features.groups", group, FEATURE_GROUPS)
        if len(set(self.groups)) != len(self.groups):
            raise ConfigError(f"features.groups names a group twice: {', '.join(self.groups)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationConfig:
    """Who is scored: users with such an event within so many days before as_of, of whom the rule `where` holds (empty: all).

    A rule is a condition in SQL; see trainset.rules for the columns that it may read.
    """

    event: str = "purchase"
    days: int = 180
    where: str = ""

    def __post_init__(self) -> None:
        one_of("population.event", self.event, ("any", *EVENT_TYPES))
        within("population.days", self.days, 1, 3650)


_SOURCES = ("touched", "popular", "together", "als", "affinity", "due")  # of candidates, that every shop can have


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateConfig:
    """Which pairs are worth scoring, per user and source; 0 switches a source off.

    `affinity` is the shortlist of products that a user has not touched, by all signals weighed together. `due`: what was bought
    about one usual gap ago. `category`, `fresh`: the most bought, and the first seen within popular_days, of a user's three
    favourite categories; `segment`: the most bought of her segment. `history` and `products` bound what is learnt from: a user's
    latest rows, and the products that draw the most interest. Products of which the rule `exclude` holds are no candidates (empty:
    none); what users did with them is learnt from all the same.
    """

    touched: int = 1000
    touched_days: int = 365
    popular: int = 20
    popular_days: int = 28
    together: int = 20
    together_days: int = 180
    together_neighbours: int = 20
    als: int = 20
    affinity: int = 240
    due: int = 20
    category: int = 0
    segment: int = 0
    fresh: int = 0
    history: int = 1000
    products: int = 5000
    exclude: str = ""

    def __post_init__(self) -> None:
        for key in (*_SOURCES, "category", "segment", "fresh"):
            within(f"candidates.{key}", getattr(self, key), 0, 100_000)
        for key in ("touched_days", "popular_days", "together_days"):
            within(f"candidates.{key}", getattr(self, key), 1, 3650)
        within("candidates.together_neighbours", self.together_neighbours, 1, 10_000)
        within("candidates.history", self.history, 1, 10_000)
        within("candidates.products", self.products, 2, 20_000)
        if not any(getattr(self, key) for key in _SOURCES):
            raise ConfigError(f"candidates: set one of {', '.join(_SOURCES)} above 0; the other sources are for beside them")

    @property
    def most_per_user(self) -> int:
        """How many products all sources together can name of a user."""
        return sum(getattr(self, key) for key in (*_SOURCES, "category", "segment", "fresh"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStartConfig:
    """What is said of users and products without history: the best `products` of every segment (0: nothing).

    `new_days`: how long users without orders count as new, who buy more, or less, than those known for longer (0: nobody does).

    `..._strength`: how many purchases the wider level counts for where a category is told by its own purchases, a product by
    its own, and a product within a segment; 0: estimated from the counts.
    """

    products: int = 500
    new_days: int = 28
    category_strength: float = 0.0
    product_strength: float = 0.0
    segment_strength: float = 0.0

    def __post_init__(self) -> None:
        within("cold_start.products", self.products, 0, 100_000)
        within("cold_start.new_days", self.new_days, 0, 3650)
        for key in ("category_strength", "product_strength", "segment_strength"):
            within(f"cold_start.{key}", getattr(self, key), 0, 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """What is predicted: a purchase within `[as_of, as_of + horizon_days)`."""

    horizon_days: int = 28

    def __post_init__(self) -> None:
        within("labels.horizon_days", self.horizon_days, 1, 730)


_NEGATIVES = ("uniform", "popularity", "exposure", "hard")


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativesConfig:
    """Which pairs that were not bought are kept more often than others, up to `favour` times as often as the least favoured.

    `by` popularity: those of products that many buy; exposure: those of products that the user had to do with; hard: those that
    several sources of candidates name. Each kept row weighs what it stands for, so probabilities stay exact.
    """

    by: str = "uniform"
    favour: float = 4.0

    def __post_init__(self) -> None:
        one_of("train.negatives.by", self.by, _NEGATIVES)
        within("train.negatives.favour", self.favour, 1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How many training as-of dates, how far apart, how many negatives, and below what nothing is trained.

    `step_days` 0 means the horizon. `negative_rate` of the negatives (of the least favoured: see `negatives`) are kept, and the
    rate is kept per row, so probabilities stay exact. Where a fit would learn from more than about `max_rows` rows, fewer
    negatives are kept, though as many as were bought; where it would from fewer than about `min_rows`, more are, up to all of them
    (0: never; see trainset.sampling.least_rate). `calibration_share` of the users calibrate at the newest date, by models
    that did not learn from them there; 0: a third, or half where purchases are few. `refit`: the models that score are fitted once
    more, on everybody. `min_history_days` lie before every training date, or fewer: see trainset.split.
    """

    dates: int = 3
    step_days: int = 0
    negative_rate: float = 0.2
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    min_rows: int = 200_000
    max_rows: int = 6_000_000
    calibration_share: float = 0.0
    refit: bool = True
    min_positives: int = 100
    min_buyers: int = 30
    min_history_days: int = 28
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    seed: int = 42

    def __post_init__(self) -> None:
        within("train.dates", self.dates, 1, 104)
        within("train.step_days", self.step_days, 0, 365)
        within("train.negative_rate", self.negative_rate, LEAST_RATE, 1)
        within("train.min_rows", self.min_rows, 0, 10**10)
        within("train.max_rows", self.max_rows, 1000, 10**10)
        within("train.calibration_share", self.calibration_share, 0, 0.9)
        within("train.min_positives", self.min_positives, 1, 10**9)
        within("train.min_buyers", self.min_buyers, 1, 10**9)
        within("train.min_history_days", self.min_history_days, 1, 3650)
        within("train.seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """When a feature is too good to be true. `stop`: training does not begin while a leak is not in `allow` (names of features).

    AUCs are of one feature alone, two-sided; `max_psi` holds between the first and the last training date. Below `min_rows`, or
    `min_positives` of either label, nothing is said. What bounds the cost: figures come from about `max_rows` training rows;
    the moved boundary is tried on about `users` users and as many products (0: none), whose events are `max_events` at most.
    """

    stop: bool = True
    allow: tuple[str, ...] = ()
    suspicious_auc: float = 0.95
    leak_auc: float = 0.99
    leak_missing_auc: float = 0.99
    max_psi: float = 0.25
    min_coverage: float = 0.001
    min_rows: int = 500
    min_positives: int = 50
    max_rows: int = 50_000
    users: int = 300
    max_events: int = 1_000_000

    def __post_init__(self) -> None:
        within("audit.suspicious_auc", self.suspicious_auc, 0.5, 1)
        within("audit.leak_auc", self.leak_auc, self.suspicious_auc, 1)
        within("audit.leak_missing_auc", self.leak_missing_auc, 0.5, 1)
        within("audit.max_psi", self.max_psi, 0, 100)
        within("audit.min_coverage", self.min_coverage, 0, 1)
        within("audit.min_rows", self.min_rows, 1, 10**9)
        within("audit.min_positives", self.min_positives, 1, 10**9)
        within("audit.max_rows", self.max_rows, self.min_rows, 1_000_000)
        within("audit.users", self.users, 0, 10_000)
        within("audit.max_events", self.max_events, 0, 10**9)


# Which encoders a setting belongs to.
_ENCODER_SETTINGS = {
    "levels": LEVEL_ENCODERS,
    "buckets": ("hash",),
    "signed": ("hash",),
    "folds": ("target",),
    "shrinkage": ("target",),
    "fill": SCALERS,
    "constant": SCALERS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """One column of the joined rows made fit for the models. `name` begins the new columns' names (default: column_how).

    `levels`: how many of the most frequent values stand for themselves (0: 10 for one_hot, else 10000); all others are one.
    `shrinkage`: rows that the overall rate counts for in a target encoding (0: estimated). Scalers put `fill` for missing.
    """

    column: str
    how: str
    name: str = ""
    levels: int = 0
    buckets: int = 16
    signed: bool = False
    folds: int = 5
    shrinkage: float = 0.0
    fill: str = "median"
    constant: float = 0.0

    @property
    def most_columns(self) -> int:
        """How many columns it makes of one, at most."""
        if self.how == "one_hot":
            return (self.levels or 10) + 2  # others, missing
        return self.buckets if self.how == "hash" else 2

    def __post_init__(self) -> None:
        where = f"encoders.{self.column}"
        named("encoders.column", self.column)
        one_of(f"{where}.how", self.how, ENCODERS)
        named(f"{where}.name", self.title)
        within(f"{where}.levels", self.levels, 0, 500 if self.how == "one_hot" else 100_000)
        within(f"{where}.buckets", self.buckets, 2, 1024)
        within(f"{where}.folds", self.folds, 2, 100)
        within(f"{where}.shrinkage", self.shrinkage, 0, 1e9)
        one_of(f"{where}.fill", self.fill, FILLS)
        within(f"{where}.constant", self.constant, -1e30, 1e30)
        self._check_settings(where)

    def _check_settings(self, where: str) -> None:
        """A setting that would change nothing is a mistake."""
        defaults = {f.name: f.default for f in fields(self)}
        for setting, meant in _ENCODER_SETTINGS.items():
            if self.how not in meant and getattr(self, setting) != defaults[setting]:
                raise ConfigError(f"{where}.{setting} is for {', '.join(meant)}, and this one is {self.how}: leave it out")
        if self.constant and self.fill != "constant":
            raise ConfigError(f"{where}.constant needs fill: constant, got fill: {self.fill}")
        if self.how == "target" and self.column == "user_id":  # folds are of users: a training row would never get its level's rate
            raise ConfigError(
                f"{where}.how: target says how often others with the same value buy, and nobody shares a user_id; "
                "choose frequency, hash or another column"
            )

    @property
    def title(self) -> str:
        """What the names of its columns begin with."""
        return self.name or f"{self.column}_{self.how}"

    @property
    def most_levels(self) -> int:
        """How many values stand for themselves."""
        return self.levels or (10 if self.how == "one_hot" else 10_000)
