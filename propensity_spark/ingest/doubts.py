"""What a configuration says that is perhaps not meant: nothing that would keep a run from starting, but worth a look before it."""

from collections import Counter
from collections.abc import Iterator

from propensity_spark.config import Config, SourceConfig
from propensity_spark.ingest import preflight
from propensity_spark.schemas import EVENT_TYPES

_NAMED = 3  # values that a line gives as examples
_FEW = 0.01  # of the rows: typing errors


def doubts(config: Config) -> list[str]:
    """Each doubt one line: what, where and what to do; looked for in the first rows of each source."""
    found = [doubt for source in config.sources for doubt in _of_events(source)]
    if config.shop.time_zone == "UTC":
        found.append(
            "shop.time_zone is UTC: days begin at its midnight, and times without a zone are read as UTC; set the shop's own"
        )
    return found


def _of_events(source: SourceConfig) -> Iterator[str]:
    """Types that the source does not name, where more than a few of the first rows are of them."""
    file, values = preflight.sample(source, source.map.event)
    known = source.event_types or EVENT_TYPES
    strange = Counter(value.strip() for value in values if value.strip() not in known)
    if strange.total() > _FEW * len(values):
        named = ", ".join(f"{value!r} ({rows:,})" for value, rows in strange.most_common(_NAMED))
        yield (
            f"sources.{source.name}.event_types: {strange.total():,} of the first {len(values):,} rows of {file} are of types "
            f"that it does not name: {named}; such rows are refused, so say what they mean if they mean anything"
        )
