"""What a sample file of a shop seems to hold: format, separator, which column plays which part, how times are written."""

import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from propensity_spark.errors import SourceError
from propensity_spark.ingest import timeforms
from propensity_spark.ingest.heads import apart, first_rows, head, is_array
from propensity_spark.ingest.numbers import expression, is_below_zero
from propensity_spark.ingest.samples import DAMAGE, text_of

_UTF_8, _WESTERN = "UTF-8", "windows-1252"
_LINES = 2000
_MANY_LINES = 100_000  # where fewer leave it open whether the day or the month comes first


def _words(*lines: str) -> tuple[str, ...]:
    return tuple(" ".join(lines).split())


_PARTS = {  # part -> words by which shops call it, in some of their languages, the likeliest first
    "user_id": _words(
        "user_id userid customer_id customerid customer visitor user household_id client member",
        "kunde kunden kundennummer kundennr nutzer benutzer cliente usuario utilisateur",
    ),
    "product_id": _words(
        "product_id productid item_id itemid sku stockcode article item product",
        "artikel artikelnummer artikelnr produkt articulo producto produit",
    ),
    "event_ts": _words(
        "event_time timestamp event_ts datetime ordered_at invoicedate created_at time date ts epoch unixtime millis ms",
        "zeitpunkt zeitstempel bestellzeit bestelldatum zeit datum fecha horodatage",
    ),
    "event": _words("event_type eventtype behaviour behavior action event status type ereignis aktion evento evenement"),
    "price": _words("unit_price unitprice price stuckpreis einzelpreis preis precio prix"),
    "quantity": _words("quantity qty pieces count menge anzahl cantidad quantite"),
    "amount": _words("line_total linetotal line_amount sales_value amount", "zeilensumme betrag montant importe"),
    "order_id": _words(
        "order_id orderid invoiceno invoice transaction_id basket_id order",
        "bestellnr bestellnummer bestellung rechnung pedido commande",
    ),
    "session_id": _words("user_session session_id sessionid session visit_id visit sitzung besuch sesion"),
    "category": _words("category_id category_code category kategorie warengruppe categoria categorie"),
    "product_name": _words("product_name description title name bezeichnung nombre libelle"),
    "ingested_ts": _words("ingested_ts ingested_at loaded_at received_at inserted_at arrived_at load_time ingestion_time"),
}
_EVENTS = {
    "view": _words("view pv page_view product_view detail click aufruf ansicht vue vista"),
    "cart": _words("cart add_to_cart addtocart basket add warenkorb panier carrito"),
    "favourite": _words("fav favourite favorite wishlist like merkliste"),
    "purchase": _words(
        "purchase buy order ordered transaction sale bought paid completed shipped", "kauf bestellt bezahlt achat compra"
    ),
    "return": _words("return returned refund refunded cancel canceled cancelled storno storniert retoure"),
}
# of a table: its key, and the parts that only a log has beside it
ENTITIES = {"products": ("product_id", ("user_id",)), "users": ("user_id", ("product_id", "order_id", "session_id"))}
_FEW = 20  # values of a column that may name event types
_DESCRIBES = 200  # values of a column that may describe users or products, each met twice or more on average


@dataclass(frozen=True, slots=True, kw_only=True)
class Sniffed:
    """A guess about one file. `parts`: part -> column; `events`: value of the event column -> event type or ''.

    `other_time_format`: with day and month swapped, where the times are written so just as well.
    `entity`: users or products, where the file is a table of them and no log; `describing`: the columns that may describe them.
    `nested`: the columns that hold objects or lists. `numbers`: part -> SQL that reads its numbers, where Spark would not.
    `has_returns`: rows without a type of event have quantities below 0. `more`: further files of the same make.
    """

    file: Path
    format: str
    delimiter: str
    columns: tuple[str, ...]
    parts: Mapping[str, str]
    events: Mapping[str, str]
    time_format: str
    other_time_format: str = ""
    encoding: str = _UTF_8
    entity: str = ""
    describing: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)
    has_returns: bool = False
    more: tuple[Path, ...] = ()

    @property
    def missing(self) -> list[str]:
        """The parts that every log needs and for which no column was recognised."""
        return [part for part in ("user_id", "product_id", "event_ts") if part not in self.parts]


def sniff(file: Path) -> Sniffed:
    """Look at the first lines of a CSV or JSON lines file, or at a Parquet file.

    Raises SourceError where the file is absent, empty or none of these.
    """
    if file.is_dir():
        raise SourceError(f"{file} is a folder; give one file of it, and name the folder in the YAML that is written")
    if not file.is_file() or not file.stat().st_size:
        raise SourceError(f"{file} does not exist or is empty; give a sample of your log (CSV, JSON lines or Parquet)")
    try:
        encoding = _encoding(file)
        form, delimiter, read = _rows(file, _LINES, encoding)
    except DAMAGE as problem:
        raise SourceError(f"{file} cannot be read as CSV, JSON lines or Parquet: {problem}") from None
    rows = _filled(read)
    if not rows:
        raise SourceError(f"{file} holds a header and no rows; give a sample with rows")
    columns = tuple(rows[0])
    nested = {column: value for row in read for column, value in row.items() if isinstance(value, dict | list)}
    parts = _by_values(_assign([column for column in columns if column not in nested]), rows)
    if "event_ts" not in parts and "ingested_ts" in parts:  # the only time there is
        parts["event_ts"] = parts.pop("ingested_ts")
    said = {value for row in rows if (value := row[parts["event"]].strip())} if "event" in parts else set()
    events = {value: event_of(value) for value in sorted(said)}
    time_format, other = _time_format(file, parts["event_ts"], rows, encoding) if "event_ts" in parts else ("iso", "")
    return Sniffed(
        file=file,
        format=form,
        delimiter=delimiter,
        encoding=encoding,
        columns=columns,
        parts=parts,
        events=events,
        time_format=time_format,
        other_time_format=other,
        entity=_entity(parts, rows),
        describing=_describing(parts, rows),
        nested=tuple(nested),
        numbers=_numbers(parts, rows),
        has_returns="event" not in parts and any(is_below_zero(row[parts["quantity"]]) for row in rows if "quantity" in parts),
    )


def _encoding(file: Path) -> str:
    """UTF-8, or where the first lines are none Western Windows, as Excel saves a CSV. Raises ValueError where it is neither."""
    if file.suffix == ".parquet":
        return _UTF_8
    try:
        head(file, _LINES)
    except ValueError as problem:
        lines = head(file, _LINES, _WESTERN)
        if "\0" in lines[0] or lines[0].startswith(("{", "[")):  # UTF-16; and lines of JSON are read as UTF-8 alone
            raise ValueError("it is not UTF-8 text; save it so") from problem
        return _WESTERN
    return _UTF_8


def _rows(file: Path, most: int, encoding: str) -> tuple[str, str, Sequence[Mapping[str, object]]]:
    """The format, the separator and the first rows."""
    if file.suffix == ".parquet":
        return "parquet", ",", first_rows("parquet", file, most)
    lines = [line for line in head(file, most, encoding) if line.strip()]
    if lines and (lines[0].lstrip().startswith("{") or is_array(lines[0])):
        return "json", ",", first_rows("json", file, most, encoding)
    delimiter = max((",", ";", "\t", "|"), key=lambda mark: lines[0].count(mark)) if lines else ","
    return "csv", delimiter, _of_csv(csv.reader(lines, delimiter=delimiter))


def _of_csv(lines: Iterator[list[str]]) -> list[dict[str, str]]:
    """The rows by their header; a column without a name is left out."""
    header = next(lines, [])
    named = [(place, name) for place, name in enumerate(apart(header)) if header[place]]
    return [{name: row[place] if place < len(row) else "" for place, name in named} for row in lines if row]


def _time_format(file: Path, column: str, rows: Sequence[Mapping[str, str]], encoding: str) -> tuple[str, str]:
    """How the times are written, and how else they may be: the day comes first unless one above 12 stands in the second place."""
    times = [row[column] for row in rows]
    form = timeforms.recognise(times) or "iso"
    if timeforms.undecided(form, times):
        with suppress(*DAMAGE):  # further down
            times = [row.get(column, "") for row in _filled(_rows(file, _MANY_LINES, encoding)[2])]
        form = timeforms.swapped(form) if timeforms.contradiction(form, times) else form
    return form, timeforms.undecided(form, times)


def _filled(rows: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """The rows as text, each with every column that any of them has; blank where it says nothing."""
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{c: "" if row.get(c) is None else text_of(row[c]) for c in columns} for row in rows]


def _assign(columns: Sequence[str]) -> dict[str, str]:
    """The best column of each part; a column plays one part."""
    found: dict[str, str] = {}
    plain = {column: _plain(column) for column in columns}
    for exact in (True, False):
        for part, words in _PARTS.items():
            free = [c for c in columns if c not in found.values()]
            fits = (
                c for word in words for c in free if (_joined(plain[c]) == _joined(word) if exact else word in plain[c].split("_"))
            )
            if part not in found and (column := next(fits, None)):
                found[part] = column
    return found


def _joined(word: str) -> str:
    return word.replace("_", "")


def _plain(column: str) -> str:
    """A column's name in small letters without accents; a step from small to capital parts words."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column) if not column.isupper() else column
    bare = unicodedata.normalize("NFKD", parted).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z]+", "_", bare).strip("_")


def _by_values(found: dict[str, str], rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Name the columns of time and event by what they hold, where their names say nothing and one column alone will do."""
    values = {column: [row[column] for row in rows] for column in rows[0] if column not in found.values()}
    looks = {
        "event_ts": [column for column, held in values.items() if timeforms.is_surely_time(held)],
        "event": [column for column, held in values.items() if len(set(held)) <= _FEW and any(map(event_of, held))],
    }
    return found | {part: columns[0] for part, columns in looks.items() if part not in found and len(columns) == 1}


def _entity(found: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> str:
    """Of what the file has one row each: users or products; '' for a log, which meets them again and again."""
    for entity, (key, of_a_log) in ENTITIES.items():
        if key in found and not any(part in found for part in of_a_log):
            ids = [row[found[key]] for row in rows]
            return entity if len(set(ids)) == len(ids) > 1 else ""
    return ""


def _describing(found: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The columns that hold few values and are neither a key nor what a table of products has a place for."""
    placed = {found.get(part) for part in ("user_id", "product_id", "product_name", "category", "price")}
    values = {column: {row[column] for row in rows} for column in rows[0] if column not in placed}
    return tuple(column for column, held in values.items() if 1 < len(held) <= min(_DESCRIBES, len(rows) // 2))


def _numbers(found: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """How the numbers are read that are written as 12,50 or with a currency."""
    columns = {part: found[part] for part in ("price", "quantity", "amount") if part in found}
    return {part: made for part, column in columns.items() if (made := expression(column, [row[column] for row in rows]))}


def event_of(value: str) -> str:
    """The event type that a shop calls so; '' where none is known."""
    plain = re.sub(r"[-_ ]", "", value.strip().lower())
    return next((event for event, words in _EVENTS.items() if plain in map(_joined, words)), "")
