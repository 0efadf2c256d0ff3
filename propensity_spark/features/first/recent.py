"""What all entities are asked: how often lately, and how long ago."""

from propensity_spark.features.first.measures import ACTIONS
from propensity_spark.features.spec import Feature, derived


def counts(entity: str, actions: tuple[str, ...], windows: tuple[int, ...], whose: str) -> list[Feature]:
    """How often each of the actions happened in each window."""
    return [
        Feature(
            name=f"{entity}_{action}_{days}",
            expression=f"sum({action}_{days})",
            description=f"{action} {whose} in the last {days} days",
            unit="currency" if action == "spend" else "count",
            needs=(ACTIONS.get(action, "purchase"),),
        )
        for action in actions
        for days in windows
    ]


def last(entity: str, whose: str) -> list[Feature]:
    """Days since each kind of event."""
    return [
        Feature(
            name=f"{entity}_{action}_last",
            expression=f"min({action}_last)",
            description=f"days since the last {event} {whose}",
            unit="days",
            needs=(event,),
        )
        for action, event in ACTIONS.items()
    ]


def momentum(name: str, counted: str, short: int, long: int, description: str, version: int = 1) -> list[Feature]:
    """What was bought in one window against another; none of a window against itself."""
    if short == long:
        return []
    ratio = f"({counted}_{short} + 1) / ({counted}_{long} + 1)"
    return [derived(name, ratio, description, "ratio", "purchase", version=version)]
