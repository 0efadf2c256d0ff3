"""What to expect of a pair from rates, declared: how often the user looks, at what, and how looking turns into orders.

Few events say little, so every rate is shrunk: a share of views to what the user's taste would give, the user's and the
product's orders per view to the shop's. Units are events in `_DAYS` days.
"""

from propensity_spark.features.spec import Feature, Measure, derived

_NEEDS = ("view", "purchase")  # without views, order lines stand elsewhere already
_DAYS = 28
_TENURE = f"greatest(user_tenure, {_DAYS / 2})"  # days; a newcomer's first hours are no rate yet
_SHRINK = 10.0  # orders and carts that a user or product must have shown for half of the weight
# Views for half of the weight of the user's own choice of products, against her taste: two answers for trees to weigh.
_SURE, _UNSURE = 100.0, 30.0


def measures(line: str) -> tuple[Measure, ...]:
    """What a pair must count for the forecasts; `line` is 1 for the first line of an order and product that stands."""
    meant = f"IF(event = 'purchase', {line}, 1.0D)"
    return (Measure(name="intents_ever", where="event IN ('purchase', 'cart')", value=meant, needs=_NEEDS),)


def totals(entity: str, whose: str) -> tuple[Feature, ...]:
    """The views and intents (lines ordered and products put into the cart) of a user, product or the whole shop."""
    return (
        Feature(name=f"{entity}_views", expression="sum(views_ever)", description=f"views {whose}", needs=("view",)),
        Feature(
            name=f"{entity}_intents",
            expression="sum(intents_ever)",
            description=f"order lines and carts {whose}",
            needs=_NEEDS,
        ),
    )


def shop() -> tuple[Feature, ...]:
    """The whole shop's totals: what everything else is held against, no input of a model."""
    bought = Feature(name="shop_lines", expression="sum(lines_ever)", description="order lines of the shop", needs=_NEEDS)
    return (*totals("shop", "of the shop"), bought)


def user_category() -> tuple[Feature, ...]:
    """The user's taste for a category (see `taste`)."""
    share = "sum(views_taste) / max(user_taste)"
    what = "share of this user's views that taste for the category explains"
    return (Feature(name="ucat_taste", expression=share, description=what, unit="share", needs=("view",)),)


def row() -> tuple[Feature, ...]:
    """The forecasts of a joined row, each from those above it."""
    taste = "IF(user_views > 0, coalesce(ucat_taste, 0), NULL) * product_views / category_views"
    bought_per_view = "user_eagerness * product_pull * shop_lines / shop_views"
    by_taste = "browse_share * user_views"
    return (
        _seen(
            "browse_share",
            f"coalesce({taste}, product_views / shop_views)",
            "the part of this user's views that falls on this product by taste for its category",
            "share",
        ),
        _seen("user_view_rate", f"user_views / {_TENURE} * {_DAYS}", "views by this user"),
        _seen("own_views", f"coalesce(pair_views, 0) / {_TENURE} * {_DAYS}", "views of this product by this user"),
        _seen("browse_views", "browse_share * user_view_rate", "views of this product to expect by taste"),
        _seen(
            "pair_surprise",
            f"(coalesce(pair_views, 0) - {by_taste}) / sqrt({by_taste} + 1)",
            "views of this product beyond those by taste, in standard deviations",
            "ratio",
        ),
        _seen(
            "extra_views",
            f"greatest(coalesce(pair_views, 0) - {by_taste} - sqrt({by_taste} + 1), 0) / {_TENURE} * {_DAYS}",
            "views of this product beyond those by taste and by chance",
        ),
        _ratio("user_eagerness", "user", "this user's views turn into orders and carts, against the shop's"),
        _ratio("product_pull", "product", "this product's views turn into orders and carts, against the shop's"),
        _seen("forecast_views", _shrunk(_SURE), "views of this product to expect by taste and own views"),
        _bought("own_orders", f"own_views * {bought_per_view}", "orders to expect from the views of this product by this user"),
        _bought("browse_orders", f"browse_views * {bought_per_view}", "orders to expect by taste"),
        _bought("extra_orders", f"(browse_views + extra_views) * {bought_per_view}", "orders to expect by taste and beyond it"),
        _bought("forecast_orders", f"forecast_views * {bought_per_view}", "orders to expect by taste and own views"),
        _bought("forecast_orders_own", f"{_shrunk(_UNSURE)} * {bought_per_view}", "the same, trusting own views sooner"),
    )


def _shrunk(views: float) -> str:
    """The user's views times the share that falls on the product: her own choice, shrunk by `views` of taste."""
    return f"user_view_rate * (coalesce(pair_views, 0) + {views} * browse_share) / (user_views + {views})"


def _ratio(name: str, entity: str, description: str) -> Feature:
    expected = f"{entity}_views * shop_intents / shop_views"
    expression = f"({entity}_intents + {_SHRINK}) / ({expected} + {_SHRINK})"
    return derived(name, expression, f"how well {description}", "ratio", *_NEEDS)


def _seen(name: str, expression: str, description: str, unit: str = "rate") -> Feature:
    return derived(name, expression, _in_days(description, unit), unit, "view")


def _bought(name: str, expression: str, description: str) -> Feature:
    return derived(name, expression, _in_days(description, "rate"), "rate", *_NEEDS)


def _in_days(description: str, unit: str) -> str:
    return f"{description}, in {_DAYS} days" if unit == "rate" else description
