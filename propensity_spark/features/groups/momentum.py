"""Group `momentum`: whether views and spend are rising, a short window against a longer one.

Above 1 they rise. Both windows are brought to the same length, and smoothed towards 1: by a few views, or a few lines at
the mean value of what was bought. Where nothing was ever bought, the momentum of spend is unknown.
"""

from propensity_spark.config import FeatureConfig
from propensity_spark.features.spec import Feature, Part

_VIEWS, _LINES = 5, 2  # how much is added on both sides


def declare(config: FeatureConfig, time_zone: str) -> Part:
    """The momentum of views and spend of users, products, categories and users in categories."""
    return Part(
        user=_features("user", "by this user", config.windows),
        product=_features("product", "of this product", config.windows),
        category=_features("category", "in the product's category", config.windows),
        user_category=_features("ucat", "in this category by this user", config.windows),
    )


def _features(entity: str, whose: str, windows: tuple[int, ...]) -> tuple[Feature, ...]:
    """Of the two longest windows and of the two before; a single window has nothing to be held against."""
    spans = {"": windows[-2:], "_short": windows[-3:-1]}
    return tuple(
        feature
        for suffix, span in spans.items()
        if len(span) == 2
        for feature in (_views(entity, whose, suffix, *span), _spend(entity, whose, suffix, *span))
    )


def _views(entity: str, whose: str, suffix: str, short: int, long: int) -> Feature:
    return Feature(
        name=f"{entity}_view_momentum{suffix}",
        expression=f"(sum(views_{short}) * {long / short} + {_VIEWS}) / (sum(views_{long}) + {_VIEWS})",
        description=f"views {whose} of {short} days against {long}",
        unit="ratio",
        needs=("view",),
    )


def _spend(entity: str, whose: str, suffix: str, short: int, long: int) -> Feature:
    more = f"{_LINES} * sum(spend_ever) / nullif(sum(lines_ever), 0)"
    return Feature(
        name=f"{entity}_spend_momentum{suffix}",
        expression=f"(sum(spend_{short}) * {long / short} + {more}) / (sum(spend_{long}) + {more})",
        description=f"spend {whose} of {short} days against {long}",
        unit="ratio",
        needs=("purchase",),
    )
