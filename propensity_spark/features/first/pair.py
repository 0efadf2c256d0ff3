"""What a user did with a product."""

from propensity_spark.features.first.recent import counts, last
from propensity_spark.features.spec import Feature, derived, over_gap


def pair(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    """Features of a user and a product."""
    whose = "of this product by this user"
    bought = ("purchase",)
    return (
        *counts("pair", ("views", "carts", "favourites"), windows, whose),
        *counts("pair", ("purchases",), windows[1:], whose),
        *last("pair", whose),
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
            over_gap("pair_purchases_last", "pair_gap"),
            "time since the last order of it over the usual gap",
            "ratio",
            *bought,
            version=2,  # 2: null where the gap is unknown
        ),
    )
