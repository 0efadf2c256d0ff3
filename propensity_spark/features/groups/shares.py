"""Group `shares`: which part of a whole something is: the product of its category, the category of the shop and the user.

All of them are of the longest window, but for the user's own, which buys too seldom for one. What a whole of nothing is
divided into is unknown.
"""

from propensity_spark.config import FeatureConfig
from propensity_spark.features.spec import Feature, Part, derived

_NEEDS = ("purchase",)


def declare(config: FeatureConfig, time_zone: str) -> Part:
    """The wholes per category, shop and user x category; the shares per joined row."""
    days = config.windows[-1]
    return Part(
        category=(
            _spend("category", f"sum(spend_{days})", f"spend in the product's category in the last {days} days"),
            Feature(
                name="category_buyers",
                expression=f"count_if(purchases_{days} > 0)",
                description=f"buyers of the category's products in the last {days} days, added up over products",
                needs=_NEEDS,
            ),
        ),
        user_category=(_spend("ucat", "sum(spend_ever)", "spend in this category by this user"),),
        shop=(_spend("shop", f"sum(spend_{days})", f"spend in the shop in the last {days} days"),),
        row=(
            _share(
                "product_category_spend", f"product_spend_{days} / category_spend", "this product's part of its category's spend"
            ),
            _share(
                "product_category_buyers",
                f"product_buyers_{days} / category_buyers",
                "this product's part of its category's buyers",
            ),
            _share("product_shop_spend", f"product_spend_{days} / shop_spend", "this product's part of the shop's spend"),
            _share("category_shop_spend", "category_spend / shop_spend", "the category's part of the shop's spend"),
            _share("category_user_spend", "ucat_spend / user_spend", "the category's part of this user's spend"),
        ),
    )


def _spend(entity: str, expression: str, description: str) -> Feature:
    return Feature(name=f"{entity}_spend", expression=expression, description=description, unit="currency", needs=_NEEDS)


def _share(name: str, expression: str, description: str) -> Feature:
    return derived(f"{name}_share", expression, description, "share", *_NEEDS)
