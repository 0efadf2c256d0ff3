"""What lies between the entities of a row."""

from propensity_spark.features.spec import Feature, derived, over_gap


def row(windows: tuple[int, ...]) -> tuple[Feature, ...]:
    """Features of a candidate pair, from those of its user, product and category."""
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
            over_gap("pair_purchases_last", "product_gap"),
            "time since the last order of it over all buyers' gap",
            "ratio",
            "purchase",
            version=2,  # 2: null where the gap is unknown
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
