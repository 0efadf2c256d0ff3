"""What a date is judged by is what was known when it began: the categories of its products, and which there were."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.features.categories import UNTOLD, Categories
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import judging
from propensity_spark.schemas import EVENTS, PRODUCT_VERSIONS, PRODUCTS

Make = Callable[..., DataFrame]
AS_OF = date(2024, 4, 1)
EVER, JUST_BEFORE, BEGIN = "1900-01-01 00:00:00", "2024-03-31 23:59:59.999999", "2024-04-01 00:00:00"


def _row(columns: tuple[str, ...], **said: object) -> tuple[object, ...]:
    return tuple(said.get(column) for column in columns)


def _lately(table: Make, *buyers: tuple[str, float]) -> None:
    """features.product of the date: so many bought each product lately."""
    ddl = "as_of DATE, product_id STRING, product_buyers_recent FLOAT, feature_version STRING"
    rows = table(ddl, *((f"{AS_OF}", product, count, "v") for product, count in buyers))
    tables.replace(rows, "features.product", f"as_of = DATE'{AS_OF}'")


def test_categories_judged_apart_are_those_that_products_had_when_the_date_began(
    spark: SparkSession, table: Make, warehouse: Path
) -> None:
    names = [f"c{n:02}" for n in range(11)]  # one more than are judged apart
    listed = [_row(PRODUCTS.columns, product_id=f"of {name}", category="outlet") for name in names]
    tables.overwrite(table(PRODUCTS.ddl, *listed), PRODUCTS.name)
    told = [(f"of {name}", category, at) for name in names for category, at in ((name, EVER), ("outlet", BEGIN))]
    versions = [_row(PRODUCT_VERSIONS.columns, product_id=p, category=c, valid_from=at, known_ts=at) for p, c, at in told]
    tables.overwrite(table(PRODUCT_VERSIONS.ddl, *versions), PRODUCT_VERSIONS.name)
    _lately(table, *((f"of {name}", float(n)) for n, name in enumerate(names)))
    dated: Any = type("Moment", (), {"categories": Categories(by_catalogue=True)})
    assert judging._categories(spark, dated, AS_OF) == names[:0:-1]
    undated: Any = type("Moment", (), {"categories": UNTOLD})
    assert judging._categories(spark, undated, AS_OF) == ["outlet"]


def test_the_catalogue_that_lists_could_hold_is_of_what_was_known_by_then(
    spark: SparkSession, table: Make, warehouse: Path
) -> None:
    listed = ("looked at", "looked at later", "told of", "told of later", "ever there", "ever there, looked at later")
    tables.overwrite(table(PRODUCTS.ddl, *(_row(PRODUCTS.columns, product_id=name) for name in listed)), PRODUCTS.name)
    told = {"told of": JUST_BEFORE, "told of later": BEGIN, **dict.fromkeys(listed[-2:], EVER)}
    versions = [_row(PRODUCT_VERSIONS.columns, product_id=p, valid_from=at, known_ts=at) for p, at in told.items()]
    tables.overwrite(table(PRODUCT_VERSIONS.ddl, *versions), PRODUCT_VERSIONS.name)
    seen = {"looked at": JUST_BEFORE, "looked at later": BEGIN, "ever there, looked at later": BEGIN}
    events = [
        _row(EVENTS.columns, event_id=p, user_id="ann", product_id=p, event="view", event_ts=at, known_ts=at, is_bot=False)
        for p, at in seen.items()
    ]
    tables.overwrite(table(EVENTS.ddl, *events), EVENTS.name)
    _lately(table, ("looked at", 2.0))
    found = {row.product_id: row.share for row in judging.catalogue(spark, from_mapping({}), AS_OF).collect()}
    assert found == {"looked at": 3 / 5, "told of": 1 / 5, "ever there": 1 / 5}
