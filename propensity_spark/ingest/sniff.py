"""What a sample file of a shop seems to hold: format, separator, which column plays which part, how times are written."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from propensity_spark.errors import SourceError
from propensity_spark.ingest.preflight import head

_LINES = 2000
_PARTS = {  # part -> words by which shops call it, the likeliest first
    "user_id": (
        "user_id",
        "userid",
        "customer_id",
        "customerid",
        "customer",
        "visitor",
        "user",
        "household_id",
        "client",
        "member",
    ),
    "product_id": ("product_id", "productid", "item_id", "itemid", "sku", "stockcode", "article", "item", "product"),
    "event_ts": (
        "event_time",
        "timestamp",
        "event_ts",
        "datetime",
        "ordered_at",
        "invoicedate",
        "created_at",
        "time",
        "date",
        "ts",
    ),
    "event": ("event_type", "eventtype", "behaviour", "behavior", "action", "event", "status", "type"),
    "price": ("unit_price", "unitprice", "price"),
    "quantity": ("quantity", "qty", "pieces", "count"),
    "order_id": ("order_id", "orderid", "invoiceno", "invoice", "transaction_id", "basket_id", "order"),
    "session_id": ("user_session", "session_id", "sessionid", "session", "visit_id", "visit"),
    "category": ("category_id", "category_code", "category"),
    "product_name": ("product_name", "description", "title", "name"),
}
_EVENTS = {
    "view": ("view", "pv", "page_view", "detail", "click"),
    "cart": ("cart", "add_to_cart", "addtocart", "basket", "add"),
    "favourite": ("fav", "favourite", "favorite", "wishlist", "like"),
    "purchase": ("purchase", "buy", "order", "transaction", "sale", "bought"),
    "return": ("return", "refund", "cancel", "cancelled"),
}
_PATTERNS = (
    (r"\d{10}", "epoch_s"),
    (r"\d{13}", "epoch_ms"),
    (r"\d{4}-\d{2}-\d{2}.*", "iso"),
    (r"\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}:\d{2}", "dd.MM.yyyy HH:mm:ss"),
    (r"\d{2}/\d{2}/\d{4} \d{2}:\d{2}:\d{2}", "dd/MM/yyyy HH:mm:ss"),
    (r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}", "d/M/yyyy H:mm"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sniffed:
    """A guess about one file. `parts`: part -> column; `events`: value of the event column -> event type or ''."""

    file: Path
    format: str
    delimiter: str
    columns: tuple[str, ...]
    parts: Mapping[str, str]
    events: Mapping[str, str]
    time_format: str

    @property
    def missing(self) -> list[str]:
        """The parts that every log needs and for which no column was recognised."""
        return [part for part in ("user_id", "product_id", "event_ts") if part not in self.parts]


def sniff(file: Path) -> Sniffed:
    """Look at the first lines of a CSV or JSON lines file, or at a Parquet file.

    Raises SourceError where the file is absent, empty or none of these.
    """
    if not file.is_file() or not file.stat().st_size:
        raise SourceError(f"{file} does not exist or is empty; give a sample of your log (CSV, JSON lines or Parquet)")
    try:
        form, delimiter, rows = _rows(file)
    except (OSError, ValueError, csv.Error) as problem:
        raise SourceError(f"{file} cannot be read as CSV, JSON lines or Parquet: {problem}") from None
    if not rows:
        raise SourceError(f"{file} holds a header and no rows; give a sample with rows")
    columns = tuple(rows[0])
    parts = _assign(columns)
    events = {v: _event(v) for v in sorted({row[parts["event"]] for row in rows})} if "event" in parts else {}
    times = [row[parts["event_ts"]] for row in rows] if "event_ts" in parts else []
    return Sniffed(
        file=file, format=form, delimiter=delimiter, columns=columns, parts=parts, events=events, time_format=_time(times)
    )


def _rows(file: Path) -> tuple[str, str, list[dict[str, str]]]:
    if file.suffix == ".parquet":
        import pyarrow.parquet

        table = next(pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=_LINES))
        return "parquet", ",", [{k: str(v) for k, v in row.items()} for row in table.to_pylist()]
    lines = head(file, _LINES)
    if lines and lines[0].lstrip().startswith("{"):
        return "json", ",", [{k: str(v) for k, v in json.loads(line).items()} for line in lines[:-1] or lines]
    delimiter = max((",", ";", "\t", "|"), key=lambda mark: lines[0].count(mark)) if lines else ","
    return "csv", delimiter, [{k: v or "" for k, v in row.items() if k} for row in csv.DictReader(lines, delimiter=delimiter)]


def _assign(columns: Sequence[str]) -> dict[str, str]:
    """The best column of each part; a column plays one part."""
    found: dict[str, str] = {}
    plain = {column: re.sub(r"[^a-z]+", "_", column.lower()).strip("_") for column in columns}
    for exact in (True, False):
        for part, words in _PARTS.items():
            free = [c for c in columns if c not in found.values()]
            fits = (c for word in words for c in free if (plain[c] == word if exact else word in plain[c].split("_")))
            if part not in found and (column := next(fits, None)):
                found[part] = column
    return found


def _event(value: str) -> str:
    plain = value.strip().lower().replace("-", "_").replace(" ", "_")
    return next((event for event, words in _EVENTS.items() if plain in words), "")


def _time(values: Sequence[str]) -> str:
    for pattern, name in _PATTERNS:
        if values and all(re.fullmatch(pattern, value.strip()) for value in values if value.strip()):
            return name
    return "iso"
