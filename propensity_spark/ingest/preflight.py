"""What is wrong with the sources, found without Spark: each problem one line that says what, where and what to do."""

import csv
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from propensity_spark.config import Config, EntityConfig, ListedConfig, SeriesConfig, SourceConfig
from propensity_spark.config.places import is_remote
from propensity_spark.errors import SourceError
from propensity_spark.ingest import timeforms
from propensity_spark.ingest.heads import apart, as_object, expand, head, lines_of
from propensity_spark.schemas import TABLES

_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE_LINES = 20
_PARTED = 4  # folders up to which the files of a partitioned table are looked for
_SAMPLE_ROWS = 2000  # whose times are looked at
_MANY_ROWS, _MANY_FILES = 100_000, 50  # where those leave it open whether the day or the month comes first
_OF_A_FILE, _OF_ALL_FILES = 10_000_000, 100_000_000  # characters of JSON in which keys are looked for before they are missed
_DAMAGE = (OSError, EOFError, ValueError, zlib.error, csv.Error)


def check(config: Config) -> None:
    """Raise SourceError with the first problem (and how many more there are)."""
    found = problems(config)
    if found:
        more = f" ({len(found) - 1} more: see `propensity check`)" if len(found) > 1 else ""
        raise SourceError(found[0] + more)


def problems(config: Config) -> list[str]:
    """Everything wrong with the sources and entity tables that can be seen from files and headers."""
    if not config.sources:
        return ["no sources: add a `sources:` list to the configuration, or write one with `propensity init SAMPLE`"]
    found = [*_of_own_tables(config), *(problem for source in config.sources for problem in _of_source(source))]
    for name, entity in (("users", config.users), ("products", config.products)):
        if entity.given:
            found += _of_entity(name, entity)
    return found + [problem for series in config.series for problem in _of_series(series)]


def _of_own_tables(config: Config) -> Iterator[str]:
    """Tables to be read that this package writes: a log would be received into itself."""
    series = {f"series.{one.name}": one for one in config.series} | {
        f"series.{one.name}.members": one.members for one in config.series
    }
    listed: dict[str, SourceConfig | ListedConfig] = {f"sources.{source.name}": source for source in config.sources}
    listed |= {"users": config.users, "products": config.products, **series}
    own = {f"bronze.{source.name}" for source in config.sources} | set(TABLES)
    for where, table in listed.items():
        if table.table.removeprefix(f"{config.storage.catalog}.") in own:
            yield f"{where}.table: {table.table} is a table that ingest writes itself; name the shop's own, in another schema"


@dataclass(frozen=True, slots=True)
class _Layout:
    """How files are laid out, of a source or an entity table alike, and where the configuration says so."""

    where: str
    format: str
    delimiter: str
    header: bool
    columns: tuple[str, ...]
    encoding: str


def _of_source(source: SourceConfig) -> Iterator[str]:
    wanted = [getattr(source.map, part.name) for part in fields(source.map)]
    told = list(_of_files(_layout(source, f"sources.{source.name}"), source.path, wanted, may_be_empty=source.gone == "keep"))
    yield from told or _of_times(source)


def _layout(table: SourceConfig | ListedConfig, where: str = "") -> _Layout:
    columns = table.columns if isinstance(table, SourceConfig) else ()
    return _Layout(where, table.format, table.delimiter, table.header, columns, table.encoding)


def _of_times(source: SourceConfig) -> Iterator[str]:
    """Times that do not read as time.format says: a log whose every row would be refused, or of which the days would be months."""
    column, form = source.map.event_ts, source.time.format
    where = f"sources.{source.name}.time.format"
    file, values = sample(source, column)
    proof = timeforms.misfit(form, values)
    if proof:
        better = timeforms.recognise(values)
        remedy = f"set time.format to {better!r}" if better else "set time.format to the pattern in which they are written"
        yield f"{where}: no time in {file} reads as {form!r}, for one {proof!r} of {column}; {remedy}"
    elif proof := timeforms.contradiction(form, _many(source, column) if timeforms.undecided(form, values) else values):
        better = timeforms.swapped(form)
        yield f"{where}: {proof!r} of {column} is no {form!r}: day and month are the other way round; set time.format to {better!r}"


def sample(table: SourceConfig | ListedConfig, column: str) -> tuple[Path | None, list[str]]:
    """What a column holds in the first rows of the table's first file, as text; no file and nothing where only Spark can tell."""
    files = _local(table) if column and not column.startswith("=") else []
    try:
        return (files[0], _values(_layout(table), files[0], column, _SAMPLE_ROWS)) if files else (None, [])
    except _DAMAGE:
        return None, []  # damage further down: such rows are for quarantine


def _many(source: SourceConfig, column: str) -> list[str]:
    """What a column holds in many rows of files from all over the source, as text."""
    files = _local(source)
    spread = files[:: -(-len(files) // _MANY_FILES)]
    found: list[str] = []
    for file in spread:
        with suppress(*_DAMAGE):
            found += _values(_layout(source), file, column, max(_MANY_ROWS // len(spread), _SAMPLE_ROWS))
    return found


def _local(table: SourceConfig | ListedConfig) -> list[Path]:
    """The files that can be looked at without Spark."""
    return [] if table.format == "delta" else [file for path in table.path if not is_remote(path) for file in expand((path,))]


def _values(layout: _Layout, file: Path, column: str, most: int) -> list[str]:
    """A column's values in the first rows, as text."""
    if layout.format == "parquet":
        import pyarrow.parquet

        first = next(pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=most, columns=[column]), None)
        cells = first.column(0).to_pylist() if first is not None and first.num_columns else []
        return [_text(value) for value in cells if value is not None]
    lines = [line for line in head(file, most, layout.encoding) if line.strip()]
    if layout.format == "json":
        found = (as_object(line).get(column) for line in lines[:-1] or lines)  # the last one may be cut off
        return [str(value) for value in found if value is not None]
    place = _columns(layout, file).index(column)
    rows = csv.reader(lines[1:] if layout.header else lines, delimiter=layout.delimiter)
    return [row[place] if place < len(row) else "" for row in rows if row]


def _text(value: object) -> str:
    """A value of Parquet as text; an instant as bronze has it."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return str(value)


def _of_entity(name: str, entity: EntityConfig) -> Iterator[str]:
    wanted = [entity.id, entity.name, entity.category, entity.price, *entity.attributes, entity.valid_from, entity.known]
    told = list(_of_files(_layout(entity, name), entity.path, wanted))
    yield from told or _of_prices(name, entity)


def _of_prices(name: str, entity: EntityConfig) -> Iterator[str]:
    """Prices of which none is a number: all would be left out."""
    file, values = sample(entity, entity.price)
    odd = no_numbers(values)
    if odd and len(odd) == sum(bool(value.strip()) for value in values):
        yield f"{name}.price: no {entity.price} in {file} is a number, for one {odd[0]!r}; {remedy_of_prices(entity.price, odd)}"


def no_numbers(values: Iterable[str]) -> list[str]:
    """Those that Spark would read no number from, blanks left out."""
    return [value for value in values if value.strip() and not _is_number(value)]


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return "_" not in text
    return False


def remedy_of_prices(column: str, values: Iterable[str]) -> str:
    """What to do about prices that are no numbers, as these are written."""
    if any("." in value and "," in value for value in values):
        return f"write 1234.50 for 1.234,50, or map price: \"= replace(replace({column}, '.', ''), ',', '.')\""
    return f"write 12.50 for 12,50, or map price: \"= replace({column}, ',', '.')\""


def _of_series(series: SeriesConfig) -> Iterator[str]:
    where, members = f"series.{series.name}", series.members
    wanted = [series.day, series.until, series.region, series.campaign, series.known, *series.measured.values()]
    yield from _of_files(_layout(series, where), series.path, wanted)
    wanted = [members.campaign, members.user, members.day, members.until, members.known]
    yield from _of_files(_layout(members, f"{where}.members"), members.path, wanted)


def _of_files(layout: _Layout, patterns: tuple[str, ...], wanted: list[str], may_be_empty: bool = False) -> Iterator[str]:
    named = [column for column in wanted if column and not column.startswith("=")]
    for pattern in patterns:
        if is_remote(pattern):
            continue
        files = expand((pattern,))
        if not files and may_be_empty:
            continue
        if not files:
            yield f"{layout.where}.path: nothing matches {pattern} (from {Path.cwd()}); correct the path or the glob"
        elif empty := [file for file in files if file.stat().st_size == 0]:
            yield f"{layout.where}.path: {empty[0]} is empty; remove it or fetch it again"
        elif layout.format != "delta" and (log := _delta_log(files[0])):
            yield (
                f"{layout.where}.path: {log.parent} is a Delta table, whose files hold removed rows as well; "
                "set format: delta and its folder as path"
            )
        elif layout.format != "delta":
            yield from _of_columns(layout, files, named)


def _delta_log(file: Path) -> Path | None:
    """The log of the Delta table that a file is a part of."""
    logs = (folder / "_delta_log" for folder in file.absolute().parents[:_PARTED])
    return next((log for log in logs if log.is_dir()), None)


def _of_columns(layout: _Layout, files: list[Path], named: list[str]) -> Iterator[str]:
    where, delimiter, file = layout.where, layout.delimiter, files[0]
    try:
        found = _columns(layout, file)
        is_cut = False
        if layout.format == "json" and not set(named) <= set(found):
            found, is_cut = _keys(files, layout.encoding, named)
    except _DAMAGE as problem:
        yield f"{where}: {file} cannot be read as {layout.format}: {problem}"
        return
    if layout.format == "csv" and len(found) == 1 and (other := _other_separator(found[0], delimiter)):
        yield f"{where}.delimiter: {file} seems to be separated by {other!r}, not {delimiter!r}; set delimiter"
        return
    for column in dict.fromkeys(named):
        again = [name for place, name in enumerate(found) if name.lower() == f"{column}{place}".lower()]
        if layout.format == "csv" and column not in found and len(again) > 1:
            meant = f"rename them there, or map the one that is meant: {' or '.join(again)}"
            yield f"{where}.map: {file} has {len(again)} columns {column!r}, case aside; {meant}"
        elif column not in found:
            close = get_close_matches(column, found, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            later = f", as far as it was read (does it come later? say '= {column}')" if is_cut else ""
            yield f"{where}.map: {file} has no column {column!r}{later}{hint} It has: {', '.join(found)}"


def _columns(layout: _Layout, file: Path) -> list[str]:
    if layout.format == "parquet":
        import pyarrow.parquet

        return list(pyarrow.parquet.read_schema(file).names)
    lines = [line for line in head(file, _SAMPLE_LINES, layout.encoding) if line.strip()]
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


def _keys(files: list[Path], encoding: str, named: list[str]) -> tuple[list[str], bool]:
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


def _other_separator(first: str, delimiter: str) -> str:
    return next((s for s in _SEPARATORS if s != delimiter and s in first), "")
