"""The groups by name, and how those chosen join the first set."""

from collections.abc import Callable
from dataclasses import fields, replace

from propensity_spark.config import FEATURE_GROUPS, FeatureConfig
from propensity_spark.features.groups import gaps, momentum, prices, profile, segment, sessions, shares, together_recent
from propensity_spark.features.segments import by_attribute
from propensity_spark.features.spec import Feature, FeatureSet, Part, present

_DECLARED: dict[str, Callable[[FeatureConfig, str], Part]] = {
    "gaps": gaps.declare,
    "sessions": sessions.declare,
    "profile": profile.declare,
    "momentum": momentum.declare,
    "shares": shares.declare,
    "prices": prices.declare,
    "segment": segment.declare,
    "together_recent": together_recent.declare,
}


def extend(first: FeatureSet, config: FeatureConfig, events: frozenset[str], time_zone: str) -> FeatureSet:
    """The first set and the groups that the configuration chooses, each as far as these event types fill it.

    Users have a segment where the shop names one or the group is chosen, whether or not any feature reads it.
    """
    chosen = replace(first, segment=by_attribute(config.segment_by)) if config.segment_by else first
    for name in FEATURE_GROUPS:
        if name in config.groups:
            chosen = _joined(chosen, name, _DECLARED[name](config, time_zone), events)
    return chosen


def _joined(declared: FeatureSet, group: str, part: Part, events: frozenset[str]) -> FeatureSet:
    made: dict[str, object] = {"measures": (*declared.measures, *present(part.measures, events))}
    for entity in (f.name for f in fields(Part) if f.name not in ("measures", "segment")):
        mine: tuple[Feature, ...] = present(getattr(part, entity), events)
        made[entity] = (*declared.of(entity), *(replace(feature, group=group) for feature in mine))
    return replace(declared, **made, segment=declared.segment or part.segment)  # type: ignore[arg-type]
