"""What is summed of the events of each user and product, before features are made of it."""

from propensity_spark.features import forecast
from propensity_spark.features.spec import Measure

ACTIONS = {"views": "view", "carts": "cart", "favourites": "favourite", "purchases": "purchase"}
PLACED = "event IN ('purchase', 'cancelled')"  # orders, whether or not a line of them was taken back later
_AGE = "age_days"  # fractional days before as_of
# The first line of an order and product that stands: the lines before it, if any, had all been taken back by then.
_LINE = "IF(line_since IS NULL OR line_since < as_of_ts, 1.0D, 0.0D)"


def second_longest(windows: tuple[int, ...]) -> int:
    """The window before the longest one, or the only one."""
    return windows[-2:][0]


def measures(windows: tuple[int, ...], half_life: float, popular_days: int) -> tuple[Measure, ...]:
    """What is summed of the events of each user and product."""
    made = [
        Measure(name=f"{action}_{days}", where=f"event = '{event}'", days=days, needs=(event,))
        for action, event in ACTIONS.items()
        for days in windows
    ]
    for days in windows:
        made += [_ordered(f"orders_{days}", days), _purchase(f"spend_{days}", "amount", days)]
    for action, event in ACTIONS.items():
        has = f"event = '{event}'"
        made += [
            Measure(name=f"{action}_ever", where=has, needs=(event,)),
            Measure(name=f"{action}_last", op="min", where=has, value=_AGE, needs=(event,)),
        ]
    decay = f"pow(0.5D, {_AGE} / {half_life})"
    made += [
        _ordered("orders_ever"),
        Measure(name="ordered_first", op="max", where=PLACED, value=_AGE, needs=("purchase",)),
        Measure(name="ordered_last", op="min", where=PLACED, value=_AGE, needs=("purchase",)),
        _purchase("lines_ever", _LINE),
        _purchase("lines_decayed", f"{_LINE} * {decay}"),
        _purchase("spend_ever", "amount"),
        _purchase("quantity_ever", "quantity"),
        _purchase("price_sum", "price"),
        _purchase("priced", "IF(price IS NULL, 0.0D, 1.0D)"),
        Measure(name="purchases_first", op="max", where="event = 'purchase'", value=_AGE, needs=("purchase",)),
        Measure(name="returns_ever", where="event = 'return'", needs=("return",)),
        Measure(name="views_decayed", where="event = 'view'", value=f"pow(0.5D, {_AGE} / {half_life / 6})", needs=("view",)),
        _purchase("purchases_popular", "1.0D", popular_days),
        Measure(name="visits_ever", value="visit_first"),
        Measure(name="visits_recent", value="visit_first", days=second_longest(windows)),
        Measure(name="first_seen", op="max", value=_AGE),
        Measure(name="last_seen", op="min", value=_AGE),
        *forecast.measures(_LINE),
    ]
    return tuple(made)


def _purchase(name: str, value: str, days: int | None = None) -> Measure:
    return Measure(name=name, where="event = 'purchase'", value=value, days=days, needs=("purchase",))


def _ordered(name: str, days: int | None = None) -> Measure:
    return Measure(name=name, where=PLACED, value="order_first", days=days, needs=("purchase",))
