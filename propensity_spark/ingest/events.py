"""From bronze rows of any shop to typed events with the reasons against them."""

import re

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import Config, SourceConfig
from propensity_spark.errors import MissingColumns, SourceError
from propensity_spark.ingest import quality, timeforms
from propensity_spark.ingest.sources import ARRIVED, CORRUPT, FILE
from propensity_spark.schemas import EVENT_TYPES, IGNORED, WHOLE_NUMBER

_USUAL = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?$"  # as nearly all times are written
_ZONE_AT_END = r"(:\d\d?(\.\d+)?|T\d\d?)\s*([A-Za-z]|[+-]\d).*$"  # behind a time of day
_TO_THE_MINUTE = r"([T ]\d\d?:\d\d?)(\s*([A-Za-z]|[+-]\d).*)$"  # Spark reads a zone behind seconds only
_ZONE_IN_PATTERN = re.compile("[OVXZxz]")
_QUOTED = re.compile(r"'(?!Z')[^']*'")  # words in a pattern; a quoted Z alone still says UTC
_A_DAY = r"^\d{4}-\d\d?-\d"  # what an iso time begins with that no number is
_NOTHING = ("", "NaN", "nan", "NULL", "null", "None", "\\N")  # of pandas, of databases; Nan is a name
_LAST_SECOND = 253_402_300_800  # the year 10000: beyond it the calendar of Spark breaks
IDENTITY = ("user_id", "product_id", "event", "event_ts", "order_id", "price", "quantity", "session_id")


def parse(bronze: DataFrame, source: SourceConfig, config: Config) -> DataFrame:
    """Read each part as the configuration says.

    Takes   bronze.<source>: the columns as received, as text.
    Returns user_id, product_id, event, event_ts (UTC), event_date (shop's days), price, quantity, amount, order_id,
            session_id, category, product_name, ingested_ts, known_ts (when the shop knew of it), source, source_file,
            the texts _event, _time, _price, _quantity, _amount_given DOUBLE (null where the log gives no amount), and
            reasons ARRAY<STRING>: empty for a good row, and for one of an ignored type, whose event is IGNORED.
    Raises  MissingColumns or SourceError where the mapping does not fit the columns.
    """
    _check_columns(bronze, source)
    try:
        texts = bronze.select(
            *(_part(source, part).alias(part) for part in _TEXTS),
            _reads(source, "event_ts", config).alias("event_ts"),
            _arrival(source, config).alias("ingested_ts"),
            quality.reasons(*(quality.own(rule) for rule in source.rules)).alias("_own"),
            FILE,
            ARRIVED,
            CORRUPT,
        )
    except Exception as problem:
        if "AnalysisException" in type(problem).__name__ or "ParseException" in type(problem).__name__:
            raise SourceError(f"sources.{source.name}: {str(problem).splitlines()[0]}") from None
        raise
    return _judged(_typed(texts, source, config), source, config)


_TEXTS = {
    "user_id": "user_id",
    "product_id": "product_id",
    "event": "event",
    "_time": "event_ts",
    "price": "price",
    "quantity": "quantity",
    "amount": "amount",
    "session_id": "session_id",
    "order_id": "order_id",
    "category": "category",
    "product_name": "product_name",
    "_arrival": "ingested_ts",
}


def _check_columns(bronze: DataFrame, source: SourceConfig) -> None:
    mapped = (getattr(source.map, part) for part in _TEXTS.values())
    named = {column for column in mapped if column and not column.startswith("=")}
    missing = named - set(bronze.columns)
    if missing:
        found = [column for column in bronze.columns if not column.startswith("_")]
        raise MissingColumns(f"sources.{source.name}", missing, found, "Correct sources.map.")


def _part(source: SourceConfig, part: str) -> Column:
    """The text that plays a part: a column, or an expression over the columns; null where there is none."""
    mapped = getattr(source.map, _TEXTS.get(part, part))
    if not mapped:
        return F.lit(None).cast("string")
    column = F.expr(mapped[1:]) if mapped.startswith("=") else F.col(f"`{mapped}`")
    return column.cast("string")


def _reads(source: SourceConfig, part: str, config: Config) -> Column:
    return moment(_part(source, part), source.time.format, source.time.time_zone or config.shop.time_zone)


def _arrival(source: SourceConfig, config: Config) -> Column:
    """When a row arrived: as `time.format` says, else in iso, for it is often a loader that adds it, in a form of its own."""
    read, form = _reads(source, "ingested_ts", config), source.time.format
    if form == "iso" or not source.map.ingested_ts:
        return read
    text = F.trim(_part(source, "ingested_ts"))
    dated = F.when(text.rlike(_A_DAY), text)  # an epoch's digits may look like a year
    return F.coalesce(read, moment(dated, "iso", source.time.time_zone or config.shop.time_zone))


def moment(text: Column, form: str, time_zone: str) -> Column:
    """The UTC instant that a text means; a text without a zone is a wall time of `time_zone`. Null: unreadable.

    What a typed TIMESTAMP was (see `texts`) is read whatever the form.
    """
    text = F.trim(text)
    if form != "iso":
        return F.when(text.rlike(f"^{timeforms.INSTANT}$"), text.cast("timestamp")).otherwise(_formed(text, form, time_zone))
    return F.when(text.rlike(_USUAL), _usual(text, time_zone)).otherwise(_spelled(text, time_zone))


def _usual(text: Column, time_zone: str) -> Column:
    """The instant of a text that looks usual. Spark compiles two patterns for every zone that it reads: it is shown none."""
    read = F.btrim(text, F.lit("Z")).cast("timestamp")
    return F.when(text.endswith("Z"), read).otherwise(F.to_utc_timestamp(read, time_zone))


def _spelled(text: Column, time_zone: str) -> Column:
    """The instant of an iso text however it is spelled."""
    full = F.regexp_replace(F.regexp_replace(text, r"\s+UTC$", "Z"), _TO_THE_MINUTE, "$1:00$2")
    dated = F.when(full.rlike(r"^\d{4}"), full)  # a time of day alone would be read as of today
    read = dated.cast("timestamp")
    return F.when(full.rlike(_ZONE_AT_END), read).otherwise(F.to_utc_timestamp(read, time_zone))


def _formed(text: Column, form: str, time_zone: str) -> Column:
    """The instant of a text of another form than iso."""
    if form in ("epoch_s", "epoch_ms"):
        seconds = text.cast("double") / (1000.0 if form == "epoch_ms" else 1.0)
        return F.when(F.abs(seconds) < _LAST_SECOND, F.timestamp_seconds(seconds))
    read = F.to_timestamp(text, form)
    has_zone = _ZONE_IN_PATTERN.search(_QUOTED.sub("", form))
    return read if has_zone else F.to_utc_timestamp(read, time_zone)


def midnight(day: Column, time_zone: str) -> Column:
    """The UTC instant at which the shop's day begins; exact where clocks change."""
    return F.to_utc_timestamp(day.cast("timestamp"), time_zone)


def is_ignored() -> Column:
    """Whether a row is of a type that the shop wants nowhere."""
    return F.col("event").eqNullSafe(IGNORED)


def identifier(text: Column) -> Column:
    """An id as the shop means it: trimmed, 17850 for 17850.0, null for nothing and for what exports write for it."""
    plain = whole(F.trim(text))
    return F.when(~plain.isin(*_NOTHING), plain)


def whole(text: Column) -> Column:
    """17850 for 17850.0: what is left of a whole number where a column of them has a gap."""
    return F.regexp_replace(text, WHOLE_NUMBER, "$1")


def _typed(texts: DataFrame, source: SourceConfig, config: Config) -> DataFrame:
    event = _event(source)
    given = {part: F.col(part).cast("double") for part in ("price", "quantity", "amount")}
    is_return = event == "return"
    quantity = F.when(is_return, F.abs(given["quantity"])).otherwise(given["quantity"])
    price = F.when(is_return, F.abs(given["price"])).otherwise(given["price"])
    amount = F.abs(given["amount"])
    counted = F.when(event.isin("purchase", "return", "cart"), F.when(_is_blank("quantity"), 1.0).otherwise(quantity)).otherwise(
        quantity
    )
    return texts.select(
        identifier(F.col("user_id")).alias("user_id"),
        identifier(F.col("product_id")).alias("product_id"),
        event.alias("event"),
        F.col("event").alias("_event"),
        "event_ts",
        F.to_date(F.from_utc_timestamp("event_ts", config.shop.time_zone)).alias("event_date"),
        "_time",
        price.alias("price"),
        F.col("price").alias("_price"),
        counted.alias("quantity"),
        F.col("quantity").alias("_quantity"),
        F.coalesce(amount, price * F.coalesce(quantity, F.lit(1.0))).alias("amount"),
        amount.alias("_amount_given"),
        F.col("amount").alias("_amount"),
        identifier(F.col("order_id")).alias("order_id"),
        identifier(F.col("session_id")).alias("session_id"),
        identifier(F.col("category")).alias("category"),
        F.trim("product_name").alias("product_name"),
        "_arrival",
        "ingested_ts",
        _known(source).alias("known_ts"),
        F.lit(source.name).alias("source"),
        F.col(FILE).alias("source_file"),
        "_own",
        ARRIVED,
        CORRUPT,
    )


def _known(source: SourceConfig) -> Column:
    """When a row could be acted upon: its arrival, else the declared delay after it happened; never before it happened."""
    late = F.col("event_ts") + F.expr(f"INTERVAL {source.time.delay_minutes} MINUTES")
    return F.when(F.col("ingested_ts").isNull(), late).otherwise(F.greatest("event_ts", "ingested_ts"))


def _is_blank(text: str) -> Column:
    return F.coalesce(F.trim(text), F.lit("")) == ""


def _event(source: SourceConfig) -> Column:
    if source.event:
        return F.lit(source.event)
    known = source.event_types or {event: event for event in EVENT_TYPES}
    result = F.lit(None).cast("string")
    for value, event in known.items():
        result = F.when(F.trim("event") == value.strip(), event).otherwise(result)
    return result


_JUDGED_BY = ("_arrival", "_amount", "_own", ARRIVED, CORRUPT)  # nobody asks for them afterwards


def _judged(typed: DataFrame, source: SourceConfig, config: Config) -> DataFrame:
    col, rules = F.col, config.quality
    found = [
        quality.missing(col("user_id"), "user"),
        quality.missing(col("product_id"), "product"),
        quality.missing(F.when(F.trim("_time") != "", col("_time")), "time"),
        quality.unparsable(col("_time"), col("event_ts"), "time"),
        *quality.outside(col("event_ts"), col(ARRIVED), rules),
        quality.unparsable(col("_arrival"), col("ingested_ts"), "arrival"),
        quality.unknown_event(col("_event"), col("event")),
        quality.unparsable(col("_price"), col("price"), "price"),
        quality.unparsable(col("_quantity"), col("quantity"), "quantity"),
        quality.unparsable(col("_amount"), col("_amount_given"), "amount"),
        quality.not_finite(col("_amount_given"), "amount"),
        quality.taken_back(col("event"), col("_amount").cast("double")),
        *quality.amounts(col("event"), col("price"), col("quantity"), rules),
    ]
    cut = quality.corrupt(CORRUPT)
    every = F.concat(quality.reasons(*found), col("_own"))
    if IGNORED in source.event_types.values():  # nothing is asked of such rows
        every = F.when(is_ignored(), F.array().cast("array<string>")).otherwise(every)
    # a line that is cut off has every other fault as well: one reason says it
    every = F.when(cut.isNotNull(), F.array(cut)).otherwise(every)
    # the price of a piece where the log has the line's amount alone: judged is what the log says
    amount, pieces = col("_amount_given"), col("quantity")
    told = F.coalesce("price", F.when((pieces > 0) & (amount > 0), amount / pieces)).alias("price")
    kept = (told if c == "price" else F.col(c) for c in typed.columns if c not in _JUDGED_BY)
    return typed.select(*kept, every.alias("reasons"))


def with_id(events: DataFrame) -> DataFrame:
    """Put event_id in the place of _amount_given: equal for rows that say the same thing, whichever file they came in.

    An amount that the log gives tells order lines apart; one that was worked out says nothing more than price and quantity.
    """
    said = (F.coalesce(F.col(c).cast("string"), F.lit("\u0002")) for c in IDENTITY)
    given = F.col("_amount_given").cast("string")  # a null is left out: without an amount the id is that of the rest
    return events.withColumn("event_id", F.md5(F.concat_ws("\u0001", *said, given))).drop("_amount_given")
