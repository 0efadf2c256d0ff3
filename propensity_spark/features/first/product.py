"""What was done with a product."""

from propensity_spark.features import forecast
from propensity_spark.features.first.measures import second_longest
from propensity_spark.features.first.recent import counts, last, momentum
from propensity_spark.features.spec import Feature, derived

_BOUGHT = ("purchase",)


def product(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    """Features of a product."""
    whose, often = "of this product", ("views", "carts", "favourites", "spend")
    lately = (*counts("product", often, windows, whose), *_buyers(windows), *forecast.totals("product", whose))
    return (*lately, *last("product", whose), *_bought(), *_momentum(windows))


def _buyers(windows: tuple[int, ...]) -> list[Feature]:
    return [
        Feature(
            name=f"product_buyers_{days}",
            expression=f"count_if(purchases_{days} > 0)",
            description=f"users who bought this product in the last {days} days",
            unit="users",
            needs=_BOUGHT,
        )
        for days in windows
    ]


def _bought() -> tuple[Feature, ...]:
    return (
        Feature(
            name="product_buyers",
            expression="count_if(lines_ever > 0)",
            description="users who ever bought this product",
            unit="users",
            needs=_BOUGHT,
        ),
        Feature(
            name="product_buyers_recent",
            expression="count_if(purchases_popular > 0)",
            description="users who bought this product lately",
            unit="users",
            needs=_BOUGHT,
        ),
        Feature(
            name="product_age",
            expression="max(first_seen)",
            description="days since this product was first seen",
            unit="days",
        ),
        Feature(name="product_orders", expression="sum(lines_ever)", description="orders with this product", needs=_BOUGHT),
        Feature(
            name="product_orders_decayed",
            expression="sum(lines_decayed)",
            description="orders with this product, fading",
            needs=_BOUGHT,
        ),
        Feature(
            name="product_price",
            expression="sum(price_sum) / sum(priced)",
            description="mean price of this product",
            unit="currency",
            needs=_BOUGHT,
        ),
        Feature(
            name="product_pieces",
            expression="sum(quantity_ever) / sum(lines_ever)",
            description="pieces per order line",
            unit="pieces",
            needs=_BOUGHT,
        ),
        Feature(
            name="product_repeat_rate",
            expression="count_if(lines_ever > 1) / nullif(count_if(lines_ever > 0), 0)",
            description="share of this product's buyers who bought it again",
            unit="share",
            needs=_BOUGHT,
        ),
        Feature(
            name="product_gap",
            expression="sum(IF(lines_ever > 1, purchases_first - purchases_last, 0)) / nullif(sum(greatest(lines_ever - 1, 0)), 0)",
            description="mean days until a buyer orders this product again",
            unit="days",
            needs=_BOUGHT,
        ),
    )


def _momentum(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    long, of = windows[-1], "product_buyers"
    rising = momentum(
        "product_momentum", of, second_longest(windows), long, "this product's recent buyers against the longest window"
    )
    if len(windows) > 3:  # of three it would be the same once more
        version = 1 if len(windows) == 4 else 2  # 2: of more it was the second against the second longest
        what = "this product's buyers of the second window against the third"
        rising += momentum("product_momentum_short", of, windows[1], windows[2], what, version)
    return (
        *rising,
        derived(
            "product_conversion",
            f"product_buyers_{long} / nullif(product_views_{long}, 0)",
            "buyers of this product per view in the longest window",
            "ratio",
            "view",
            "purchase",
        ),
    )
