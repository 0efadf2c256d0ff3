"""From YAML files and --set to a Config: merge, expand ${NAME:default}, refuse unknown keys, coerce types."""

import dataclasses
import functools
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from propensity_spark.config import Config
from propensity_spark.errors import ConfigError

Layer = tuple[str, dict[str, Any]]  # what a file or a --set says, and its name
_MERGE, _TEXT = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"  # how YAML calls << and a text
_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)(?::([^}]*))?\}")


class _Yaml(yaml.SafeLoader):
    """Plain YAML, but for keys: each is the text that is written (01, no), and none may stand twice, or the later would win."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As YAML does, before what `<<` brings is put among the keys."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag, line = _TEXT, key.start_mark.line + 1
                if key.value in lines:
                    where = f"in line {lines[key.value]} and again in line {line}"
                    raise yaml.constructor.ConstructorError(problem=f"{key.value} stands {where}; join them")
                lines[key.value] = line
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As YAML does; what is written as a date or a number, and is none, is named."""
        try:
            return super().construct_object(node, deep)
        except ValueError as problem:
            raise ValueError(f"{node.value}: {problem}" if isinstance(node, yaml.ScalarNode) else str(problem)) from None


def load(files: Sequence[Path | str], settings: Sequence[str] = ()) -> Config:
    """Read `files` in order (later wins), then `settings` of the form section.key=value, into a Config.

    Raises ConfigError naming the file and key: file absent, not YAML, unknown key, wrong type, value out of range.
    """
    layers = [(str(file), _read(Path(file))) for file in files]
    layers += [(f"--set {setting}", _parse_setting(setting)) for setting in settings]
    try:
        return from_mapping(_merged(layers))
    except ConfigError as problem:
        raise ConfigError(f"{_to_blame(layers, str(problem))}{problem}") from None


def _merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """All layers in one mapping; later ones win, however each writes a key with dots."""
    return functools.reduce(_merge, (_in_one_key(Config, values) for _, values in layers), {})


def _in_one_key(kind: Any, values: Any) -> Any:
    """Sections as they are, but for free-form mappings such as spark.conf: what is nested there gets one key, with dots."""
    if not dataclasses.is_dataclass(kind) or not isinstance(values, Mapping):
        return values
    hints = typing.get_type_hints(kind)
    is_free = {key: typing.get_origin(hints.get(key)) is dict and isinstance(value, Mapping) for key, value in values.items()}
    return {key: dict(_leaves(value)) if is_free[key] else _in_one_key(hints.get(key), value) for key, value in values.items()}


def _leaves(values: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _to_blame(layers: Sequence[Layer], problem: str) -> str:
    """Where to mend it: the last layer without which the problem would not be this one, else every file."""
    for place, (name, _) in reversed(list(enumerate(layers))):
        try:
            from_mapping(_merged([*layers[:place], *layers[place + 1 :]]))
        except ConfigError as other:
            if str(other) == problem:
                continue
        return f"{name}: "
    files = [name for name, _ in layers if not name.startswith("--set ")]
    return f"{', '.join(files)}: " if files else ""


def from_mapping(values: Mapping[str, Any]) -> Config:
    """Build a Config from nested plain values, as YAML gives them."""
    return typing.cast(Config, _build(Config, _expand(_in_one_key(Config, values)), ""))


def named() -> list[str]:
    """The configurations that PROPENSITY_CONFIG names, parted as paths are."""
    return [file for file in os.environ.get("PROPENSITY_CONFIG", "").split(os.pathsep) if file]


def to_mapping(config: object) -> dict[str, Any]:
    """A Config (or section) as plain values, fit for YAML."""
    return typing.cast(dict[str, Any], _plain(config))


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"config file {file} does not exist") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"config file {file} cannot be read: {problem}") from None
    try:
        values = yaml.load(text, _Yaml)
    except (yaml.YAMLError, ValueError) as problem:
        raise ConfigError(f"{file} is not valid YAML: {' '.join(str(problem).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file} must hold sections such as `shop:` and `sources:`, got {type(values).__name__}")
    return values


def _parse_setting(setting: str) -> dict[str, Any]:
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set wants section.key=value, got {setting!r}")
    try:
        nested: Any = yaml.load(value, _Yaml) if value.strip() else ""
    except ValueError as problem:
        raise ConfigError(f"--set {key.strip()} cannot be read: {problem}") from None
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {key.strip()}: {value!r} is not a YAML value; signs need quotes: '{key.strip()}=\"{value}\"'"
        ) from None
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return typing.cast(dict[str, Any], nested)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key; anything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _expand(value: Any) -> Any:
    """Replace ${NAME:default} by the environment's NAME in every text."""
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item) for item in value]
    return _VARIABLE.sub(_lookup, value) if isinstance(value, str) else value


def _lookup(match: re.Match[str]) -> str:
    name, default = match.group(1), match.group(2)
    found = os.environ.get(name) or default
    if found is None:
        raise ConfigError(f"the configuration uses ${{{name}}}, but {name} is not set in the environment")
    return found


def _build(kind: type[Any], values: Any, where: str) -> Any:
    """Make dataclass `kind` from a mapping; `where` is the key path so far."""
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{where or 'the configuration'} must be a mapping of keys, got {values!r}")
    hints = typing.get_type_hints(kind)
    _refuse_unknown(values, list(hints), where)
    made = {key: _coerce(hints[key], value, f"{where}.{key}" if where else key) for key, value in values.items()}
    required = [
        f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in made]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    return kind(**made)


def _refuse_unknown(values: dict[str, Any], known: list[str], where: str) -> None:
    for key in values:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            place = f"{where}.{key}" if where else str(key)
            raise ConfigError(f"unknown key {place}{hint} Known here: {', '.join(known)}")


def _coerce(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type[Any], hint), value, where)
    if origin is types.UnionType:
        return None if value is None else _coerce(typing.get_args(hint)[0], value, where)
    if origin is tuple:
        return _coerce_many(typing.get_args(hint)[0], value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a mapping, got {value!r}")
        return {str(key): str(item) for key, item in value.items()}
    return _coerce_plain(hint, value, where)


def _coerce_many(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    items = value if isinstance(value, list) else [value]
    if hint in (str, int) and any(isinstance(item, dict) for item in items):
        raise ConfigError(f"{where} must be a list of {hint.__name__}, got {value!r}")
    return tuple(_coerce(hint, item, f"{where}[{number}]") for number, item in enumerate(items))


def _coerce_plain(hint: Any, value: Any, where: str) -> Any:
    if hint is date:
        return _as_date(value, where)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        return _as_float(value, where)
    if hint is int and isinstance(value, str) and re.fullmatch(r"-?\d+", value):  # from ${NAME}
        return int(value)
    if hint is bool and value in ("true", "false"):
        return value == "true"
    if hint is str and value is None:
        return ""
    if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if type(value) is hint:
        return value
    raise ConfigError(f"{where} must be {hint.__name__}, got {value!r}")


def _as_float(value: str, where: str) -> float:
    """YAML 1.1 reads 1e-4 as text; a person means a number."""
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{where} must be float, got {value!r}") from None


def _as_date(value: Any, where: str) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ConfigError(f"{where} must be a date such as 2024-03-01, got {value!r}") from None
