"""The features, declared: the first set in `first`, further groups in `groups`. Adding one is one row; nothing else changes."""

from collections.abc import Sequence
from dataclasses import replace

from propensity_spark.config import FeatureConfig, SeriesConfig
from propensity_spark.errors import ConfigError
from propensity_spark.features import forecast, series
from propensity_spark.features.declared import Total
from propensity_spark.features.first.category import category, user_category
from propensity_spark.features.first.measures import ACTIONS, measures
from propensity_spark.features.first.pair import pair
from propensity_spark.features.first.product import product
from propensity_spark.features.first.row import row
from propensity_spark.features.first.user import user
from propensity_spark.features.groups import registry
from propensity_spark.features.spec import Feature, FeatureSet, present


def feature_set(
    config: FeatureConfig,
    events: frozenset[str],
    popular_days: int,
    time_zone: str = "UTC",
    outside: Sequence[SeriesConfig] = (),
) -> FeatureSet:
    """The declarations for a shop that logs these event types; popularity is counted over `popular_days`.

    `time_zone`: by whose clocks a part of the day is meant; `outside`: the series whose columns are inputs as well.
    Raises ConfigError where a series' column has the name of another input.
    """
    declared = registry.extend(_first(config, events, popular_days), config, events, time_zone)
    return _with_series(declared, series.declare(outside))


def _with_series(declared: FeatureSet, added: Sequence[Feature]) -> FeatureSet:
    taken = set(declared.columns)
    for feature in added:
        if feature.name in taken:
            raise ConfigError(f"series: two inputs would be called {feature.name}; give the series or its value another name")
        taken.add(feature.name)
    return replace(declared, series=tuple(added))


def _first(config: FeatureConfig, events: frozenset[str], popular_days: int) -> FeatureSet:
    windows, half_life = config.windows, config.half_life_days
    return FeatureSet(
        measures=present(measures(windows, half_life, popular_days), events),
        pair=present(pair(windows), events),
        user=present(user(windows), events),
        product=present(product(windows), events),
        user_category=present((*user_category(windows), *forecast.user_category()), events),
        category=present(category(windows), events),
        shop=present(forecast.shop(), events),
        row=present((*row(windows), *forecast.row()), events),
        history_days=config.history_days,
        settings_version=config.version,
    )


def shop_totals(config: FeatureConfig, events: frozenset[str]) -> tuple[Total, ...]:
    """The totals kept current from day to day, for a shop that logs these event types: money and pieces in 1/10000."""
    made: list[Total] = []
    for action, event in ACTIONS.items():
        if event in events:
            has = f"event = '{event}'"
            made += [
                Total(name=action, where=has, windows=(*config.windows, None)),
                Total(name=f"{action}_first", where=has, op="first"),
                Total(name=f"{action}_last", where=has, op="last"),
                Total(name=f"{action}_decayed", where=has, op="decayed", half_life_days=config.half_life_days),
            ]
    if "purchase" in events:
        for name, value in (("spend", "amount"), ("quantity", "quantity")):
            made.append(Total(name=name, where="event = 'purchase'", value=value, scale=10_000, windows=(*config.windows, None)))
    return tuple(made)
