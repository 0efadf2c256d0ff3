"""Group `profile`: at which times of the day and of the week users come and products are met, by the shop's clocks."""

from propensity_spark.config import FeatureConfig
from propensity_spark.features.spec import Feature, Measure, Part, derived

_PARTS = {"night": (0, 6), "morning": (6, 12), "afternoon": (12, 18), "evening": (18, 24)}  # hours, half-open
_WEEKEND = "dayofweek(event_date) IN (1, 7)"  # Sunday is 1


def declare(config: FeatureConfig, time_zone: str) -> Part:
    """Shares of events by part of the day and at weekends, of users and products; how well the two agree."""
    hour = f"hour(from_utc_timestamp(event_ts, '{time_zone}'))"
    at = [Measure(name=f"at_{part}", where=f"{hour} >= {begin} AND {hour} < {end}") for part, (begin, end) in _PARTS.items()]
    return Part(
        measures=(*at, Measure(name="at_weekend", where=_WEEKEND), Measure(name="events_ever")),
        user=_shares("user", "this user's events"),
        product=_shares("product", "this product's events"),
        row=(
            derived(
                "profile_match",
                " + ".join(f"user_{part} * product_{part}" for part in _PARTS),
                "how likely an event of this user and one of this product fall on the same part of the day",
                "share",
            ),
        ),
    )


def _shares(entity: str, whose: str) -> tuple[Feature, ...]:
    when = {part: f"from {begin} to {end} o'clock" for part, (begin, end) in _PARTS.items()} | {"weekend": "at weekends"}
    return tuple(
        Feature(
            name=f"{entity}_{part}",
            expression=f"sum(at_{part}) / sum(events_ever)",
            description=f"share of {whose} {words}",
            unit="share",
        )
        for part, words in when.items()
    )
