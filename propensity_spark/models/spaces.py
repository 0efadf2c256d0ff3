"""Which settings of a family are worth searching, and between which bounds. Adding a family's is one row here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from propensity_spark.config import ModelsConfig
from propensity_spark.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a family's section: its bounds, whether it is drawn on a logarithmic scale, and whether it is whole."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False


SPACES: dict[str, tuple[Parameter, ...]] = {
    "lightgbm": (
        Parameter("rounds", 50, 800, log=True, whole=True),
        Parameter("random_share", 0.0, 1.0),
        Parameter("learning_rate", 0.01, 0.2, log=True),
        Parameter("leaves", 7, 127, log=True, whole=True),
        Parameter("min_data_in_leaf", 20, 2000, log=True, whole=True),
        Parameter("feature_fraction", 0.2, 1.0),
        Parameter("bagging_fraction", 0.4, 1.0),
        Parameter("l2", 0.1, 200.0, log=True),
    ),
    "logistic": (
        Parameter("regularisation", 1e-6, 0.1, log=True),
        Parameter("elastic_net", 0.0, 1.0),
    ),
}


def space(models: ModelsConfig, family: str, names: Sequence[str]) -> tuple[Parameter, ...]:
    """The family's settings that are searched: those named, or all that the configuration does not leave to an automatism.

    Raises ConfigError where the family has none, or not that one.
    """
    known = SPACES.get(family, ())
    if not known:
        raise ConfigError(f"{family} has no settings to search; tune.family may be {', '.join(SPACES)}")
    unknown = sorted(set(names) - {parameter.name for parameter in known})
    if unknown:
        raise ConfigError(
            f"tune.parameters: {family} has no {', '.join(unknown)} to search; it has {', '.join(p.name for p in known)}"
        )
    if names:
        return tuple(parameter for parameter in known if parameter.name in names)
    return tuple(parameter for parameter in known if present(models, family, [parameter]))


def present(models: ModelsConfig, family: str, searched: Sequence[Parameter]) -> dict[str, float] | None:
    """What the configuration says now; None where a setting lies outside its bounds (as leaves 0, by size, does)."""
    section = getattr(models, family)
    values = {parameter.name: getattr(section, parameter.name) for parameter in searched}
    inside = all(parameter.low <= values[parameter.name] <= parameter.high for parameter in searched)
    return values if inside else None


def with_values(models: ModelsConfig, family: str, values: Mapping[str, Any]) -> ModelsConfig:
    """The models' configuration with the family's settings changed."""
    return replace(models, **{family: replace(getattr(models, family), **values)})
