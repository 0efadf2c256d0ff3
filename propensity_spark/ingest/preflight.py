"""What is wrong with the sources, found without Spark: each problem one line that says what, where and what to do."""

import csv
import glob
import gzip
import json
from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from propensity_spark.config import Config, EntityConfig, SourceConfig
from propensity_spark.errors import SourceError

_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE_LINES = 20


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
    found = [problem for source in config.sources for problem in _of_source(source)]
    for name, entity in (("users", config.users), ("products", config.products)):
        if entity.given:
            found += _of_entity(name, entity)
    return found


def expand(patterns: tuple[str, ...]) -> list[Path]:
    """The files that paths, folders and globs name, in order; hidden and marker files (_SUCCESS) left out."""
    files: list[Path] = []
    for pattern in patterns:
        for name in sorted(glob.glob(pattern)):
            path = Path(name)
            inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            files += [p for p in inside if not p.name.startswith((".", "_")) and "_delta_log" not in p.parts]
    return files


def is_remote(path: str) -> bool:
    """Whether the path is for Spark's file systems only (s3://, dbfs:/...)."""
    return ":/" in path


def _of_source(source: SourceConfig) -> Iterator[str]:
    where = f"sources.{source.name}"
    wanted = [getattr(source.map, part.name) for part in fields(source.map)]
    named = [column for column in wanted if column and not column.startswith("=")]
    yield from _of_files(where, source.path, source.format, source.delimiter, source.header, source.columns, named)


def _of_entity(name: str, entity: EntityConfig) -> Iterator[str]:
    named = [c for c in (entity.id, entity.name, entity.category, entity.price, *entity.attributes) if c]
    named = [column for column in named if not column.startswith("=")]
    yield from _of_files(name, entity.path, entity.format, entity.delimiter, entity.header, (), named)


def _of_files(
    where: str,
    patterns: tuple[str, ...],
    form: str,
    delimiter: str,
    header: bool,
    columns: tuple[str, ...],
    named: list[str],
) -> Iterator[str]:
    for pattern in patterns:
        if is_remote(pattern):
            continue
        files = expand((pattern,))
        if not files:
            yield f"{where}.path: nothing matches {pattern} (from {Path.cwd()}); correct the path or the glob"
        elif empty := [file for file in files if file.stat().st_size == 0]:
            yield f"{where}.path: {empty[0]} is empty; remove it or fetch it again"
        elif form != "delta":
            yield from _of_columns(where, files[0], form, delimiter, header, columns, named)


def _of_columns(
    where: str, file: Path, form: str, delimiter: str, header: bool, columns: tuple[str, ...], named: list[str]
) -> Iterator[str]:
    try:
        found = _columns(file, form, delimiter, header, columns)
    except (OSError, EOFError, ValueError, UnicodeDecodeError) as problem:
        yield f"{where}: {file} cannot be read as {form}: {problem}"
        return
    if form == "csv" and len(found) == 1 and (other := _other_separator(found[0], delimiter)):
        yield f"{where}.delimiter: {file} seems to be separated by {other!r}, not {delimiter!r}; set delimiter"
        return
    for column in dict.fromkeys(named):
        if column not in found:
            close = get_close_matches(column, found, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            yield f"{where}.map: {file} has no column {column!r}{hint} It has: {', '.join(found)}"


def _columns(file: Path, form: str, delimiter: str, header: bool, columns: tuple[str, ...]) -> list[str]:
    if form == "parquet":
        import pyarrow.parquet

        return list(pyarrow.parquet.read_schema(file).names)
    lines = head(file, _SAMPLE_LINES)
    if not lines:
        raise ValueError("it holds no rows")
    if form == "json":
        return list(dict.fromkeys(key for line in lines[:-1] or lines for key in json.loads(line)))
    first = next(csv.reader([lines[0]], delimiter=delimiter))
    if header:
        return first
    if len(first) != len(columns):
        raise ValueError(f"its first row has {len(first)} fields, `columns` names {len(columns)}")
    return list(columns)


def head(file: Path, lines: int) -> list[str]:
    """The first lines of a text file, gzipped or not, without line ends and a byte order mark."""
    opened = gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8")
    with opened as text:
        try:
            return [line.rstrip("\r\n").lstrip("\ufeff") for line in islice(text, lines)]
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8 text; set encoding") from None


def _other_separator(first: str, delimiter: str) -> str:
    return next((s for s in _SEPARATORS if s != delimiter and s in first), "")
