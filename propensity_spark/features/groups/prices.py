"""Group `prices`: what the product costs lately against its usual price, and against what the user pays.

A product's price lately is a mean that fades fast, not the last line: lines of one order carry several prices (by quantity,
say), and which of them is the last would be chance.
"""

from propensity_spark.config import FeatureConfig
from propensity_spark.features.groups.statistics import mean, spread
from propensity_spark.features.spec import Feature, Measure, Part, derived

_NEEDS = ("purchase",)
_BOUGHT = "event = 'purchase'"
_FASTER = 12  # than decayed counts fade


def declare(config: FeatureConfig, time_zone: str) -> Part:
    """Range and spread of prices of users and products, prices in a category, discounts."""
    fades = f"pow(0.5D, age_days / {config.half_life_days / _FASTER})"
    return Part(
        measures=(
            _measure("price_squares", "price * price"),
            _measure("price_least", "price", "min"),
            _measure("price_most", "price", "max"),
            _measure("price_faded", f"price * {fades}"),
            _measure("priced_faded", f"IF(price IS NULL, 0.0D, {fades})"),
        ),
        user=(
            _price("user_price_least", "min(price_least)", "the lowest price that this user paid"),
            _price("user_price_most", "max(price_most)", "the highest price that this user paid"),
            _price("user_price_spread", _SPREAD, "standard deviation of the prices that this user paid"),
        ),
        product=(
            _price("product_price_now", mean("priced_faded", "price_faded"), "mean price of this product, the latest first"),
            _price("product_price_spread", _SPREAD, "standard deviation of this product's price"),
            _ratio("product_discount", "product_price_now / product_price", "this product's price lately against its usual one"),
        ),
        user_category=(_price("ucat_price", mean("priced", "price_sum"), "mean price that this user pays in the category"),),
        row=(
            _ratio("price_to_ucat", "product_price / ucat_price", "price against what this user pays in the category"),
            _ratio("price_now_to_user", "product_price_now / user_price", "price lately against what this user pays"),
            _ratio(
                "price_in_range",
                "(product_price - user_price_least) / nullif(user_price_most - user_price_least, 0)",
                "where the price lies in this user's range: 0 is her lowest, 1 her highest",
            ),
        ),
    )


_SPREAD = spread("priced", "price_sum", "price_squares")


def _measure(name: str, value: str, op: str = "sum") -> Measure:
    return Measure(name=name, op=op, where=_BOUGHT, value=value, needs=_NEEDS)


def _price(name: str, expression: str, description: str) -> Feature:
    return Feature(name=name, expression=expression, description=description, unit="currency", needs=_NEEDS)


def _ratio(name: str, expression: str, description: str) -> Feature:
    return derived(name, expression, description, "ratio", *_NEEDS)
