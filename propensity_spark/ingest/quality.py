"""Row rules: a Column that is null when the row is good and says the reason when it is not."""

from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.config import QualityConfig, RuleConfig


def corrupt(column: str) -> Column:
    """A line that does not have the fields of its file."""
    return F.when(F.col(column).isNotNull(), F.lit("the line is cut off or has too many or too few fields"))


def missing(value: Column, what: str) -> Column:
    """A part without which an event means nothing."""
    return F.when(value.isNull(), F.lit(f"{what} is missing"))


def unparsable(text: Column, value: Column, what: str) -> Column:
    """A part that is there but cannot be read."""
    there = text.isNotNull() & (F.trim(text) != "")
    return F.when(there & value.isNull(), F.format_string(f"{what} cannot be read: %s", F.substring(text, 1, 40)))


def outside(moment: Column, arrived: Column, config: QualityConfig) -> list[Column]:
    """Times before `earliest` (1970 is a lost date) or later than their arrival."""
    latest = arrived + F.expr(f"INTERVAL {config.future_minutes} MINUTES")
    # clocks of other zones: the earliest day is taken generously, by a day
    earliest: date = config.earliest - timedelta(days=1)
    return [
        F.when(moment < F.lit(earliest).cast("timestamp"), F.lit(f"time lies before {config.earliest}")),
        F.when(moment > latest, F.lit("time lies in the future")),
    ]


def unknown_event(text: Column, event: Column) -> Column:
    """An event type that the configuration does not map."""
    return F.when(
        event.isNull(),
        F.format_string("event type is unknown: %s", F.coalesce(F.substring(text, 1, 40), F.lit("nothing"))),
    )


def amounts(event: Column, price: Column, quantity: Column, config: QualityConfig) -> list[Column]:
    """Prices and quantities that no sale has. Those of a return may be negative: they are taken without their sign."""
    sold = event == "purchase"
    return [
        not_finite(quantity, "quantity"),
        not_finite(price, "price"),
        F.when(sold & (quantity <= 0), F.lit("quantity is zero or negative")),
        F.when(sold & (price <= 0), F.lit("price is zero or negative")),
        F.when((event != "return") & ~sold & (price < 0), F.lit("price is negative")),
        F.when(F.abs(price) > config.max_price, F.lit(f"price is above {config.max_price:g}")),
    ]


def taken_back(event: Column, amount: Column) -> Column:
    """What a log of line amounts alone books when something comes back. Of a return the amount may have either sign."""
    return F.when((event == "purchase") & (amount < 0) & (amount > float("-inf")), F.lit("amount is negative"))


def not_finite(number: Column, what: str) -> Column:
    """A number that no sale and no measurement has."""
    return F.when(F.isnan(number) | (F.abs(number) == float("inf")), F.lit(f"{what} is not a finite number"))


def own(rule: RuleConfig) -> Column:
    """A rule of the shop's own, in SQL over the source's columns."""
    return F.when(F.coalesce(F.expr(rule.reject_when), F.lit(False)), F.lit(rule.name))


def reasons(*rules: Column) -> Column:
    """All reasons that apply, as an array; empty for a good row."""
    return F.filter(F.array(*rules), lambda reason: reason.isNotNull())
