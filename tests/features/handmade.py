"""Lines of silver.events as a person would write them, around one shop's midnight on which clocks had gone forward."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

AS_OF, ZONE = date(2024, 4, 1), ZoneInfo("Europe/London")  # a Monday; clocks went forward on Sunday 31 March
TICK = timedelta(microseconds=1)
_SCHEMA = (
    "event_id STRING, user_id STRING, product_id STRING, event STRING, event_ts STRING, event_date STRING, price DOUBLE, "
    "quantity DOUBLE, amount DOUBLE, order_id STRING, session_no INT, known_ts STRING, cancelled_known_ts STRING, "
    "is_bot BOOLEAN"
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A line of silver.events; times are UTC."""

    user: str
    product: str
    at: datetime
    event: str = "purchase"
    order: str | None = None
    price: float | None = 2.0
    quantity: float = 1.0
    session: int = 1
    cancelled: datetime | None = None
    known: datetime | None = None  # by default at once
    cancelled_known: datetime | None = None  # by default at once
    bot: bool = False

    @property
    def amount(self) -> float | None:
        """In the shop's currency."""
        return None if self.price is None else self.price * self.quantity

    @property
    def day(self) -> date:
        """The shop's."""
        return self.at.astimezone(ZONE).date()


def midnight(day: date) -> datetime:
    """The instant at which the shop's day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)


def ago(days: int) -> datetime:
    """The shop's midnight so many days before AS_OF."""
    return midnight(AS_OF - timedelta(days=days))


def noon(days: int) -> datetime:
    """Midday so many days before AS_OF."""
    return ago(days) + timedelta(hours=12)


def frame_of(spark: SparkSession, events: Iterable[Event]) -> DataFrame:
    """The lines as rows of silver.events, as far as features read it."""
    rows = [
        (
            f"e{number:04}",
            e.user,
            e.product,
            e.event,
            _written(e.at),
            str(e.day),
            e.price,
            e.quantity,
            e.amount,
            e.order,
            e.session,
            _written(e.known or e.at),
            _written(e.cancelled_known or e.cancelled),
            e.bot,
        )
        for number, e in enumerate(events)
    ]
    times = {name: F.col(name).cast("timestamp") for name in ("event_ts", "known_ts", "cancelled_known_ts")}
    return spark.createDataFrame(rows, _SCHEMA).withColumns({**times, "event_date": F.col("event_date").cast("date")})


def _written(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}" if moment else None
