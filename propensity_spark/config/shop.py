"""A shop's own data: who it is, its logs, its lists and the numbers from outside."""

from dataclasses import dataclass, field
from datetime import date

from propensity_spark.config.checks import delimiter, named, one_of, text_encoding, time_pattern, within, zone
from propensity_spark.errors import ConfigError
from propensity_spark.schemas import EVENT_TYPES, IGNORED

SOURCE_FORMATS = ("csv", "json", "parquet", "delta")
GONE = ("refuse", "keep", "drop")
TIME_FORMATS = ("iso", "epoch_s", "epoch_ms")  # anything else is a pattern such as dd/MM/yyyy HH:mm
_A_YEAR_OF_MINUTES = 366 * 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopConfig:
    """Who the shop is; its days begin at midnight of `time_zone`."""

    name: str = "shop"
    time_zone: str = "UTC"
    currency: str = ""

    def __post_init__(self) -> None:
        named("shop.name", self.name)
        zone("shop.time_zone", self.time_zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """Which column of a source plays each part: a column's name, or `= SQL expression` over its columns.

    `amount` is the whole line's; where it is blank or not mapped it is price x quantity. Where `price` is, it is amount / quantity.
    """

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

    A column of type TIMESTAMP (Parquet, Delta, a catalog's table) holds instants, which need neither, and are read as such
    beside any `format`. A TIMESTAMP_NTZ is a wall time of `time_zone`, a DATE its midnight; both need iso. What an
    `= SQL expression` gives is read as Spark writes it, a TIMESTAMP as a wall time.
    An `ingested_ts` that does not read as `format` says is read as iso: a loader that adds it often writes it so. One that
    reads neither way is refused, a blank one is not.
    `delay_minutes`: how long after it happened a row is known, where no `ingested_ts` says so.
    """

    format: str = "iso"
    time_zone: str = ""
    delay_minutes: int = 0

    def __post_init__(self) -> None:
        if self.time_zone:
            zone("time.time_zone", self.time_zone)
        within("time.delay_minutes", self.delay_minutes, 0, _A_YEAR_OF_MINUTES)
        if self.format not in TIME_FORMATS:
            time_pattern("time.format", self.format, TIME_FORMATS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleConfig:
    """A row rule of the shop's own: rows for which `reject_when` (SQL over the source's columns) holds are refused."""

    name: str
    reject_when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """One log: where it lies, how it reads, and what its columns mean.

    `path` is a file, folder or glob (one or several); `table` names a table of the session's catalog instead.
    `event` is the type of every row, or `event_types` maps the values of `map.event`; unmapped values are refused, those
    mapped to `ignore` counted and left out.
    `gone`: what of the rows of local files that were read before and are there no more: refuse to go on, keep or drop them.
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
    gone: str = "refuse"

    def __post_init__(self) -> None:
        where = f"sources.{self.name}"
        named("sources.name", self.name)
        one_of(f"{where}.format", self.format, SOURCE_FORMATS)
        one_of(f"{where}.gone", self.gone, GONE)
        delimiter(f"{where}.delimiter", self.delimiter)
        if self.format == "csv":
            text_encoding(f"{where}.encoding", self.encoding)
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
        if self.event and (self.map.event or self.event_types):
            raise ConfigError(f"{where}: `event` says that all rows are {self.event}; drop it, or map.event and event_types")
        if self.event:
            one_of(f"{where}.event", self.event, EVENT_TYPES)
        for value, event in self.event_types.items():
            one_of(f"{where}.event_types.{value}", event, (*EVENT_TYPES, IGNORED))
        if self.event_types and not self.types:
            raise ConfigError(
                f"{where}.event_types ignores every row; say which values mean a view, a purchase, ..., or drop the source"
            )

    @property
    def types(self) -> frozenset[str]:
        """The event types that its rows may be, as far as it says; none where its rows alone tell."""
        return frozenset({self.event} if self.event else self.event_types.values()) - {IGNORED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedConfig:
    """Where a table of the shop's lies, beside its logs, and how it reads: `path` or `table`, or neither where there is none."""

    path: tuple[str, ...] = ()
    table: str = ""
    format: str = "csv"
    header: bool = True
    delimiter: str = ","
    encoding: str = "UTF-8"

    @property
    def given(self) -> bool:
        """Whether the shop brought this table."""
        return bool(self.path or self.table)

    def check(self, where: str) -> None:
        """Raise ConfigError where these settings make no sense; `where` begins their names in messages."""
        one_of(f"{where}format", self.format, SOURCE_FORMATS)
        delimiter(f"{where}delimiter", self.delimiter)
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
        if self.attributes and not self.given:
            raise ConfigError("users or products: `attributes` are columns of a table; say by `path` or `table` where it is")
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
        named("series.name", self.name)
        self.check(f"{where}.")
        TimeConfig(format=self.time_format)
        within(f"{where}.delay_days", self.delay_days, 0, 3660)
        within(f"{where}.delay_minutes", self.delay_minutes, 0, _A_YEAR_OF_MINUTES)
        for days in self.ahead:
            within(f"{where}.ahead", days, 1, 366)
        for name in self.measured:
            named(f"{where}.values", name)
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
        within("quality.future_minutes", self.future_minutes, 0, 1440)
        within("quality.max_price", self.max_price, 0, 1e15)
        within("quality.max_rejected_share", self.max_rejected_share, 0, 1)
        within("quality.bot_events_per_day", self.bot_events_per_day, 10, 10_000_000)
        within("quality.bot_events_per_minute", self.bot_events_per_minute, 5, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """A silence longer than this starts the next visit."""

    gap_minutes: int = 30

    def __post_init__(self) -> None:
        within("sessions.gap_minutes", self.gap_minutes, 1, 240)
