"""What a user may set: one frozen dataclass per YAML section, each checking itself.

A section's defaults are the product's defaults; conf/base.yaml spells them out, and a test holds the two equal.
"""

import re
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from zoneinfo import available_timezones

from propensity_spark.errors import ConfigError
from propensity_spark.schemas import EVENT_TYPES

SOURCE_FORMATS = ("csv", "json", "parquet", "delta")
CALIBRATIONS = ("auto", "platt", "isotonic", "none")
FAMILIES = ("lightgbm", "logistic")
ENGINES = ("auto", "native", "synapseml")  # of LightGBM
# The groups of features that may be chosen; what each holds stands in features/groups/.
FEATURE_GROUPS = ("gaps", "sessions", "profile", "momentum", "shares", "prices", "segment", "together_recent")
LEVEL_ENCODERS = ("index", "one_hot", "frequency", "target")  # they learn a table of the column's values
SCALERS = ("standard", "min_max", "robust", "log", "impute")
ENCODERS = (*LEVEL_ENCODERS, "hash", *SCALERS)
FILLS = ("median", "mean", "constant")
TIME_FORMATS = ("iso", "epoch_s", "epoch_ms")  # anything else is a pattern such as dd/MM/yyyy HH:mm
_A_YEAR_OF_MINUTES = 366 * 24 * 60
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def _within(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{key} must be in [{low}, {high}], got {value!r}")


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}; got {value!r}")


def _zone(key: str, value: str) -> None:
    if value not in available_timezones():
        raise ConfigError(f"{key} must be an IANA time zone such as Europe/London, got {value!r}")


def _delimiter(key: str, value: str) -> None:
    if len(value) != 1:
        raise ConfigError(f'{key} must be one character (a tab is "\\t" in double quotes), got {value!r}')


def _name(key: str, value: str) -> None:
    if not _NAME.fullmatch(value):
        raise ConfigError(f"{key} must be letters, digits and _, beginning with a letter; got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopConfig:
    """Who the shop is; its days begin at midnight of `time_zone`."""

    name: str = "shop"
    time_zone: str = "UTC"
    currency: str = ""

    def __post_init__(self) -> None:
        _name("shop.name", self.name)
        _zone("shop.time_zone", self.time_zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """Which column of a source plays each part: a column's name, or `= SQL expression` over its columns."""

    user_id: str = ""
    product_id: str = ""
    event_ts: str = ""
    event: str = ""
    price: str = ""
    quantity: str = ""
    amount: str = ""
    session_id: str = ""
    order_id: str = ""
    category: str = ""
    product_name: str = ""
    ingested_ts: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeConfig:
    """How a source writes its times; `time_zone` (default: the shop's) is for times that carry none.

    `delay_minutes`: how long after it happened a row is known, where no `ingested_ts` says so.
    """

    format: str = "iso"
    time_zone: str = ""
    delay_minutes: int = 0

    def __post_init__(self) -> None:
        if self.time_zone:
            _zone("sources.time.time_zone", self.time_zone)
        _within("sources.time.delay_minutes", self.delay_minutes, 0, _A_YEAR_OF_MINUTES)
        if self.format not in TIME_FORMATS and not re.search(r"[yu].*M.*d|d.*M.*[yu]|M.*d.*[yu]", self.format):
            raise ConfigError(
                f"sources.time.format must be {', '.join(TIME_FORMATS)} or a pattern such as dd/MM/yyyy HH:mm, got {self.format!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleConfig:
    """A row rule of the shop's own: rows for which `reject_when` (SQL over the source's columns) holds are refused."""

    name: str
    reject_when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """One log: where it lies, how it reads, and what its columns mean.

    `path` is a file, folder or glob (one or several); `table` names a table of the session's catalog instead.
    `event` is the type of every row, or `event_types` maps the values of `map.event`; unmapped values are refused.
    """

    name: str
    path: tuple[str, ...] = ()
    table: str = ""
    format: str = "csv"
    header: bool = True
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    encoding: str = "UTF-8"
    map: ColumnMap = field(default_factory=ColumnMap)
    event: str = ""
    event_types: dict[str, str] = field(default_factory=dict)
    time: TimeConfig = field(default_factory=TimeConfig)
    rules: tuple[RuleConfig, ...] = ()

    def __post_init__(self) -> None:
        where = f"sources.{self.name}"
        _name("sources.name", self.name)
        _one_of(f"{where}.format", self.format, SOURCE_FORMATS)
        _delimiter(f"{where}.delimiter", self.delimiter)
        if bool(self.path) == bool(self.table):
            raise ConfigError(f"{where} needs either `path` or `table`")
        if not self.header and not self.columns and self.format == "csv":
            raise ConfigError(f"{where}: a CSV without header needs `columns`, the names in file order")
        for part in ("user_id", "product_id", "event_ts"):
            if not getattr(self.map, part):
                raise ConfigError(f"{where}.map.{part} is missing: say which column plays that part")
        self._check_events(where)

    def _check_events(self, where: str) -> None:
        if not self.event and not self.map.event:
            raise ConfigError(f"{where} needs `event: purchase` (all rows alike) or `map.event` with `event_types`")
        if self.event:
            _one_of(f"{where}.event", self.event, EVENT_TYPES)
        for value, event in self.event_types.items():
            _one_of(f"{where}.event_types.{value}", event, EVENT_TYPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedConfig:
    """Where a table of the shop's lies, beside its logs, and how it reads: `path` or `table`, or neither where there is none."""

    path: tuple[str, ...] = ()
    table: str = ""
    format: str = "csv"
    header: bool = True
    delimiter: str = ","

    @property
    def given(self) -> bool:
        """Whether the shop brought this table."""
        return bool(self.path or self.table)

    def check(self, where: str) -> None:
        """Raise ConfigError where these settings make no sense; `where` begins their names in messages."""
        _one_of(f"{where}format", self.format, SOURCE_FORMATS)
        _delimiter(f"{where}delimiter", self.delimiter)
        if self.path and self.table:
            raise ConfigError(f"{where.rstrip('.: ')}: the table is given either by `path` or by `table`, not by both")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityConfig(ListedConfig):
    """An optional table of users or products: its key, its name column, and the attributes worth keeping.

    `valid_from`: the column saying from when a row holds, where a key has several; `known`: the one saying since when the
    shop knew it (default: `valid_from` plus `time.delay_minutes`). Without them, each ingest dates what has changed.
    """

    id: str = ""
    name: str = ""
    category: str = ""
    price: str = ""
    attributes: tuple[str, ...] = ()
    valid_from: str = ""
    known: str = ""
    time: TimeConfig = field(default_factory=TimeConfig)

    def __post_init__(self) -> None:
        self.check("users or products: ")
        if self.given and not self.id:
            raise ConfigError("a users or products table needs `id`, its key column")
        if not self.valid_from and (self.known or self.time != TimeConfig()):
            raise ConfigError("users or products: `known` and `time` are for tables with `valid_from`: set it, or leave them out")


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersConfig(ListedConfig):
    """Who belongs to which campaign; `day` and `until`, both included: from when to when (default: as long as it runs)."""

    campaign: str = ""
    user: str = ""
    day: str = ""
    until: str = ""
    known: str = ""

    def __post_init__(self) -> None:
        self.check("series: members.")
        if self.given and not (self.campaign and self.user):
            raise ConfigError("series: members need `campaign` and `user`, the columns that say who belongs to which")
        if self.until and not self.day:
            raise ConfigError("series: members.until, the last day, needs members.day, the first")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesConfig(ListedConfig):
    """Numbers from outside, by day, by day and `region`, or by `campaign` and its members.

    `day` to `until` (both included; default: the day alone): when a row holds. `values`: number columns, or `name = SQL`.
    `region_of`: the users' attribute that holds their region. A row is known at the end of its last day, `delay_days` and
    `delay_minutes` later; or since the column `known` says; or always, with `known_in_advance` (holidays, plans).
    `ahead`: sums over so many days from as_of on.
    """

    name: str
    day: str = ""
    until: str = ""
    time_format: str = "iso"
    region: str = ""
    region_of: str = ""
    campaign: str = ""
    members: MembersConfig = field(default_factory=MembersConfig)
    values: tuple[str, ...] = ()
    known: str = ""
    known_in_advance: bool = False
    delay_days: int = 0
    delay_minutes: int = 0
    ahead: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        where = f"series.{self.name}"
        _name("series.name", self.name)
        self.check(f"{where}.")
        TimeConfig(format=self.time_format)
        _within(f"{where}.delay_days", self.delay_days, 0, 3660)
        _within(f"{where}.delay_minutes", self.delay_minutes, 0, _A_YEAR_OF_MINUTES)
        for days in self.ahead:
            _within(f"{where}.ahead", days, 1, 366)
        for name in self.measured:
            _name(f"{where}.values", name)
        self._check_place(where)
        self._check_known(where)

    def _check_place(self, where: str) -> None:
        if not self.given:
            raise ConfigError(f"{where} needs either `path` or `table`")
        if not self.day:
            raise ConfigError(f"{where}.day is missing: say which column holds the day")
        if bool(self.region) != bool(self.region_of) or (self.region and self.campaign):
            raise ConfigError(f"{where} joins by `region` with `region_of`, the users' attribute, or by `campaign`, not by both")
        if bool(self.campaign) != self.members.given:
            raise ConfigError(f"{where}: `campaign` needs `members`, a table of who belongs to which, and the other way round")
        if not self.values and not self.campaign:
            raise ConfigError(f"{where}.values is missing: name the columns that hold its numbers")

    def _check_known(self, where: str) -> None:
        if self.known_in_advance and (self.delay_days or self.delay_minutes):
            raise ConfigError(f"{where}: what is known in advance has no delay; leave one of them out")
        planned = self.known_in_advance or bool(self.known)
        if self.ahead and not planned:
            raise ConfigError(f"{where}.ahead looks at days to come: it needs `known_in_advance: true` or a column `known`")
        if self.ahead and self.campaign:
            raise ConfigError(f"{where}.ahead is for series by day or by region; leave it out")
        if self.campaign and not planned:
            raise ConfigError(
                f"{where}: whether a campaign is on must be known while it runs: "
                "say `known_in_advance: true`, or give the column `known`"
            )

    @property
    def measured(self) -> dict[str, str]:
        """The values' names, and the column or `= SQL expression` of each."""
        pairs = (value.partition(" = ") for value in self.values)
        return {name.strip(): f"={sql}" if sql else name for name, _, sql in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityConfig:
    """Which rows are refused, and when so many are that the whole load is.

    Times before `earliest` or more than `future_minutes` ahead of their arrival are refused.
    """

    earliest: date = date(2000, 1, 1)
    future_minutes: int = 60
    max_price: float = 1e7
    max_rejected_share: float = 0.6
    bot_events_per_day: int = 1000
    bot_events_per_minute: int = 60

    def __post_init__(self) -> None:
        _within("quality.future_minutes", self.future_minutes, 0, 1440)
        _within("quality.max_price", self.max_price, 0, 1e15)
        _within("quality.max_rejected_share", self.max_rejected_share, 0, 1)
        _within("quality.bot_events_per_day", self.bot_events_per_day, 10, 10_000_000)
        _within("quality.bot_events_per_minute", self.bot_events_per_minute, 5, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """A silence longer than this starts the next visit."""

    gap_minutes: int = 30

    def __post_init__(self) -> None:
        _within("sessions.gap_minutes", self.gap_minutes, 1, 240)


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
        _within("features.windows", min(self.windows), 1, 3650)
        _within("features.half_life_days", self.half_life_days, 0.1, 3650)
        _within("features.history_days", self.history_days, max(self.windows), 3650)
        _within("features.version", self.version, 1, 1_000_000)
        _within("features.last_events", self.last_events, 0, 1000)
        for group in self.groups:
            _one_of("features.groups", group, FEATURE_GROUPS)
        if len(set(self.groups)) != len(self.groups):
            raise ConfigError(f"features.groups names a group twice: {', '.join(self.groups)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationConfig:
    """Who is scored: users with such an event within so many days before as_of."""

    event: str = "purchase"
    days: int = 180

    def __post_init__(self) -> None:
        _one_of("population.event", self.event, ("any", *EVENT_TYPES))
        _within("population.days", self.days, 1, 3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateConfig:
    """Which pairs are worth scoring, per user and source; 0 switches a source off.

    `affinity` is the shortlist of products that a user has not touched, by all signals weighed together. `history` and
    `products` bound what is learnt from: a user's latest rows, and the products that draw the most interest.
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
    history: int = 1000
    products: int = 5000

    def __post_init__(self) -> None:
        for key in ("touched", "popular", "together", "als", "affinity"):
            _within(f"candidates.{key}", getattr(self, key), 0, 100_000)
        for key in ("touched_days", "popular_days", "together_days"):
            _within(f"candidates.{key}", getattr(self, key), 1, 3650)
        _within("candidates.together_neighbours", self.together_neighbours, 1, 10_000)
        _within("candidates.history", self.history, 1, 10_000)
        _within("candidates.products", self.products, 2, 20_000)
        if not (self.touched or self.popular or self.together or self.als or self.affinity):
            raise ConfigError("candidates: every source is switched off; set touched, popular, together, als or affinity above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """What is predicted: a purchase within `[as_of, as_of + horizon_days)`."""

    horizon_days: int = 28

    def __post_init__(self) -> None:
        _within("labels.horizon_days", self.horizon_days, 1, 730)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How many training as-of dates, how far apart, how many negatives, and below what nothing is trained.

    `step_days` 0 means the horizon. `negative_rate` is kept per row, so probabilities stay exact. `calibration_share` of the
    users calibrate at the newest date and do not train there; 0: a third, or half where purchases are few.
    """

    dates: int = 3
    step_days: int = 0
    negative_rate: float = 0.2
    calibration_share: float = 0.0
    min_positives: int = 200
    min_buyers: int = 50
    min_history_days: int = 28
    seed: int = 42

    def __post_init__(self) -> None:
        _within("train.dates", self.dates, 1, 104)
        _within("train.step_days", self.step_days, 0, 365)
        _within("train.negative_rate", self.negative_rate, 0.0001, 1)
        _within("train.calibration_share", self.calibration_share, 0, 0.9)
        _within("train.min_positives", self.min_positives, 1, 10**9)
        _within("train.min_buyers", self.min_buyers, 1, 10**9)
        _within("train.min_history_days", self.min_history_days, 1, 3650)


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
        _within("audit.suspicious_auc", self.suspicious_auc, 0.5, 1)
        _within("audit.leak_auc", self.leak_auc, self.suspicious_auc, 1)
        _within("audit.leak_missing_auc", self.leak_missing_auc, 0.5, 1)
        _within("audit.max_psi", self.max_psi, 0, 100)
        _within("audit.min_coverage", self.min_coverage, 0, 1)
        _within("audit.min_rows", self.min_rows, 1, 10**9)
        _within("audit.min_positives", self.min_positives, 1, 10**9)
        _within("audit.max_rows", self.max_rows, self.min_rows, 1_000_000)
        _within("audit.users", self.users, 0, 10_000)
        _within("audit.max_events", self.max_events, 0, 10**9)


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

    def __post_init__(self) -> None:
        where = f"encoders.{self.column}"
        _name("encoders.column", self.column)
        _one_of(f"{where}.how", self.how, ENCODERS)
        _name(f"{where}.name", self.title)
        _within(f"{where}.levels", self.levels, 0, 500 if self.how == "one_hot" else 100_000)
        _within(f"{where}.buckets", self.buckets, 2, 1024)
        _within(f"{where}.folds", self.folds, 2, 100)
        _within(f"{where}.shrinkage", self.shrinkage, 0, 1e9)
        _one_of(f"{where}.fill", self.fill, FILLS)
        _within(f"{where}.constant", self.constant, -1e30, 1e30)
        self._check_settings(where)

    def _check_settings(self, where: str) -> None:
        """A setting that would change nothing is a mistake."""
        defaults = {f.name: f.default for f in fields(self)}
        for setting, meant in _ENCODER_SETTINGS.items():
            if self.how not in meant and getattr(self, setting) != defaults[setting]:
                raise ConfigError(f"{where}.{setting} is for {', '.join(meant)}, and this one is {self.how}: leave it out")
        if self.constant and self.fill != "constant":
            raise ConfigError(f"{where}.constant needs fill: constant, got fill: {self.fill}")

    @property
    def title(self) -> str:
        """What the names of its columns begin with."""
        return self.name or f"{self.column}_{self.how}"

    @property
    def most_levels(self) -> int:
        """How many values stand for themselves."""
        return self.levels or (10 if self.how == "one_hot" else 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBMConfig:
    """Gradient boosting; `timeout_seconds` ends a stuck fit.

    `leaves` 0: by the number of bought pairs, few for few. `engine` auto: native LightGBM in one task up to
    `rows_on_one_task`, beyond that, or with a number of `tasks`, SynapseML on that many slots of the cluster (0: on all).
    """

    engine: str = "auto"
    rounds: int = 300
    leaves: int = 0
    learning_rate: float = 0.03
    min_data_in_leaf: int = 400
    feature_fraction: float = 0.5
    bagging_fraction: float = 0.8
    l2: float = 20.0
    max_bin: int = 127
    tasks: int = 0
    rows_on_one_task: int = 5_000_000
    timeout_seconds: int = 1800

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(f"models.lightgbm.engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
        _within("models.lightgbm.rounds", self.rounds, 1, 100_000)
        if self.leaves:
            _within("models.lightgbm.leaves", self.leaves, 2, 4096)
        _within("models.lightgbm.learning_rate", self.learning_rate, 1e-5, 1)
        _within("models.lightgbm.min_data_in_leaf", self.min_data_in_leaf, 1, 10**7)
        _within("models.lightgbm.feature_fraction", self.feature_fraction, 0.01, 1)
        _within("models.lightgbm.bagging_fraction", self.bagging_fraction, 0.01, 1)
        _within("models.lightgbm.l2", self.l2, 0, 1e6)
        _within("models.lightgbm.max_bin", self.max_bin, 2, 65535)
        _within("models.lightgbm.tasks", self.tasks, 0, 100_000)
        _within("models.lightgbm.rows_on_one_task", self.rows_on_one_task, 0, 10**12)
        _within("models.lightgbm.timeout_seconds", self.timeout_seconds, 10, 10**6)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticConfig:
    """Logistic regression (Spark ML) with elastic net on standardised, log-scaled features."""

    regularisation: float = 1e-4
    elastic_net: float = 0.0
    max_iterations: int = 30

    def __post_init__(self) -> None:
        _within("models.logistic.regularisation", self.regularisation, 0, 1e6)
        _within("models.logistic.elastic_net", self.elastic_net, 0, 1)
        _within("models.logistic.max_iterations", self.max_iterations, 1, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerConfig:
    """LambdaRank, which orders each user's list together with the champion; `rounds` 0: the champion alone.

    `truncation`: how many places of a list count. All else is as of models.lightgbm.
    """

    rounds: int = 150
    learning_rate: float = 0.05
    truncation: int = 20

    def __post_init__(self) -> None:
        _within("models.ranker.rounds", self.rounds, 0, 100_000)
        _within("models.ranker.learning_rate", self.learning_rate, 1e-5, 1)
        _within("models.ranker.truncation", self.truncation, 1, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsConfig:
    """The families to train, the one whose scores are published, and the ranker beside it."""

    families: tuple[str, ...] = FAMILIES
    champion: str = "lightgbm"
    lightgbm: LightGBMConfig = field(default_factory=LightGBMConfig)
    logistic: LogisticConfig = field(default_factory=LogisticConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)

    def __post_init__(self) -> None:
        for family in self.families:
            _one_of("models.families", family, FAMILIES)
        _one_of("models.champion", self.champion, self.families)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
    """How raw scores become probabilities; `auto` takes what does better on held-out calibration users."""

    method: str = "auto"

    def __post_init__(self) -> None:
        _one_of("calibration.method", self.method, CALIBRATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """Which date is scored (null: the day after the last full day of data) and how many rows the top view shows."""

    as_of: date | None = None
    top_products: int = 10

    def __post_init__(self) -> None:
        _within("score.top_products", self.top_products, 1, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """Where tables and the report lie. With `catalog` (Unity or Hive) tables are named there instead.

    `checkpoints`: a folder that all executors reach, for rows that a fit reads many times; without it they keep them themselves,
    and a fit fails that loses one of them.
    """

    warehouse: str = "warehouse"
    catalog: str = ""
    report: str = ""
    checkpoints: str = ""

    def report_path(self, shop: str) -> Path:
        """The report's file: as configured, or inside the warehouse, or here where the warehouse is remote."""
        folder = Path() if "://" in self.warehouse else Path(self.warehouse)
        return Path(self.report) if self.report else folder / f"{shop}_report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingConfig:
    """Where MLflow runs go; an empty uri is a SQLite file inside the warehouse."""

    uri: str = ""
    experiment: str = ""

    def resolved(self, storage: StorageConfig) -> str:
        """The tracking URI in force."""
        return self.uri or f"sqlite:///{Path(storage.warehouse).absolute()}/mlflow.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkConfig:
    """The session that a laptop starts; under spark-submit or on Databricks the running one is used.

    `master` empty: what spark-submit says, else local[*]. `conf` passes any Spark setting through.
    """

    master: str = ""
    driver_memory: str = "2400m"
    shuffle_partitions: int = 0
    conf: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+[gm]", self.driver_memory):
            raise ConfigError(f"spark.driver_memory must be like 3g or 900m, got {self.driver_memory!r}")
        _within("spark.shuffle_partitions", self.shuffle_partitions, 0, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """The simulated shop: its size, its period and how dirty its logs are. Used by `propensity simulate`."""

    output: str = ""
    users: int = 2000
    products: int = 300
    categories: int = 12
    start: date = date(2024, 1, 1)
    days: int = 240
    events: int = 1_000_000
    dirt: float = 0.01
    seed: int = 7

    def __post_init__(self) -> None:
        _within("simulator.users", self.users, 10, 100_000_000)
        _within("simulator.products", self.products, 5, 10_000_000)
        _within("simulator.categories", self.categories, 1, self.products)
        _within("simulator.days", self.days, 2, 3650)
        _within("simulator.events", self.events, 1000, 10**10)
        _within("simulator.dirt", self.dirt, 0, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a run depends on."""

    shop: ShopConfig = field(default_factory=ShopConfig)
    sources: tuple[SourceConfig, ...] = ()
    users: EntityConfig = field(default_factory=EntityConfig)
    products: EntityConfig = field(default_factory=EntityConfig)
    series: tuple[SeriesConfig, ...] = ()
    quality: QualityConfig = field(default_factory=QualityConfig)
    sessions: SessionConfig = field(default_factory=SessionConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    population: PopulationConfig = field(default_factory=PopulationConfig)
    candidates: CandidateConfig = field(default_factory=CandidateConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    encoders: tuple[EncoderConfig, ...] = ()
    models: ModelsConfig = field(default_factory=ModelsConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    spark: SparkConfig = field(default_factory=SparkConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ConfigError(f"sources need names of their own, got {names}")
        series = [one.name for one in self.series]
        if len(set(series)) != len(series):
            raise ConfigError(f"series need names of their own, got {series}")
        if self.features.segment_by and self.features.segment_by not in self.users.attributes:
            raise ConfigError(
                f"features.segment_by must be one of users.attributes ({', '.join(self.users.attributes) or 'there are none'}); "
                f"got {self.features.segment_by!r}"
            )
        titles = [encoder.title for encoder in self.encoders]
        if len(set(titles)) != len(titles):
            raise ConfigError(f"encoders need names of their own, got {titles}: give one a `name`")
