"""What is wrong with the sources, found without Spark: each problem one line that says what, where and what to do."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path

from propensity_spark.config import Config, EntityConfig, ListedConfig, SeriesConfig, SourceConfig
from propensity_spark.config.places import is_remote
from propensity_spark.errors import SourceError
from propensity_spark.ingest import timeforms
from propensity_spark.ingest.heads import expand
from propensity_spark.ingest.numbers import in_sql, no_numbers, remedy
from propensity_spark.ingest.samples import DAMAGE, Layout, columns, heeded, keys, layout_of, many, nested
from propensity_spark.schemas import TABLES

_SEPARATORS = (",", ";", "\t", "|")
_PARTED = 4  # folders up to which the files of a partitioned table are looked for
_MAY_BE_NESTED = {"name", "map.product_name", "category", "map.category", "attributes", "values"}  # kept as text
_SIGNS = set("[]{}*?\\")  # of a glob
PROVES = 20  # values of a log that are no numbers
NUMBERS = ("price", "quantity", "amount")


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


def _of_source(source: SourceConfig) -> Iterator[str]:
    where = f"sources.{source.name}"
    wanted = [(f"map.{part.name}", getattr(source.map, part.name)) for part in fields(source.map)]
    told = list(_of_files(layout_of(source, where), source.path, wanted, may_be_empty=source.gone == "keep"))
    yield from told
    if not told:
        yield from _of_times(source)
        for part in NUMBERS:
            yield from _of_numbers(f"{where}.map.{part}", source, getattr(source.map, part), PROVES)


def _of_times(source: SourceConfig) -> Iterator[str]:
    """Times that do not read as time.format says: a log whose every row would be refused, or of which the days would be months."""
    column, form = source.map.event_ts, source.time.format
    where = f"sources.{source.name}.time.format"
    file, values = heeded(source, column)
    proof = timeforms.misfit(form, values)
    if proof:
        better = timeforms.recognise(values)
        mend = f"set time.format to {better!r}" if better else "set time.format to the pattern in which they are written"
        yield f"{where}: no time in {file} reads as {form!r}, for one {proof!r} of {column}; {mend}"
    elif proof := timeforms.contradiction(form, many(source, column) if timeforms.undecided(form, values) else values):
        better = timeforms.swapped(form)
        yield f"{where}: {proof!r} of {column} is no {form!r}: day and month are the other way round; set time.format to {better!r}"


def _of_entity(name: str, entity: EntityConfig) -> Iterator[str]:
    wanted = [(part, getattr(entity, part)) for part in ("id", "name", "category", "price", "valid_from", "known")]
    wanted += [("attributes", attribute) for attribute in entity.attributes]
    told = list(_of_files(layout_of(entity, name), entity.path, wanted))
    yield from told or _of_numbers(f"{name}.price", entity, entity.price)


def _of_numbers(where: str, table: SourceConfig | ListedConfig, column: str, least: int = 1) -> Iterator[str]:
    """A column of which no value is a number: rows of a log would all be refused, the prices of a table all be left out."""
    file, values = heeded(table, column)
    told = [value for value in values if value.strip()]
    odd = no_numbers(told)
    if len(odd) >= least and len(odd) == len(told):
        part = where.rsplit(".", 1)[-1]
        yield f"{where}: no {column} in {file} is a number, for one {odd[0]!r}; {remedy(part, column, told)}"


def _of_series(series: SeriesConfig) -> Iterator[str]:
    where, members = f"series.{series.name}", series.members
    wanted = [(part, getattr(series, part)) for part in ("day", "until", "region", "campaign", "known")]
    wanted += [("values", column) for column in series.measured.values()]
    yield from _of_files(layout_of(series, where), series.path, wanted)
    wanted = [(part, getattr(members, part)) for part in ("campaign", "user", "day", "until", "known")]
    yield from _of_files(layout_of(members, f"{where}.members"), members.path, wanted)


def _of_files(
    layout: Layout, patterns: tuple[str, ...], wanted: Iterable[tuple[str, str]], may_be_empty: bool = False
) -> Iterator[str]:
    """Problems of the files, and of the columns `wanted`, each with the setting that names it."""
    named: dict[str, list[str]] = {}
    for setting, column in wanted:
        if column and not column.startswith("="):
            named.setdefault(column, []).append(setting)
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
        elif odd := [file for file in files if ":" in file.name or set(os.path.abspath(file)) & _SIGNS]:
            signs = " ".join(sorted(_SIGNS | {":"}))
            yield f"{layout.where}.path: {odd[0].absolute()}: Spark takes {signs} in a path for signs; rename the file or folder"
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


def _of_columns(layout: Layout, files: list[Path], named: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Problems of columns, given with the settings that name them."""
    where, delimiter, file = layout.where, layout.delimiter, files[0]
    try:
        found = columns(layout, file)
        is_cut = False
        if layout.format == "json" and not set(named) <= set(found):
            found, is_cut = keys(files, layout.encoding, named)
    except DAMAGE as problem:
        yield f"{where}: {file} cannot be read as {layout.format}: {problem}"
        return
    if layout.format == "csv" and len(found) == 1 and (other := _other_separator(found[0], delimiter)):
        yield f"{where}.delimiter: {file} seems to be separated by {other!r}, not {delimiter!r}; set delimiter"
        return
    for column, settings in named.items():
        if column not in found:
            yield f"{where}.{settings[0]}: {_missing(layout, file, column, found, is_cut)}"
        elif (plain := [setting for setting in settings if setting not in _MAY_BE_NESTED]) and (
            value := nested(layout, file, column)
        ):
            yield f"{where}.{plain[0]}: {column} of {file} {_parted(column, value)}"


def _missing(layout: Layout, file: Path, column: str, found: Sequence[str], is_cut: bool) -> str:
    """What is said of a column that a file has not, or more than once."""
    again = [name for place, name in enumerate(found) if name.lower() == f"{column}{place}".lower()]
    if layout.format == "csv" and len(again) > 1:
        meant = f"rename them there, or map the one that is meant: {' or '.join(again)}"
        return f"{file} has {len(again)} columns {column!r}, case aside; {meant}"
    close = get_close_matches(column, found, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    later = f", as far as it was read (does it come later? say '= {column}')" if is_cut else ""
    return f"{file} has no column {column!r}{later}{hint} It has: {', '.join(found)}"


def _parted(column: str, value: object) -> str:
    """What is said of a column of objects or lists."""
    if not isinstance(value, dict):
        return "holds lists; a log has a row for each product of an order: write these first"
    return f"holds objects; say which part is meant, such as \"= get_json_object({in_sql(column)}, '$.{next(iter(value), 'id')}')\""


def _other_separator(first: str, delimiter: str) -> str:
    return next((s for s in _SEPARATORS if s != delimiter and s in first), "")
