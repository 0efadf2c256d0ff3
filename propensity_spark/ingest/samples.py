"""What stands in the first rows of a source or a table of the shop's, read without Spark."""

import csv
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from propensity_spark.config import ListedConfig, SourceConfig
from propensity_spark.config.places import is_remote
from propensity_spark.ingest.heads import apart, as_object, expand, first_rows, head, lines_of
from propensity_spark.schemas import IGNORED

DAMAGE = (OSError, EOFError, ValueError, OverflowError, zlib.error, csv.Error)  # OverflowError: of a date that Python has not
_Of = TypeVar("_Of")
_HEAD_LINES = 20
_ROWS = 2000
_MANY_ROWS, _MANY_FILES = 100_000, 50  # where those leave something open
_OF_A_FILE, _OF_ALL_FILES = 10_000_000, 100_000_000  # characters of JSON in which keys are looked for before they are missed


@dataclass(frozen=True, slots=True)
class Layout:
    """How files are laid out, of a source or an entity table alike, and where the configuration says so."""

    where: str
    format: str
    delimiter: str
    header: bool
    columns: tuple[str, ...]
    encoding: str


def layout_of(table: SourceConfig | ListedConfig, where: str = "") -> Layout:
    """The layout of a log or a table; `where` begins its settings' names."""
    named = table.columns if isinstance(table, SourceConfig) else ()
    return Layout(where, table.format, table.delimiter, table.header, named, table.encoding)


def sample(table: SourceConfig | ListedConfig, column: str) -> tuple[Path | None, list[str]]:
    """What a column holds in the first rows of the table's first file, as text; no file and nothing where only Spark can tell."""
    return _first(table, lambda file: _values(layout_of(table), file, column, _ROWS), column)


def heeded(table: SourceConfig | ListedConfig, column: str) -> tuple[Path | None, list[str]]:
    """The same without rows of a log whose event is ignored."""
    events = table.event_types if isinstance(table, SourceConfig) else {}
    ignored = {value.strip() for value, event in events.items() if event == IGNORED}
    if not isinstance(table, SourceConfig) or not ignored or table.map.event.startswith("="):
        return sample(table, column)
    file, rows = side_by_side(table, (column, table.map.event))
    return file, [value for value, event in rows if event.strip() not in ignored]


def side_by_side(table: SourceConfig | ListedConfig, named: Sequence[str]) -> tuple[Path | None, list[tuple[str, ...]]]:
    """What several columns hold in the first rows, blank where they hold nothing; nothing where one is no column of the table."""
    if not all(named) or any(column.startswith("=") for column in named):
        return None, []

    def rows(file: Path) -> list[tuple[str, ...]]:
        held = (_values(layout_of(table), file, column, _ROWS, with_blanks=True) for column in named)
        return list(zip(*held, strict=True))

    return _first(table, rows, named[0])


def _first(table: SourceConfig | ListedConfig, values: Callable[[Path], list[_Of]], column: str) -> tuple[Path | None, list[_Of]]:
    """What the table's first file holds of a column that is one of its own."""
    files = _local(table) if column and not column.startswith("=") else []
    try:
        return (files[0], values(files[0])) if files else (None, [])
    except DAMAGE:
        return None, []  # damage further down: such rows are for quarantine


def many(source: SourceConfig, column: str) -> list[str]:
    """What a column holds in many rows of files from all over the source, as text."""
    files = _local(source)
    spread = files[:: -(-len(files) // _MANY_FILES)]
    found: list[str] = []
    for file in spread:
        with suppress(*DAMAGE):
            found += _values(layout_of(source), file, column, max(_MANY_ROWS // len(spread), _ROWS))
    return found


def _local(table: SourceConfig | ListedConfig) -> list[Path]:
    """The files that can be looked at without Spark."""
    return [] if table.format == "delta" else [file for path in table.path if not is_remote(path) for file in expand((path,))]


def _values(layout: Layout, file: Path, column: str, most: int, with_blanks: bool = False) -> list[str]:
    """A column's values in the first rows, as text; of typed rows those that are there, or '' in place of others."""
    if layout.format == "parquet":
        import pyarrow.parquet

        first = next(pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=most, columns=[column]), None)
        cells = first.column(0).to_pylist() if first is not None and first.num_columns else []
        return ["" if value is None else text_of(value) for value in cells if with_blanks or value is not None]
    if layout.format == "json":
        found = (row.get(column) for row in first_rows("json", file, most, layout.encoding))
        return ["" if value is None else text_of(value) for value in found if with_blanks or value is not None]
    lines = [line for line in head(file, most, layout.encoding) if line.strip()]
    place = columns(layout, file).index(column)
    rows = csv.reader(lines[1:] if layout.header else lines, delimiter=layout.delimiter)
    return [row[place] if place < len(row) else "" for row in rows if row]


def text_of(value: object) -> str:
    """A typed value as text, as bronze has it: an instant of Parquet, a truth value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return str(value)


def nested(layout: Layout, file: Path, column: str) -> object:
    """The first object or list that a column holds in the first rows; None where there is none."""
    if layout.format == "csv":
        return None
    try:
        rows = first_rows(layout.format, file, _HEAD_LINES, layout.encoding, [column])
    except DAMAGE:
        return None
    return next((row[column] for row in rows if isinstance(row.get(column), dict | list) and row[column]), None)


def columns(layout: Layout, file: Path) -> list[str]:
    """The columns of a file. Raises one of DAMAGE where it cannot be read."""
    if layout.format == "parquet":
        import pyarrow.parquet

        return list(pyarrow.parquet.read_schema(file).names)
    lines = [line for line in head(file, _HEAD_LINES, layout.encoding) if line.strip()]
    if not lines:
        raise ValueError("it holds no rows")
    if layout.format == "json":
        return list(dict.fromkeys(key for line in lines[:-1] or lines for key in as_object(line)))
    first = next(csv.reader([lines[0]], delimiter=layout.delimiter))
    if layout.header:
        return list(apart(first))
    if not layout.columns:  # a users or products table: its columns are called as Spark calls them
        return list(apart([""] * len(first)))
    if len(first) != len(layout.columns):
        raise ValueError(f"its first row has {len(first)} fields, `columns` names {len(layout.columns)}")
    return list(apart(layout.columns))


def keys(files: Iterable[Path], encoding: str, named: Iterable[str]) -> tuple[list[str], bool]:
    """The keys of the files' lines of JSON, as far as it takes to meet those named; and whether some lines were left unread.

    A log of views and orders may begin with many views. Lines that cannot be read are for quarantine, as they are everywhere.
    """
    found: dict[str, None] = {}
    left, whole = _OF_ALL_FILES, True
    for file in files:
        least = max(left - _OF_A_FILE, 0)
        for line in lines_of(file, encoding, "replace"):
            if left <= least:
                whole = False
                break
            left -= len(line)
            with suppress(ValueError):
                found |= dict.fromkeys(as_object(line))
            if found.keys() >= set(named):
                return list(found), False
    return list(found), not whole
