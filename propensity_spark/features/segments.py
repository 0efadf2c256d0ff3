"""Which segment a user belongs to at a moment: an attribute of the shop's as it was known then, or how she comes.

The activity segment follows fixed rules, so that it means the same on every date: how lately (within the second longest
window, the longest, or before) and how often (one visit, up to four, more).
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.features.attributes import Known
from propensity_spark.features.first.measures import second_longest

UNKNOWN = "unknown"
_ATTRIBUTE = "attribute "
_SOME = 4  # visits


def activity(windows: tuple[int, ...]) -> str:
    """SQL over a user's features that names her activity segment."""
    short, long = second_longest(windows), windows[-1]
    lately = f"IF(user_seen_last <= {short}, 'now', IF(user_seen_last <= {long}, 'lately', 'before'))"
    often = f"IF(user_visits <= 1, 'once', IF(user_visits <= {_SOME}, 'some', 'often'))"
    return f"concat_ws(' ', {lately}, {often})"


def by_attribute(attribute: str) -> str:
    """The rule that a user's segment is this attribute of hers."""
    return f"{_ATTRIBUTE}{attribute}"


def attribute_of(rule: str) -> str:
    """The attribute that a rule names; empty where it is SQL."""
    return rule.removeprefix(_ATTRIBUTE) if rule.startswith(_ATTRIBUTE) else ""


def add_segment(users: DataFrame, rule: str, time_zone: str, versions: DataFrame | None) -> DataFrame:
    """Users' features plus segment STRING.

    Takes   users: as_of, user_id and the features that the rule reads; `time_zone`: the shop's; `versions`:
            silver.user_versions, needed where the rule names an attribute: of users without it the segment is unknown.
    """
    attribute = attribute_of(rule)
    if not attribute or versions is None:
        return users.withColumn("segment", F.expr(rule))
    return Known("user_id", {"segment": (attribute, "STRING")}, time_zone).add_to(users, versions).fillna(UNKNOWN, ["segment"])
