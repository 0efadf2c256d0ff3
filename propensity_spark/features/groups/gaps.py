"""Group `gaps`: how regular orders are, and how late the next one is by that measure.

A gap is the time between an order and the user's order before it (of that product, for pairs), whether or not either was
taken back later. With fewer than two gaps, hence three orders, nothing is known of their spread.
"""

from propensity_spark.config import FeatureConfig
from propensity_spark.features.first.measures import PLACED
from propensity_spark.features.groups.statistics import mean, spread
from propensity_spark.features.spec import Feature, Measure, Part, derived, over_gap

_NEEDS = ("purchase",)
_LEAST = 1  # day: of a spread that something is divided by; nobody is regular to the minute


def declare(config: FeatureConfig, time_zone: str) -> Part:
    """Spread of gaps of users, pairs and products; lateness of users and pairs, in spreads."""
    return Part(
        measures=(*_gaps("order"), *_gaps("line")),
        user=(
            _spread("user_gap_spread", "order", "this user's orders"),
            _late("user_late", "order", "the last order"),
        ),
        pair=(
            _spread("pair_gap_spread", "line", "this user's orders of this product"),
            _late("pair_late", "line", "the last order of this product by this user"),
        ),
        product=(_spread("product_gap_spread", "line", "orders of this product, over all its buyers"),),
        row=(
            derived(
                "pair_late_product",
                over_gap("(pair_purchases_last - product_gap)", "product_gap_spread"),
                "time since the last order of it, beyond all buyers' usual gap, over the spread of their gaps",
                "ratio",
                *_NEEDS,
                version=2,  # 2: null where the spread is unknown
            ),
        ),
    )


def _gaps(what: str) -> tuple[Measure, ...]:
    gap = f"{what}_gap"
    values = {f"{gap}s": f"IF({gap} IS NULL, 0.0D, 1.0D)", f"{gap}_sum": gap, f"{gap}_squares": f"{gap} * {gap}"}
    return tuple(Measure(name=name, where=PLACED, value=value, needs=_NEEDS) for name, value in values.items())


def _of(what: str) -> tuple[str, str, str]:
    return (f"{what}_gaps", f"{what}_gap_sum", f"{what}_gap_squares")


def _spread(name: str, what: str, whose: str) -> Feature:
    said = f"standard deviation of the days between {whose}; from three orders on"
    return Feature(name=name, expression=spread(*_of(what)), description=said, unit="days", needs=_NEEDS)


def _late(name: str, what: str, since: str) -> Feature:
    count, total, _ = _of(what)
    late = f"(min(ordered_last) - {mean(count, total)}) / greatest({spread(*_of(what))}, {_LEAST})"
    said = f"time since {since}, beyond the usual gap, over the spread of the gaps; from three orders on"
    expression = f"IF(sum({count}) > 1, {late}, NULL)"
    # version 3 is version 2 with what it reads told in another order
    return Feature(name=name, expression=expression, description=said, unit="ratio", needs=_NEEDS, version=3)
