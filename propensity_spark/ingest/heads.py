"""The files that a configuration names, and what stands at their heads, read without Spark."""

import codecs
import csv
import glob
import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from propensity_spark.errors import SourceError


def expand(patterns: tuple[str, ...]) -> list[Path]:
    """The files that paths, folders and globs (`**`: at any depth) name, in order, each once.

    Hidden and marker files (_SUCCESS) are left out, and what lies in such folders (_temporary, _delta_log).
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        named_in_full = len(Path(_fixed(pattern)).parts)
        for name in sorted(glob.glob(pattern, recursive=True)):
            path = Path(name)
            inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            files |= dict.fromkeys(p for p in inside if not _is_hidden(p, named_in_full))
    return list(files)


def _fixed(pattern: str) -> str:
    """The folder of a glob that no sign stands for; a path without signs as it is."""
    before = re.split(r"[*?\[]", pattern)[0]
    return pattern if before == pattern else os.path.dirname(before)


def _is_hidden(file: Path, named_in_full: int) -> bool:
    """Whether the file, or a folder of it that nobody named, is a mark or hidden."""
    return any(part.startswith((".", "_")) for part in (*file.parts[named_in_full:], file.name))


def head(file: Path, lines: int, encoding: str = "UTF-8") -> list[str]:
    """The first lines of a text file, gzipped or not, without line ends and a byte order mark."""
    return list(islice(lines_of(file, encoding), lines))


def lines_of(file: Path, encoding: str, errors: str = "strict") -> Iterator[str]:
    """The lines of a text file, gzipped or not, without line ends and a byte order mark; ValueError where it is no such text."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"there is no encoding {encoding!r}") from None
    unpacked = gzip.open if file.suffix == ".gz" else open
    with unpacked(file, "rt", encoding=encoding, errors=errors) as text:
        try:
            yield from (line.rstrip("\r\n").lstrip("\ufeff") for line in text)
        except UnicodeDecodeError:
            raise ValueError(f"it is not {encoding} text; set encoding") from None


def first_rows(
    form: str, file: Path, most: int, encoding: str = "UTF-8", columns: list[str] | None = None
) -> list[dict[str, object]]:
    """The first rows of a Parquet file (or these columns) or of JSON lines, of which the last one read may be cut off."""
    if form == "parquet":
        import pyarrow.parquet

        first = next(pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=most, columns=columns), None)
        return [] if first is None else first.to_pylist()
    lines = [line for line in head(file, most, encoding) if line.strip()]
    return [as_object(line) for line in lines[:-1] or lines]


def is_array(line: str) -> bool:
    """Whether a file's first line begins a JSON array of objects."""
    return bool(re.match(r"\s*\[\s*(\{|$)", line))


def as_object(line: str) -> dict[str, object]:
    """A line of JSON; ValueError where it is no object."""
    if is_array(line):
        raise ValueError("it is a JSON array; write one object a line")
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("each line must be one JSON object")
    return value


def _first_row(file: Path, delimiter: str, encoding: str) -> list[str]:
    """The fields of a CSV file's first line that is not blank; none where there is no such line."""
    line = next((line for line in lines_of(file, encoding) if line.strip()), None)
    return [] if line is None else next(csv.reader([line], delimiter=delimiter))


def headers(files: Iterable[str], delimiter: str, encoding: str = "UTF-8") -> dict[str, tuple[str, ...]]:
    """The columns of each local CSV file; () where it has no line. Raises SourceError where one is no such text."""
    return {file: apart(_readable_row(file, delimiter, encoding)) for file in files}


def _readable_row(file: str, delimiter: str, encoding: str) -> list[str]:
    try:
        return _first_row(Path(file), delimiter, encoding)
    except PermissionError as problem:
        raise SourceError(f"{file} cannot be read: {problem.strerror}. Nothing was changed.") from None
    except (ValueError, csv.Error) as problem:
        raise SourceError(f"{file} cannot be read as csv: {problem}. Nothing was changed.") from None


def apart(names: Sequence[str]) -> tuple[str, ...]:
    """Columns as Spark names them by a header: one without a name, and those of one name (case aside), after their places."""
    times = Counter(name.lower() for name in names)
    is_alone = [bool(name) and times[name.lower()] == 1 for name in names]
    return tuple(name if is_alone[place] else f"{name or '_c'}{place}" for place, name in enumerate(names))


def by_header(found: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    """Files of equal headers together: Spark would read all by the header of one, whatever the order of columns in the others."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for file, names in found.items():
        groups.setdefault(names, []).append(file)
    return groups
