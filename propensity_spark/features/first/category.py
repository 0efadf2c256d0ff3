"""What was done in a category, by a user and by all."""

from propensity_spark.features.first.measures import second_longest
from propensity_spark.features.first.recent import counts
from propensity_spark.features.spec import Feature


def user_category(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    """Features of a user and a category."""
    whose = "in this category by this user"
    recent = windows[-2:]
    return (
        *counts("ucat", ("views", "carts", "purchases"), recent, whose),
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


def category(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    """Features of a category."""
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
            expression=f"sum(purchases_{second_longest(windows)})",
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
