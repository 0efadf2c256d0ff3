"""Group `sessions`: what the user's visits are like, and what stays in the cart."""

from propensity_spark.config import FeatureConfig
from propensity_spark.features.first.measures import second_longest
from propensity_spark.features.spec import Feature, Measure, Part, derived

_VISITS = "nullif(sum(visits_ever), 0)"
_BOTH = ("cart", "purchase")
_NEVER = "1e9"  # days: older than any purchase
# At the same moment as the purchase counts as bought.
_LEFT = f"carts_last < coalesce(purchases_last, {_NEVER})"


def declare(config: FeatureConfig, time_zone: str) -> Part:
    """Visits per window, pages and minutes per visit, bounces of users; carts abandoned of pairs, users and products."""
    windows = config.windows
    told = second_longest(windows)  # the first group has this one
    counted = tuple(days for days in windows if days != told)
    return Part(
        measures=(
            *(Measure(name=f"visits_{days}", value="visit_first", days=days) for days in counted),
            Measure(name="visits_further", value="visit_second"),
            Measure(name="visit_minutes_ever", value="visit_minutes"),
        ),
        user=(*(_visits(days) for days in counted), *_visit(), *_abandoned()),
        pair=(
            derived(
                "pair_cart_open",
                f"IF(pair_carts_last < coalesce(pair_purchases_last, {_NEVER}), 1, 0)",
                "1 where this user put this product into the cart and has not bought it since",
                "count",
                *_BOTH,
            ),
        ),
        product=(_share("product_cart_left", "carts of this product that its users did not buy afterwards"),),
    )


def _visits(days: int) -> Feature:
    said = f"visits by this user in the last {days} days"
    return Feature(name=f"user_visits_{days}", expression=f"sum(visits_{days})", description=said)


def _visit() -> tuple[Feature, ...]:
    return (
        Feature(
            name="user_visit_pages",
            expression=f"sum(views_ever) / {_VISITS}",
            description="views per visit of this user",
            unit="ratio",
            needs=("view",),
        ),
        Feature(
            name="user_visit_minutes",
            expression=f"sum(visit_minutes_ever) / {_VISITS}",
            description="minutes from the first to the last event of a visit of this user, on average",
            unit="minutes",
        ),
        Feature(
            name="user_bounce",
            expression=f"1 - least(sum(visits_further), sum(visits_ever)) / {_VISITS}",
            description="share of this user's visits that had one event only",
            unit="share",
        ),
    )


def _abandoned() -> tuple[Feature, ...]:
    return (
        Feature(
            name="user_carts_left",
            expression=f"count_if({_LEFT})",
            description="products that this user put into the cart and did not buy afterwards",
            needs=_BOTH,
        ),
        _share("user_cart_left", "this user's products in the cart that she did not buy afterwards"),
    )


def _share(name: str, what: str) -> Feature:
    share = f"count_if({_LEFT}) / nullif(count_if(carts_ever > 0), 0)"
    return Feature(name=name, expression=share, description=f"share of {what}", unit="share", needs=_BOTH)
