"""Candidate pairs with everything known about them at their as_of: the rows that models train on and score."""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.features.categories import add_category
from propensity_spark.features.compute import derive
from propensity_spark.features.spec import Feature, FeatureSet

# What comes with a candidate pair (see trainset.collaborative).
FITS = (
    Feature(
        name="together_score",
        expression="together_score",
        description="how closely it goes together with what the user bought",
        unit="score",
    ),
    Feature(
        name="als_score",
        expression="als_score",
        description="how well it fits what the user does, by what users alike do (ALS)",
        unit="score",
    ),
    Feature(
        name="affinity",
        expression="affinity",
        description="how likely a user who has not touched it takes it up, by popularity, novelty and fit (a logit)",
        unit="score",
    ),
    Feature(
        name="following_score",
        expression="following_score",
        description="how much users with such a past bought it next (ridge regression)",
        unit="score",
    ),
    Feature(
        name="peers_score",
        expression="peers_score",
        description="how much it draws the users most alike these days",
        unit="score",
    ),
)
BASE_COLUMNS = ("as_of", "user_id", "product_id", "category", "candidate_source", "label", "weight")


def inputs(declared: FeatureSet) -> tuple[Feature, ...]:
    """The model's inputs, in order."""
    return (*declared.inputs, *FITS)


def assemble(candidates: DataFrame, features: Mapping[str, DataFrame], declared: FeatureSet, also: Sequence[str] = ()) -> DataFrame:
    """Join each pair with the features of its pair, user, product, category, segment and shop at the same as_of.

    Takes   trainset.candidates rows; `features`: pair, user, product, user_category, category, segment_category, shop,
            series (their tables) and products (see categories.add_category); `also`: further columns of the candidates.
    Returns as_of, user_id, product_id, category, candidate_source, label, weight, the inputs and `also`; unknown is null.
    """
    joined = _with_narrow(candidates, features, declared)
    segment = ("segment",) if declared.segment_category else ()
    joined = (
        joined.join(_only(features["pair"], declared.pair, "user_id", "product_id"), ["as_of", "user_id", "product_id"], "left")
        .join(_only(features["user"], declared.user, "user_id", *segment), ["as_of", "user_id"], "left")
        .join(_only(features["product"], declared.product, "product_id"), ["as_of", "product_id"], "left")
    )
    if declared.segment_category:
        alike = _only(features["segment_category"], declared.segment_category, "segment", "category")
        joined = joined.join(alike, ["as_of", "segment", "category"], "left")
    if declared.series:
        joined = joined.join(_only(features["series"], declared.series, "user_id"), ["as_of", "user_id"], "left")
    return derive(joined, declared.row).select(*BASE_COLUMNS, *(feature.name for feature in inputs(declared)), *also)


def _with_narrow(candidates: DataFrame, features: Mapping[str, DataFrame], declared: FeatureSet) -> DataFrame:
    """The candidates with what few columns tell of their category and shop.

    It comes first: each join writes the whole row anew, above a hundred columns without code of its own, and the tables of
    pairs and of users by category are too large to be broadcast, so that the rows are shuffled for each.
    """
    joined = add_category(candidates, features["products"])
    if declared.category:
        joined = joined.join(_only(features["category"], declared.category, "category"), ["as_of", "category"], "left")
    if declared.shop:
        joined = joined.join(F.broadcast(_only(features["shop"], declared.shop)), ["as_of"], "left")
    if declared.user_category:
        mine = _only(features["user_category"], declared.user_category, "user_id", "category")
        joined = joined.join(mine, ["as_of", "user_id", "category"], "left")
    return joined


def _only(frame: DataFrame, features: tuple[Feature, ...], *keys: str) -> DataFrame:
    """The table's keys and declared features: an older version's further columns stay behind."""
    return frame.select("as_of", *keys, *(feature.name for feature in features))
