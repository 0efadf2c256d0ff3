"""Group `segment`: how well users like this one turn views into orders in the product's category.

A segment's rate is shrunk to the category's, and that to the shop's, since few views say little.
"""

from propensity_spark.config import FeatureConfig
from propensity_spark.features.segments import activity, by_attribute
from propensity_spark.features.spec import Feature, Part, derived

_NEEDS = ("view", "purchase")
_SHRINK = 200.0  # views that a category or a segment in it must have had for half of the weight


def declare(config: FeatureConfig, time_zone: str) -> Part:
    """Views and orders per segment and category; rates per joined row."""
    return Part(
        segment=by_attribute(config.segment_by) if config.segment_by else activity(config.windows),
        category=(_lines("category_lines", "in the product's category"),),
        segment_category=(
            _lines("segcat_lines", "of the user's segment in the category"),
            Feature(
                name="segcat_views",
                expression="sum(views_ever)",
                description="views of the user's segment in the category",
                needs=_NEEDS,
            ),
        ),
        row=(
            _rate("category_conversion", "category", "shop_lines / shop_views", "the category's views"),
            _rate("segment_conversion", "segcat", "category_conversion", "the views of the user's segment in the category"),
            derived(
                "segment_pull",
                "segment_conversion / category_conversion",
                "how well the user's segment orders in the category, against all users",
                "ratio",
                *_NEEDS,
            ),
        ),
    )


def _lines(name: str, where: str) -> Feature:
    return Feature(name=name, expression="sum(lines_ever)", description=f"order lines {where}", needs=_NEEDS)


def _rate(name: str, of: str, towards: str, whose: str) -> Feature:
    """Unknown categories have the rate that theirs is shrunk to."""
    lines, views = f"coalesce({of}_lines, 0)", f"coalesce({of}_views, 0)"
    expression = f"({lines} + {_SHRINK} * {towards}) / ({views} + {_SHRINK})"
    return derived(name, expression, f"order lines per view, of {whose}", "ratio", *_NEEDS)
