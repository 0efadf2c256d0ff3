"""What a configuration says that is perhaps not meant: nothing that would keep a run from starting, but worth a look before it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from propensity_spark.config import Config, EntityConfig, ListedConfig, SourceConfig
from propensity_spark.ingest import timeforms
from propensity_spark.ingest.numbers import in_sql, is_below_zero, no_numbers, remedy, returned_or
from propensity_spark.ingest.preflight import NUMBERS, PROVES
from propensity_spark.ingest.samples import heeded, sample, side_by_side
from propensity_spark.schemas import EVENT_TYPES, IGNORED, WHOLE_NUMBER

_NAMED = 3  # values that a line gives as examples
_FEW = 0.01  # of the rows: typing errors
_TWICE = 3  # orders in common that are no chance, or ids
_CROWD, _MOST, _SEVERAL = 50, 0.3, 20  # rows of one user, their share of the first ones, and users among whom that is odd


def doubts(config: Config) -> list[str]:
    """Each doubt one line: what, where and what to do; looked for in the first rows of each source and table."""
    found = [doubt for source in config.sources for doubt in _of_events(source)]
    found += _of_types(config)
    for source in config.sources:
        found += [*_of_times(source), *_of_steps(source), *_of_returns(source)]
        for part in NUMBERS:
            found += _of_numbers(f"sources.{source.name}.map.{part}", source, getattr(source.map, part))
    for name, entity in (("users", config.users), ("products", config.products)):
        if not entity.valid_from:  # of a table with dates rows are refused, and told
            found += _of_numbers(f"{name}.price", entity, entity.price)
        found += _named_again(name, entity)
    found += [doubt for source in config.sources for doubt in _of_nobody(source)]
    found += _written_otherwise(config)
    found += _told_twice(config.sources)
    if config.population.days > config.features.history_days:
        found.append(
            f"population.days ({config.population.days}) reaches back further than features.history_days "
            f"({config.features.history_days}): nothing is seen of a user before that, and who did nothing since is not scored"
        )
    found += _of_the_horizon(config)
    if config.shop.time_zone == "UTC":
        found.append(
            "shop.time_zone is UTC: days begin at its midnight, and times without a zone are read as UTC; set the shop's own"
        )
    return found


def _of_the_horizon(config: Config) -> Iterator[str]:
    """A history within which one horizon, and what was done before it, find no room."""
    history, horizon = config.features.history_days, config.labels.horizon_days
    if history < 2 * horizon:
        seen = "nothing is seen, so that both are unknown" if history <= horizon else "little is seen"
        yield (
            f"features.history_days ({history}) is less than twice labels.horizon_days ({horizon}): affinity and following_score "
            f"learn what is bought within a horizon from what was done before it, of which {seen}; set "
            f"features.history_days to {2 * horizon} or more"
        )


def _of_events(source: SourceConfig) -> Iterator[str]:
    """Types that the source does not name, where more than a few of the first rows are of them."""
    file, values = sample(source, source.map.event)
    known = {value.strip() for value in source.event_types} or EVENT_TYPES
    strange = Counter(value.strip() for value in values if value.strip() not in known)
    if strange.total() > _FEW * len(values):
        named = ", ".join(f"{value!r} ({rows:,})" for value, rows in strange.most_common(_NAMED))
        yield (
            f"sources.{source.name}.event_types: {strange.total():,} of the first {len(values):,} rows of {file} are of types "
            f"that it does not name: {named}; such rows are refused; say what they mean, or {IGNORED!r} where they mean nothing"
        )


def _of_types(config: Config) -> Iterator[str]:
    """Logs that bring no purchases, or none of the events that put users into the population: a run would end before training."""
    brought = {event for source in config.sources for event in source.types or EVENT_TYPES}
    for wanted, why in (("purchase", "it is what is predicted"), (config.population.event, "population.event asks for it")):
        if config.sources and wanted != "any" and wanted not in brought:
            yield f"no source brings an event of type {wanted}, and {why}: say in event_types which values mean it"
            return


def _of_times(source: SourceConfig) -> Iterator[str]:
    """Some times that do not read as time.format says, where others do."""
    column, form = source.map.event_ts, source.time.format
    file, values = heeded(source, column)
    told = [value for value in values if value.strip()]
    odd = timeforms.unreadable(form, told)
    if _FEW * len(told) < len(odd) < len(told):  # else it is a problem
        yield (
            f"sources.{source.name}.time.format: {len(odd):,} of the first {len(told):,} times of {file} do not read as {form!r}, "
            f"for one {odd[0]!r} of {column}; such rows are refused"
        )


def _of_steps(source: SourceConfig) -> Iterator[str]:
    """An order's row for each step that it takes (ordered, paid, shipped), more than one of which is said to be a purchase."""
    bought = {value.strip() for value, event in source.event_types.items() if event == "purchase"}
    if len(bought) < 2:
        return
    parts = (source.map.event, source.map.order_id, source.map.user_id, source.map.product_id)
    file, rows = side_by_side(source, parts)
    steps: dict[tuple[str, ...], set[str]] = {}
    for event, order, *rest in rows:
        if order.strip() and event.strip() in bought:
            steps.setdefault((order, *rest), set()).add(event.strip())
    several = [said for said in steps.values() if len(said) > 1]
    if len(several) >= _TWICE:
        both = " and ".join(map(repr, sorted(several[0])))
        yield (
            f"sources.{source.name}.event_types: {len(several):,} products of orders in the first rows of {file} stand there under "
            f"several types that mean a purchase, for one {both}: each counts as one more, and what was ordered before a date is "
            f"bought after it; keep the first step, and set the others to {IGNORED!r}"
        )


def _of_returns(source: SourceConfig) -> Iterator[str]:
    """Negative quantities of a log that brings no returns: such rows are refused, and what they take back stays bought."""
    file, values = heeded(source, source.map.quantity)
    taken_back = [value for value in values if is_below_zero(value)]
    if not taken_back or "purchase" not in source.types or "return" in source.types:
        return
    event = source.map.event
    else_is = "'purchase'" if source.event else event[1:].strip() if event.startswith("=") else in_sql(event)
    instead = "in place of event" if source.event else "with return: return in event_types"
    yield (
        f"sources.{source.name}.map.quantity: {len(taken_back):,} of the first {len(values):,} values of {file} are negative, and "
        "no row is a return: such rows are refused, and what they take back stays bought; where they are returns, set map.event "
        f'({instead}) to "{returned_or(in_sql(source.map.quantity), else_is)}"'
    )


def _told_twice(sources: Sequence[SourceConfig]) -> Iterator[str]:
    """Two logs that bring purchases, with orders in common: rows of two logs seldom say the very same, and so both count."""
    selling = [source for source in sources if "purchase" in (source.types or EVENT_TYPES) and source.map.order_id]
    orders = {one.name: {value.strip() for value in sample(one, one.map.order_id)[1]} - {""} for one in selling}
    for one, other in combinations(orders, 2):
        both = sorted(orders[one] & orders[other])
        if len(both) >= _TWICE:
            yield (
                f"sources.{one} and sources.{other} both bring purchases, and {len(both):,} orders of their first rows stand in "
                f"both, for one {both[0]!r}: unless their rows say the very same, all of it counts twice; map purchases in one"
            )


def _named_again(name: str, entity: EntityConfig) -> Iterator[str]:
    """Ids of which a table without dates has several rows: one of them counts, and nothing says which is the newest."""
    file, values = (None, []) if entity.valid_from else sample(entity, entity.id)
    (most, rows), *_ = Counter(value.strip() for value in values if value.strip()).most_common(1) or [("", 0)]
    if rows > 1:
        yield (
            f"{name}.id: {rows:,} of the first {len(values):,} rows of {file} are of {most!r}: one of them counts, the last in the "
            f"order of what they say; set {name}.valid_from where the table says since when they hold, or leave one row of each id"
        )


def _of_nobody(source: SourceConfig) -> Iterator[str]:
    """A user who has so many of the rows that she may stand for all whom the shop does not know."""
    file, values = sample(source, source.map.user_id)
    known = Counter(value.strip() for value in values if value.strip())
    (most, rows), *_ = known.most_common(1) or [("", 0)]
    if len(known) >= _SEVERAL and rows >= _CROWD and rows > _MOST * len(values):
        yield (
            f"sources.{source.name}.map.user_id: {rows:,} of the first {len(values):,} rows of {file} are of {most!r}; where "
            f"that is nobody, map user_id: \"= nullif({in_sql(source.map.user_id)}, '{most}')\""
        )


def _written_otherwise(config: Config) -> Iterator[str]:
    """Ids of users or products that two tables write in two ways (00123 and 123, A1 and a1): they would never meet."""
    for part, entity, name in (("user_id", config.users, "users"), ("product_id", config.products, "products")):
        told = {f"sources.{one.name}.map.{part}": sample(one, getattr(one.map, part))[1] for one in config.sources}
        told |= {f"{name}.id": sample(entity, entity.id)[1]} if entity.given else {}
        ids = {
            where: {(plain := _plain(value)): plain.lstrip("0").casefold() for value in values} for where, values in told.items()
        }
        for one, other in combinations(ids, 2):
            alike = {bare: text for text, bare in ids[one].items() if bare}
            found = [(alike[bare], text) for text, bare in ids[other].items() if bare in alike]
            if len(found) >= _TWICE and not ids[one].keys() & ids[other].keys():
                mine, theirs = found[0]
                yield (
                    f"{one} and {other} write ids otherwise, for one {mine!r} and {theirs!r}: they would never meet; map one "
                    f'by an expression, such as "= ltrim(\'0\', id)" or "= upper(id)"'
                )


def _plain(text: str) -> str:
    """An id as ingest has it."""
    return re.sub(WHOLE_NUMBER, r"\1", text.strip())


def _of_numbers(where: str, table: SourceConfig | ListedConfig, column: str) -> Iterator[str]:
    """Some values that are no numbers: rows of a log are refused for them, prices of a table left out."""
    is_log = isinstance(table, SourceConfig)
    file, values = heeded(table, column)
    told = [value for value in values if value.strip()]
    odd = no_numbers(told)
    if odd and (len(odd) < len(told) or (is_log and len(odd) < PROVES)):  # else it is a problem
        fate = "such rows are refused" if is_log else "will be left out"
        part = where.rsplit(".", 1)[-1]
        yield (
            f"{where}: {len(odd):,} of the first {len(told):,} values of {file} are no numbers, for one {odd[0]!r} in "
            f"{column}; {fate}; {remedy(part, column, told)}"
        )
