"""A candidate row carries everything known about its pair, user, product and category at its as_of, and nothing else."""

from collections.abc import Callable

from pyspark.sql import DataFrame

from propensity_spark.features.spec import Feature, FeatureSet
from propensity_spark.trainset.assemble import BASE_COLUMNS, FITS, assemble, inputs

Make = Callable[..., DataFrame]
DAY, OTHER = "2024-04-01", "2024-05-01"


def _plain(name: str) -> Feature:
    return Feature(name=name, expression=f"sum({name})", description=name)


DECLARED = FeatureSet(
    measures=(),
    pair=(_plain("pair_n"),),
    user=(_plain("user_n"),),
    product=(_plain("product_n"),),
    user_category=(_plain("ucat_n"),),
    category=(_plain("category_n"),),
    shop=(_plain("shop_n"),),
    row=(
        Feature(name="share", expression="pair_n / user_n", description="-", derived=True),
        Feature(name="twice", expression="share * 2", description="-", derived=True),
        Feature(name="of_shop", expression="pair_n / shop_n", description="-", derived=True),
    ),
)
CANDIDATES = (
    "as_of DATE, user_id STRING, product_id STRING, candidate_source STRING, together_score FLOAT, als_score FLOAT, "
    "affinity FLOAT, following_score FLOAT, peers_score FLOAT, label INT, weight DOUBLE"
)


def _features(table: Make) -> dict[str, DataFrame]:
    old = "feature_version STRING, retired FLOAT"
    return {
        "pair": table(f"as_of DATE, user_id STRING, product_id STRING, pair_n FLOAT, {old}", (DAY, "ann", "lamp", 3.0, "v", 9.0)),
        "user": table(
            f"as_of DATE, user_id STRING, user_n FLOAT, {old}", (DAY, "ann", 6.0, "v", 9.0), (OTHER, "ann", 0.0, "v", 9.0)
        ),
        "product": table(f"as_of DATE, product_id STRING, product_n FLOAT, {old}", (DAY, "lamp", 5.0, "v", 9.0)),
        "user_category": table(
            f"as_of DATE, user_id STRING, category STRING, ucat_n FLOAT, {old}", (DAY, "ann", "light", 2.0, "v", 9.0)
        ),
        "category": table(f"as_of DATE, category STRING, category_n FLOAT, {old}", (DAY, "light", 8.0, "v", 9.0)),
        "shop": table(f"as_of DATE, shop_n FLOAT, {old}", (DAY, 12.0, "v", 9.0), (OTHER, 1.0, "v", 9.0)),
        "products": table(
            "product_id STRING, name STRING, category STRING",
            ("lamp", "Lamp", "light"),
            ("bulb", "Bulb", "light"),
            ("odd", "Odd", None),
        ),
    }


SCORES = ("together_score", "als_score", "affinity", "following_score", "peers_score")
ROWS = (
    (DAY, "ann", "lamp", "touched", 0.5, 0.25, 0.75, 0.125, 2.0, 1, 1.0),
    (DAY, "ann", "bulb", "popular", 0.0, None, None, None, None, 0, 5.0),  # never touched, but of a category that is known
    (DAY, "ann", "odd", "popular", 0.0, 0.5, -3.0, None, None, None, 5.0),  # of no category
    (DAY, "new", "lost", "popular", 0.0, None, None, None, None, 0, 5.0),  # nothing is known of either
    (OTHER, "ann", "lamp", "touched", 0.0, None, None, None, None, 0, 1.0),  # features of another date are not its own
)


def test_a_row_finds_its_features_at_its_own_date_and_unknown_is_null(table: Make) -> None:
    made = assemble(table(CANDIDATES, *ROWS), _features(table), DECLARED)
    names = ("pair_n", "user_n", "product_n", "ucat_n", "category_n", "share", "twice", "of_shop")
    assert made.columns == [*BASE_COLUMNS, *names, *SCORES]
    rows = made.collect()
    assert len(rows) == len(ROWS)
    found = {(str(r.as_of), r.user_id, r.product_id): tuple(r[name] for name in names) for r in rows}
    assert found == {
        (DAY, "ann", "lamp"): (3.0, 6.0, 5.0, 2.0, 8.0, 0.5, 1.0, 0.25),
        (DAY, "ann", "bulb"): (None, 6.0, None, 2.0, 8.0, None, None, None),
        (DAY, "ann", "odd"): (None, 6.0, None, None, None, None, None, None),
        (DAY, "new", "lost"): (None,) * 8,
        (OTHER, "ann", "lamp"): (None, 0.0, None, None, None, None, None, None),
    }
    also = ("user_id", "product_id", "candidate_source", *SCORES, "label", "weight")
    kept = {(str(r.as_of), *(r[name] for name in also)) for r in rows}
    assert kept == set(ROWS)


def test_a_shop_without_category_features_is_assembled_without_them(table: Make) -> None:
    bare = FeatureSet(
        measures=(),
        pair=DECLARED.pair,
        user=DECLARED.user,
        product=(),
        user_category=(),
        category=(),
        shop=(),
        row=DECLARED.row[:2],
    )
    features = {name: frame for name, frame in _features(table).items() if name not in ("user_category", "category", "shop")}
    made = assemble(table(CANDIDATES, *ROWS), features, bare)
    assert made.columns == [*BASE_COLUMNS, "pair_n", "user_n", "share", "twice", *SCORES]
    assert made.count() == len(ROWS)


def test_the_inputs_are_the_declared_columns_and_what_goes_together() -> None:
    assert [feature.name for feature in inputs(DECLARED)] == [*DECLARED.columns, *SCORES]
    assert inputs(DECLARED)[-len(FITS) :] == FITS
    assert all(feature.description for feature in FITS)
