"""How the scores of candidates are made, and by which settings: models read only numbers that were made as theirs were."""

import hashlib

from propensity_spark.config import Config
from propensity_spark.features.spec import FeatureSet
from propensity_spark.trainset.collaborative import Learning

# Raised where the same settings come to mean other numbers. 2: affinity is null where it has no level. 3: beyond 20,000 users
# buyers are sampled first; beyond candidates.products products those of the season are listed, and who knows none of them is scored
MEANING = 3
HANG_ON = ("history", "products", "together_days", "together_neighbours")  # of candidates.*


def learning(config: Config, declared: FeatureSet) -> Learning:
    """How candidates learn from what all users did."""
    half_life = config.features.half_life_days
    return Learning(
        horizon_days=config.labels.horizon_days,
        half_life_days=2 * half_life,  # tastes last longer than habits
        seed=config.train.seed,
        recent_half_life=half_life if declared.candidate else None,
    )


def version(config: Config, declared: FeatureSet) -> str:
    """A digest of the settings that the scores of candidates hang on (assemble.FITS)."""
    asked = config.candidates
    made = repr(
        (
            MEANING,
            learning(config, declared),
            [getattr(asked, name) for name in HANG_ON],
            bool(asked.together or asked.als or asked.affinity),  # without them nothing is scored
            config.shop.time_zone,
        )
    )
    return hashlib.sha256(made.encode()).hexdigest()[:12]
