"""The features, declared: the first set here, further groups in `groups`. Adding one is one row; nothing else changes."""

from collections.abc import Sequence
from dataclasses import replace

from propensity_spark.config import FeatureConfig, SeriesConfig
from propensity_spark.errors import ConfigError
from propensity_spark.features import forecast, series
from propensity_spark.features.declared import Total
from propensity_spark.features.groups import registry
from propensity_spark.features.spec import Feature, FeatureSet, Measure, derived, present

_ACTIONS = {"views": "view", "carts": "cart", "favourites": "favourite", "purchases": "purchase"}
_AGE = "age_days"  # fractional days before as_of
# The first line of an order and product that stands: the lines before it, if any, had all been taken back by then.
_LINE = "IF(line_since IS NULL OR line_since < as_of_ts, 1.0D, 0.0D)"


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
        measures=present(_measures(windows, half_life, popular_days), events),
        pair=present(_pair(windows), events),
        user=present(_user(windows), events),
        product=present(_product(windows), events),
        user_category=present((*_user_category(windows), *forecast.user_category()), events),
        category=present(_category(windows), events),
        shop=present(forecast.shop(), events),
        row=present((*_row(windows), *forecast.row()), events),
        history_days=config.history_days,
        settings_version=config.version,
    )


def shop_totals(config: FeatureConfig, events: frozenset[str]) -> tuple[Total, ...]:
    """The totals kept current from day to day, for a shop that logs these event types: money and pieces in 1/10000."""
    made: list[Total] = []
    for action, event in _ACTIONS.items():
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


def _measures(windows: tuple[int, ...], half_life: float, popular_days: int) -> tuple[Measure, ...]:
    made = [
        Measure(name=f"{action}_{days}", where=f"event = '{event}'", days=days, needs=(event,))
        for action, event in _ACTIONS.items()
        for days in windows
    ]
    for days in windows:
        made += [_ordered(f"orders_{days}", days), _purchase(f"spend_{days}", "amount", days)]
    for action, event in _ACTIONS.items():
        has = f"event = '{event}'"
        made += [
            Measure(name=f"{action}_ever", where=has, needs=(event,)),
            Measure(name=f"{action}_last", op="min", where=has, value=_AGE, needs=(event,)),
        ]
    decay = f"pow(0.5D, {_AGE} / {half_life})"
    made += [
        _ordered("orders_ever"),
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
        Measure(name="visits_recent", value="visit_first", days=windows[-2] if len(windows) > 1 else windows[-1]),
        Measure(name="first_seen", op="max", value=_AGE),
        Measure(name="last_seen", op="min", value=_AGE),
        *forecast.measures(_LINE),
    ]
    return tuple(made)


def _purchase(name: str, value: str, days: int | None = None) -> Measure:
    return Measure(name=name, where="event = 'purchase'", value=value, days=days, needs=("purchase",))


def _ordered(name: str, days: int | None = None) -> Measure:
    """Orders placed, whether or not a line of them was taken back later."""
    placed = "event IN ('purchase', 'cancelled')"
    return Measure(name=name, where=placed, value="order_first", days=days, needs=("purchase",))


def _counts(entity: str, actions: tuple[str, ...], windows: tuple[int, ...], whose: str) -> list[Feature]:
    return [
        Feature(
            name=f"{entity}_{action}_{days}",
            expression=f"sum({action}_{days})",
            description=f"{action} {whose} in the last {days} days",
            unit="currency" if action == "spend" else "count",
            needs=(_ACTIONS.get(action, "purchase"),),
        )
        for action in actions
        for days in windows
    ]


def _last(entity: str, whose: str) -> list[Feature]:
    return [
        Feature(
            name=f"{entity}_{action}_last",
            expression=f"min({action}_last)",
            description=f"days since the last {event} {whose}",
            unit="days",
            needs=(event,),
        )
        for action, event in _ACTIONS.items()
    ]


def _pair(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    whose = "of this product by this user"
    bought = ("purchase",)
    return (
        *_counts("pair", ("views", "carts", "favourites"), windows, whose),
        *_counts("pair", ("purchases",), windows[1:], whose),
        *_last("pair", whose),
        Feature(name="pair_seen_last", expression="min(last_seen)", description=f"days since any event {whose}", unit="days"),
        Feature(name="pair_views", expression="sum(views_ever)", description=f"views {whose}, ever", needs=("view",)),
        Feature(
            name="pair_views_decayed",
            expression="sum(views_decayed)",
            description=f"views {whose}, fading",
            needs=("view",),
        ),
        Feature(
            name="pair_orders",
            expression="sum(lines_ever)",
            description="orders of this user with this product",
            needs=bought,
        ),
        Feature(
            name="pair_orders_decayed",
            expression="sum(lines_decayed)",
            description="orders of this user with this product, fading",
            needs=bought,
        ),
        Feature(
            name="pair_quantity",
            expression="sum(quantity_ever)",
            description=f"pieces bought {whose}",
            unit="pieces",
            needs=bought,
        ),
        Feature(name="pair_spend", expression="sum(spend_ever)", description=f"spend {whose}", unit="currency", needs=bought),
        Feature(
            name="pair_first",
            expression="max(purchases_first)",
            description=f"days since the first purchase {whose}",
            unit="days",
            needs=bought,
        ),
        derived(
            "pair_gap",
            "IF(pair_orders > 1, (pair_first - pair_purchases_last) / (pair_orders - 1), NULL)",
            "mean days between this user's orders of this product",
            "days",
            *bought,
        ),
        derived(
            "pair_due",
            "pair_purchases_last / greatest(pair_gap, 1)",
            "time since the last order of it over the usual gap",
            "ratio",
            *bought,
        ),
    )


def _user(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    whose, bought = "by this user", ("purchase",)
    actions = ("views", "carts", "favourites", "purchases", "orders", "spend")
    return (
        *_counts("user", actions, windows, whose),
        *_last("user", whose),
        *forecast.totals("user", whose),
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
        Feature(name="user_orders", expression="sum(orders_ever)", description="orders by this user", needs=bought),
        Feature(name="user_purchases", expression="sum(lines_ever)", description="order lines by this user", needs=bought),
        Feature(
            name="user_spend",
            expression="sum(spend_ever)",
            description="spend by this user",
            unit="currency",
            needs=bought,
        ),
        Feature(
            name="user_products",
            expression="count_if(lines_ever > 0)",
            description="products this user bought",
            needs=bought,
        ),
        Feature(
            name="user_products_recent",
            expression=f"count_if(purchases_{windows[-1]} > 0)",
            description="products this user bought in the longest window",
            needs=bought,
        ),
        Feature(
            name="user_first",
            expression="max(purchases_first)",
            description="days since the first order",
            unit="days",
            needs=bought,
        ),
        Feature(name="user_returns", expression="sum(returns_ever)", description="returns by this user", needs=("return",)),
        Feature(
            name="user_price",
            expression="sum(price_sum) / sum(priced)",
            description="mean price this user pays",
            unit="currency",
            needs=bought,
        ),
        Feature(
            name="user_repeat_rate",
            expression="count_if(lines_ever > 1) / nullif(count_if(lines_ever > 0), 0)",
            description="share of this user's products bought again",
            unit="share",
            needs=bought,
        ),
        derived("user_basket", "user_purchases / nullif(user_orders, 0)", "lines per order of this user", "ratio", *bought),
        derived(
            "user_order_value",
            "user_spend / nullif(user_orders, 0)",
            "spend per order of this user",
            "currency",
            *bought,
        ),
        derived(
            "user_gap",
            "(user_first - user_purchases_last) / IF(user_first > user_purchases_last, user_orders - 1, NULL)",
            "mean days between this user's orders",
            "days",
            *bought,
        ),
        derived(
            "user_due",
            "user_purchases_last / greatest(user_gap, 1)",
            "time since the last order over the usual gap",
            "ratio",
            *bought,
        ),
        derived(
            "user_momentum",
            f"(user_purchases_{windows[-2] if len(windows) > 1 else windows[-1]} + 1) / (user_purchases_{windows[-1]} + 1)",
            "this user's recent purchases against the longest window",
            "ratio",
            *bought,
        ),
    )


def _product(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    whose, bought = "of this product", ("purchase",)
    short, long = (windows[-2] if len(windows) > 1 else windows[-1]), windows[-1]
    buyers = [
        Feature(
            name=f"product_buyers_{days}",
            expression=f"count_if(purchases_{days} > 0)",
            description=f"users who bought this product in the last {days} days",
            unit="users",
            needs=bought,
        )
        for days in windows
    ]
    return (
        *_counts("product", ("views", "carts", "favourites", "spend"), windows, whose),
        *buyers,
        *forecast.totals("product", whose),
        *_last("product", whose),
        Feature(
            name="product_buyers",
            expression="count_if(lines_ever > 0)",
            description="users who ever bought this product",
            unit="users",
            needs=bought,
        ),
        Feature(
            name="product_buyers_recent",
            expression="count_if(purchases_popular > 0)",
            description="users who bought this product lately",
            unit="users",
            needs=bought,
        ),
        Feature(
            name="product_age",
            expression="max(first_seen)",
            description="days since this product was first seen",
            unit="days",
        ),
        Feature(name="product_orders", expression="sum(lines_ever)", description="orders with this product", needs=bought),
        Feature(
            name="product_orders_decayed",
            expression="sum(lines_decayed)",
            description="orders with this product, fading",
            needs=bought,
        ),
        Feature(
            name="product_price",
            expression="sum(price_sum) / sum(priced)",
            description="mean price of this product",
            unit="currency",
            needs=bought,
        ),
        Feature(
            name="product_pieces",
            expression="sum(quantity_ever) / sum(lines_ever)",
            description="pieces per order line",
            unit="pieces",
            needs=bought,
        ),
        Feature(
            name="product_repeat_rate",
            expression="count_if(lines_ever > 1) / nullif(count_if(lines_ever > 0), 0)",
            description="share of this product's buyers who bought it again",
            unit="share",
            needs=bought,
        ),
        Feature(
            name="product_gap",
            expression="sum(IF(lines_ever > 1, purchases_first - purchases_last, 0)) / nullif(sum(greatest(lines_ever - 1, 0)), 0)",
            description="mean days until a buyer orders this product again",
            unit="days",
            needs=bought,
        ),
        derived(
            "product_momentum",
            f"(product_buyers_{short} + 1) / (product_buyers_{long} + 1)",
            "this product's recent buyers against the longest window",
            "ratio",
            *bought,
        ),
        derived(
            "product_momentum_short",
            f"(product_buyers_{windows[1] if len(windows) > 2 else windows[0]} + 1) / (product_buyers_{short} + 1)",
            "this product's buyers of the second window against the third",
            "ratio",
            *bought,
        ),
        derived(
            "product_conversion",
            f"product_buyers_{long} / nullif(product_views_{long}, 0)",
            "buyers of this product per view in the longest window",
            "ratio",
            "view",
            "purchase",
        ),
    )


def _user_category(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    whose = "in this category by this user"
    recent = windows[-2:]
    return (
        *_counts("ucat", ("views", "carts", "purchases"), recent, whose),
        Feature(name="ucat_views", expression="sum(views_ever)", description=f"views {whose}", needs=("view",)),
        Feature(name="ucat_carts", expression="sum(carts_ever)", description=f"carts {whose}", needs=("cart",)),
        Feature(name="ucat_orders", expression="sum(lines_ever)", description=f"order lines {whose}", needs=("purchase",)),
        Feature(
            name="ucat_orders_decayed",
            expression="sum(lines_decayed)",
            description=f"order lines {whose}, fading",
            needs=("purchase",),
        ),
        Feature(
            name="ucat_last",
            expression="min(purchases_last)",
            description=f"days since a purchase {whose}",
            unit="days",
            needs=("purchase",),
        ),
        Feature(name="ucat_seen_last", expression="min(last_seen)", description=f"days since an event {whose}", unit="days"),
    )


def _category(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    return (
        Feature(
            name="category_price",
            expression="sum(price_sum) / sum(priced)",
            description="mean price paid in the product's category",
            unit="currency",
            needs=("purchase",),
        ),
        Feature(
            name="category_orders_recent",
            expression=f"sum(purchases_{windows[-2] if len(windows) > 1 else windows[-1]})",
            description="purchases in the product's category in the second longest window",
            needs=("purchase",),
        ),
        Feature(
            name="category_views",
            expression="sum(views_ever)",
            description="views in the product's category",
            needs=("view",),
        ),
    )


def _row(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    long = windows[-1]
    return (
        derived(
            "pair_order_share",
            "pair_orders / user_orders",
            "share of this user's orders with this product",
            "share",
            "purchase",
        ),
        derived(
            "pair_due_product",
            "pair_purchases_last / greatest(product_gap, 1)",
            "time since the last order of it over all buyers' gap",
            "ratio",
            "purchase",
        ),
        derived("price_to_user", "product_price / user_price", "price against what this user pays", "ratio", "purchase"),
        derived("price_to_category", "product_price / category_price", "price against the category's", "ratio", "purchase"),
        derived(
            "ucat_order_share",
            "ucat_orders / user_purchases",
            "share of this user's purchases in the category",
            "share",
            "purchase",
        ),
        derived(
            "ucat_view_share",
            f"ucat_views_{long} / user_views_{long}",
            "share of this user's views in the category",
            "share",
            "view",
        ),
        derived(
            "ucat_view_share_ever",
            "ucat_views / category_views * 1000",
            "this user's part of the category's views, per mille",
            "share",
            "view",
        ),
        derived(
            "product_in_category",
            f"product_views_{long} / category_views",
            "this product's part of the category's views",
            "share",
            "view",
        ),
        derived(
            "user_view_to_order",
            f"user_orders_{long} / user_views_{long}",
            "this user's orders per view",
            "ratio",
            "view",
            "purchase",
        ),
    )
