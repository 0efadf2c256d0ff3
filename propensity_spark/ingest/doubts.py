"""What a configuration says that is perhaps not meant: nothing that would keep a run from starting, but worth a look before it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from propensity_spark.config import Config, EntityConfig, SourceConfig
from propensity_spark.ingest import preflight
from propensity_spark.schemas import EVENT_TYPES, IGNORED

_NAMED = 3  # values that a line gives as examples
_FEW = 0.01  # of the rows: typing errors
_TWICE = 3  # orders in common that are no chance


def doubts(config: Config) -> list[str]:
    """Each doubt one line: what, where and what to do; looked for in the first rows of each source and table."""
    found = [doubt for source in config.sources for doubt in _of_events(source)]
    found += [
        doubt for name, entity in (("users", config.users), ("products", config.products)) for doubt in _of_prices(name, entity)
    ]
    found += _told_twice(config.sources)
    if config.shop.time_zone == "UTC":
        found.append(
            "shop.time_zone is UTC: days begin at its midnight, and times without a zone are read as UTC; set the shop's own"
        )
    return found


def _of_events(source: SourceConfig) -> Iterator[str]:
    """Types that the source does not name, where more than a few of the first rows are of them."""
    file, values = preflight.sample(source, source.map.event)
    known = {value.strip() for value in source.event_types} or EVENT_TYPES
    strange = Counter(value.strip() for value in values if value.strip() not in known)
    if strange.total() > _FEW * len(values):
        named = ", ".join(f"{value!r} ({rows:,})" for value, rows in strange.most_common(_NAMED))
        yield (
            f"sources.{source.name}.event_types: {strange.total():,} of the first {len(values):,} rows of {file} are of types "
            f"that it does not name: {named}; such rows are refused; say what they mean, or {IGNORED!r} where they mean nothing"
        )


def _told_twice(sources: Sequence[SourceConfig]) -> Iterator[str]:
    """Two logs that bring purchases, with orders in common: rows of two logs seldom say the very same, and so both count."""
    selling = [source for source in sources if "purchase" in (source.types or EVENT_TYPES) and source.map.order_id]
    orders = {one.name: {value.strip() for value in preflight.sample(one, one.map.order_id)[1]} - {""} for one in selling}
    for one, other in combinations(orders, 2):
        both = sorted(orders[one] & orders[other])
        if len(both) >= _TWICE:
            yield (
                f"sources.{one} and sources.{other} both bring purchases, and {len(both):,} orders of their first rows stand in "
                f"both, for one {both[0]!r}: unless their rows say the very same, all of it counts twice; map purchases in one"
            )


def _of_prices(name: str, entity: EntityConfig) -> Iterator[str]:
    """Some prices that are no numbers, in a table that has no row refused for it."""
    file, values = (None, []) if entity.valid_from else preflight.sample(entity, entity.price)
    told = [value for value in values if value.strip()]
    odd = preflight.no_numbers(told)
    if 0 < len(odd) < len(told):  # where all are, it is a problem
        yield (
            f"{name}.price: {len(odd):,} of the first {len(told):,} prices of {file} are no numbers, for one {odd[0]!r} in "
            f"{entity.price}, and will be left out; {preflight.remedy_of_prices(entity.price, odd)}"
        )
