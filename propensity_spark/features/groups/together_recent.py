"""Group `together_recent`: what goes together with what the user bought, the recent first (see trainset.shelf)."""

from propensity_spark.config import FeatureConfig
from propensity_spark.features.spec import Feature, Part


def declare(config: FeatureConfig, time_zone: str) -> Part:
    """The score that comes with a candidate."""
    return Part(
        candidate=(
            Feature(
                name="together_recent",
                expression=f"together(pair_purchases_last, {config.half_life_days})",
                description="how closely it goes together with what the user bought; her purchases and everyone's joint ones "
                f"count half as much per {config.half_life_days:g} days",
                unit="score",
                derived=True,
                needs=("purchase",),
                version=3,  # 3: ages in whole days
            ),
        )
    )
