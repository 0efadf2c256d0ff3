"""`propensity init`: a commented configuration for a new shop, from a look at samples of its logs."""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from propensity_spark.errors import ConfigError
from propensity_spark.ingest.numbers import in_sql, returned_or
from propensity_spark.ingest.sniff import ENTITIES, Sniffed, event_of, sniff

_HEAD = """# {name}: written by `propensity init` from {files}.
# Lines with CHECK are guesses: read them. Then: propensity check --config {output}
shop:
  name: {name}
  time_zone: UTC        # CHECK: the shop's own; its days begin at this midnight (Europe/London, America/New_York, ...)
  currency: EUR         # CHECK

sources:
"""
_NO_PRODUCTS = """
# products:             # optional: a file of names, categories and list prices; `users:` likewise
#   path: products.csv
#   id: sku
#   name: title
#   category: category
#   price: list_price
"""
_TAIL = """
labels:
  horizon_days: 28      # predict a purchase within so many days

population:             # who is scored: users with such an event within so many days
  {who}

storage:
  warehouse: warehouse/{name}
"""


# Who looks around may buy for the first time, and interest is forgotten sooner than an order.
_WHO = {
    True: "event: any            # or purchase, view, cart\n  days: 90",
    False: "event: purchase       # or any, view, cart\n  days: 180",
}


def write(samples: Sequence[str], name: str, output: str) -> int:
    """Write the configuration, and say what a person must look at. An existing file is never overwritten."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ConfigError(f"--name must be letters, digits and _, beginning with a letter; got {name!r}")
    file = Path(output or f"{name}.yaml")
    if file.exists():
        raise ConfigError(f"{file} exists already; choose another --output or remove it")
    found = [sniff(Path(sample)) for sample in samples]
    logs, tables = _parted(found)
    text = _HEAD.format(name=name, files=", ".join(s.file.name for s in found), output=file)
    text += "".join(_source(one, called) for one, called in zip(logs, _names(logs), strict=True))
    text += "".join(_table(entity, one) for entity, one in tables.items())
    text += ("" if "products" in tables else _NO_PRODUCTS) + _TAIL.format(name=name, who=_WHO[_tells_interest(logs)])
    file.write_text(text, encoding="utf-8")
    print(f"wrote {file}. Read the lines with CHECK, then: propensity check --config {file}")
    for one in logs:
        for part in one.missing:
            print(f"  {one.file}: no column looks like {part}; its columns: {', '.join(one.columns)}", file=sys.stderr)
        if one.nested:
            print(
                f"  {one.file}: objects or lists are in {', '.join(one.nested)}; a part of an object is named by SQL, such as "
                f"\"= get_json_object({in_sql(one.nested[0])}, '$.id')\"; of a list, write a row for each of its elements first",
                file=sys.stderr,
            )
    return 0


def _tells_interest(logs: Sequence[Sniffed]) -> bool:
    """Whether the logs tell what users do before they buy."""
    told = {event for one in logs for event in (one.events.values() if "event" in one.parts else [_by_name(one.file)])}
    return not told.isdisjoint({"view", "cart", "favourite"})


def _parted(found: Sequence[Sniffed]) -> tuple[list[Sniffed], dict[str, Sniffed]]:
    """The logs, and the first table of users and of products; without any log all are taken for one that was not recognised."""
    tables: dict[str, Sniffed] = {}
    for one in found:
        if one.entity:
            tables.setdefault(one.entity, one)
    logs = _together([one for one in found if one not in tables.values()])
    return (logs, tables) if logs else ([*found], {})


def _together(logs: Sequence[Sniffed]) -> list[Sniffed]:
    """Files of one make as one log: where each row says what it is, or their names differ by digits alone (a log by months)."""
    made: dict[tuple[object, ...], Sniffed] = {}
    for one in logs:
        called = "" if "event" in one.parts else re.sub(r"[\d\W_]+", "", f"{one.file.absolute().parent.name}/{one.file.name}")
        read = (one.format, one.delimiter, one.encoding, one.time_format, tuple(one.numbers.items()))
        make = (called, one.columns, tuple(one.parts.items()), *read)
        first = made.get(make)
        made[make] = _joined(first, one) if first else one
    return list(made.values())


def _joined(first: Sniffed, one: Sniffed) -> Sniffed:
    events, has_returns = {**first.events, **one.events}, first.has_returns or one.has_returns
    return replace(first, more=(*first.more, one.file), events=events, has_returns=has_returns)


def _table(entity: str, one: Sniffed) -> str:
    """The section of a table of users or products."""
    key, _ = ENTITIES[entity]
    lines = ["", f"{entity}:", *_place(one, "  ")]
    lines.append(f"  id: {_quoted(one.parts[key])}        # CHECK; the file has: {', '.join(one.columns)}")
    parts = {"name": "product_name", "category": "category", "price": "price"} if entity == "products" else {}
    lines += [f"  {setting}: {_column(one, part)}" for setting, part in parts.items() if part in one.parts]
    if one.describing:
        listed = ", ".join(map(_quoted, one.describing))
        lines.append(f"  attributes: [{listed}]        # CHECK: what describes them; nothing that follows from what was bought")
    return "\n".join(lines) + "\n"


def _place(one: Sniffed, indent: str) -> list[str]:
    """Where the file lies, and how it reads."""
    files = [_quoted(str(file)) for file in (one.file, *one.more)]
    path = f"[{', '.join(files)}]" if one.more else files[0]
    said = [f"path: {path}        # CHECK: a file, folder or glob; a list of them too", f"format: {one.format}"]
    if one.format == "csv" and one.delimiter != ",":
        said.append(f"delimiter: {_quoted(one.delimiter)}")
    if one.encoding != "UTF-8":
        said.append(f"encoding: {one.encoding}        # CHECK: the file is not UTF-8")
    return [indent + line for line in said]


_MARKS = {
    "amount": "        # CHECK: the whole line's, all its pieces together; not the order's",
    "ingested_ts": "        # CHECK: when the shop's store got the row; it counts as known from then on",
}


def _source(one: Sniffed, name: str) -> str:
    lines = [f"  - name: {name}", *_place(one, "    ")]
    lines.append(f"    map:                # CHECK; the file has: {', '.join(one.columns)}")
    for part in (
        "user_id",
        "product_id",
        "event_ts",
        "event",
        "price",
        "quantity",
        "amount",
        "order_id",
        "session_id",
        "category",
        "product_name",
        "ingested_ts",
    ):
        if part in one.parts:
            lines.append(f"      {part}: {_column(one, part)}{_MARKS.get(part, '')}")
        elif part == "event" and _has_returns(one):
            lines.append(f'      event: "{_returned(one)}"        # CHECK: rows of a quantity below 0 take a purchase back')
        elif part in one.missing:
            lines.append(f"      {part}: ''            # CHECK: not recognised, name the column")
    lines += _events(one)
    if one.time_format != "iso":
        other = one.other_time_format
        doubt = f"        # CHECK: the day first, or {_quoted(other)}? No day here is above 12" if other else ""
        lines += ["    time:", f"      format: {_quoted(one.time_format)}{doubt}"]
    return "\n".join(lines) + "\n"


def _column(one: Sniffed, part: str) -> str:
    """The column of a part, or the expression that reads its numbers."""
    made = one.numbers.get(part)
    return f'"= {made}"        # CHECK: the file does not write them as 12.50' if made else _quoted(one.parts[part])


def _returned(one: Sniffed) -> str:
    return returned_or(one.numbers.get("quantity") or in_sql(one.parts["quantity"]), "'purchase'")


def _by_name(file: Path) -> str:
    """The event type after which a file is called (clicks.csv, basket_views.csv), by the last word that names one; else ''."""
    words = reversed(re.split(r"[\W\d_]+", file.name.split(".")[0].lower()))
    return next((event for word in words for ending in ("s", "e", "") if (event := event_of(word.removesuffix(ending)))), "")


def _has_returns(one: Sniffed) -> bool:
    """Whether rows of a quantity below 0 take purchases back: not in a log that is called after something else."""
    return one.has_returns and _by_name(one.file) in ("", "purchase")


def _events(one: Sniffed) -> list[str]:
    if _has_returns(one):
        return []
    if "event" not in one.parts:
        is_order = {"order_id", "quantity", "price"} & set(one.parts)
        named = _by_name(one.file) or ("purchase" if is_order else "")
        guess = f"event: {named}     # CHECK: " if named else "event: ''           # CHECK: not recognised; "
        return [f"    {guess}what every row is: view, cart, favourite, purchase or return"]
    lines = ["    event_types:        # CHECK: unmapped values are refused; ignore leaves them out"]
    bought = [value for value, event in one.events.items() if event == "purchase"]
    for value, event in one.events.items():
        doubt = "        # CHECK: ignore, where what it takes back has no row of its own" if event == "return" else ""
        if event == "purchase" and len(bought) > 1:
            doubt = "        # CHECK: ignore, where it is a later step of an order that has a row already"
        known = f"      {_quoted(value)}: {event}{doubt}"
        lines.append(known if event else f"      # {_quoted(value)}: view, cart, favourite, purchase, return or ignore?")
    return lines


def _quoted(text: str) -> str:
    """As YAML reads it back: in quotes where it has signs, or would be no text (`no`, `on`)."""
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_ ./-]*", text) and yaml.safe_load(text) == text
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'


def _names(logs: Sequence[Sniffed]) -> list[str]:
    """A name of its own for each log, after its file."""
    found: list[str] = []
    for number, one in enumerate(logs, 1):
        plain = re.sub(r"[^A-Za-z0-9]+", "_", one.file.name.split(".")[0]).strip("_")
        name = plain if re.match(r"[A-Za-z]", plain) else f"log_{number}"
        found.append(f"{name}_{number}" if name in found else name)
    return found
