"""What a user did."""

from propensity_spark.features import forecast
from propensity_spark.features.first.measures import second_longest
from propensity_spark.features.first.recent import counts, last, momentum
from propensity_spark.features.spec import Feature, derived, over_gap

_BOUGHT = ("purchase",)
_SPAN = "(max(ordered_first) - min(ordered_last))"  # days from the first order placed to the last
_GAP = f"{_SPAN} / IF({_SPAN} > 0, sum(orders_ever) - 1, NULL)"  # as orders are counted: taken back or not


def user(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    """Features of a user."""
    whose, actions = "by this user", ("views", "carts", "favourites", "purchases", "orders", "spend")
    often = counts("user", actions, windows, whose)
    return (*often, *last("user", whose), *forecast.totals("user", whose), *_seen(), *_bought(windows), *_habits(windows))


def _seen() -> tuple[Feature, ...]:
    return (
        Feature(name="user_visits", expression="sum(visits_ever)", description="visits by this user"),
        Feature(
            name="user_visits_recent",
            expression="sum(visits_recent)",
            description="visits by this user in the second longest window",
        ),
        Feature(
            name="user_tenure",
            expression="max(first_seen)",
            description="days since this user was first seen",
            unit="days",
        ),
        Feature(
            name="user_seen_last",
            expression="min(last_seen)",
            description="days since this user was last seen",
            unit="days",
        ),
    )


def _bought(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    return (
        Feature(name="user_orders", expression="sum(orders_ever)", description="orders by this user", needs=_BOUGHT),
        Feature(name="user_purchases", expression="sum(lines_ever)", description="order lines by this user", needs=_BOUGHT),
        Feature(
            name="user_spend",
            expression="sum(spend_ever)",
            description="spend by this user",
            unit="currency",
            needs=_BOUGHT,
        ),
        Feature(
            name="user_products",
            expression="count_if(lines_ever > 0)",
            description="products this user bought",
            needs=_BOUGHT,
        ),
        Feature(
            name="user_products_recent",
            expression=f"count_if(purchases_{windows[-1]} > 0)",
            description="products this user bought in the longest window",
            needs=_BOUGHT,
        ),
        Feature(
            name="user_first",
            expression="max(purchases_first)",
            description="days since the first order",
            unit="days",
            needs=_BOUGHT,
        ),
        Feature(name="user_returns", expression="sum(returns_ever)", description="returns by this user", needs=("return",)),
        Feature(
            name="user_price",
            expression="sum(price_sum) / sum(priced)",
            description="mean price this user pays",
            unit="currency",
            needs=_BOUGHT,
        ),
        Feature(
            name="user_repeat_rate",
            expression="count_if(lines_ever > 1) / nullif(count_if(lines_ever > 0), 0)",
            description="share of this user's products bought again",
            unit="share",
            needs=_BOUGHT,
        ),
    )


def _habits(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    """Of the ones above, in relation."""
    return (
        derived("user_basket", "user_purchases / nullif(user_orders, 0)", "lines per order of this user", "ratio", *_BOUGHT),
        derived(
            "user_order_value",
            "user_spend / nullif(user_orders, 0)",
            "spend per order of this user",
            "currency",
            *_BOUGHT,
        ),
        Feature(
            name="user_gap",
            expression=_GAP,
            description="mean days between this user's orders",
            unit="days",
            needs=_BOUGHT,
            version=2,  # 2: both ends are of orders placed, not of purchases that stand
        ),
        Feature(
            name="user_due",
            expression=over_gap("min(ordered_last)", f"({_GAP})"),
            description="time since the last order over the usual gap",
            unit="ratio",
            needs=_BOUGHT,
            version=3,  # 2: null where the gap is unknown; 3: both are of orders placed
        ),
        *momentum(
            "user_momentum",
            "user_purchases",
            second_longest(windows),
            windows[-1],
            "this user's recent purchases against the longest window",
        ),
    )
