"""A product has the category that was told when a date began, whoever told it, and the first one where none was."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.features import equivalent
from propensity_spark.features.categories import THEN, Categories, add_category, told_by
from propensity_spark.loading import from_mapping
from propensity_spark.schemas import EVENTS, PRODUCT_VERSIONS, PRODUCTS

Make = Callable[..., DataFrame]
ZONE = "Europe/Berlin"
MARCH, APRIL, MAY = date(2024, 3, 1), date(2024, 4, 1), date(2024, 5, 1)
DATES = (MARCH, APRIL, MAY)
APRIL_BEGINS = "2024-03-31 22:00:00"  # at midnight in Berlin
EVER = "1900-01-01 00:00:00"


def _version(product: str, category: str | None, since: str, known: str | None = None) -> tuple[object, ...]:
    said = {"product_id": product, "category": category, "valid_from": since, "known_ts": known or since}
    return tuple(said.get(column) for column in PRODUCT_VERSIONS.columns)


def _event(product: str, category: str | None, at: str, known: str | None = None) -> tuple[object, ...]:
    said = {"event_id": f"{product} {at}", "user_id": "ann", "product_id": product, "category": category, "event": "view"}
    said |= {"event_ts": at, "known_ts": known or at, "event_date": at[:10], "is_bot": False}
    return tuple(said.get(column) for column in EVENTS.columns)


VERSIONS = (
    _version("lamp", "light", EVER),
    _version("lamp", "outlet", "2024-04-10 09:00:00"),
    _version("midnight", "old", EVER),
    _version("midnight", "new", APRIL_BEGINS),  # is not known before it
    _version("just", "old", EVER),
    _version("just", "new", "2024-03-31 21:59:59.999999"),
    _version("heard late", "old", EVER),
    _version("heard late", "new", "2024-03-10 00:00:00", "2024-04-20 00:00:00"),
    _version("begins late", "first", "2024-06-01 00:00:00"),
    _version("begins late", "second", "2024-07-01 00:00:00"),
    _version("unnamed", "named", EVER),
    _version("unnamed", None, "2024-03-15 00:00:00"),  # tells no category
    _version("both", "catalogue", "2024-04-15 00:00:00"),
)
ROWS = (
    _event("both", "log", "2024-02-15 00:00:00"),
    _event("of logs", "a", "2024-02-15 00:00:00"),
    _event("of logs", "b", "2024-03-15 00:00:00"),
    _event("of logs", None, "2024-03-20 00:00:00"),
    _event("of logs", "c", "2024-03-25 00:00:00", "2024-04-25 00:00:00"),
)
EXPECTED = {  # at the three dates
    "lamp": ("light", "light", "outlet"),
    "midnight": ("old", "old", "new"),
    "just": ("old", "new", "new"),
    "heard late": ("old", "old", "new"),
    "begins late": ("first", "first", "first"),
    "unnamed": ("named", "named", "named"),
    "both": ("log", "log", "catalogue"),
    "of logs": ("a", "b", "c"),
    "never": (None, None, None),
}
LAST = {"begins late": "second", "unnamed": None}


@pytest.fixture(scope="module")
def told(spark: SparkSession) -> Callable[[str, tuple[tuple[object, ...], ...]], DataFrame]:
    """Rows of a table, given as texts."""
    return lambda ddl, rows: _frame(spark, ddl, rows)


def _frame(spark: SparkSession, ddl: str, rows: tuple[tuple[object, ...], ...]) -> DataFrame:
    plain = ", ".join(part.replace("TIMESTAMP", "STRING").replace("DATE", "STRING") for part in ddl.split(", "))
    made = spark.createDataFrame(list(rows), plain)
    kinds = dict(part.split(" ", 1) for part in ddl.split(", "))
    return made.select(*(made[c].cast(kind).alias(c) for c, kind in kinds.items()))


def _products(spark: SparkSession) -> DataFrame:
    rows = [(name, None, LAST.get(name, at[-1]), None, None) for name, at in EXPECTED.items()]
    return spark.createDataFrame(rows, PRODUCTS.ddl)


def _found(spark: SparkSession, products: DataFrame) -> dict[str, tuple[Any, ...]]:
    asked = spark.createDataFrame([(day, name) for day in DATES for name in EXPECTED], "as_of DATE, product_id STRING")
    rows = add_category(asked, products).collect()
    assert len(rows) == len(DATES) * len(EXPECTED)
    at = {(row.as_of, row.product_id): row.category for row in rows}
    return {name: tuple(at[day, name] for day in DATES) for name in EXPECTED}


def test_a_category_is_the_one_known_when_the_date_begins(spark: SparkSession) -> None:
    versions, events = _frame(spark, PRODUCT_VERSIONS.ddl, VERSIONS), _frame(spark, EVENTS.ddl, ROWS)
    products = Categories(True, True, ZONE).at(DATES, _products(spark), versions, events)
    assert products.count() == len(EXPECTED), "a row per product"
    assert _found(spark, products) == EXPECTED
    moved = {row.product_id for row in products.where(f"{THEN} IS NOT NULL").collect()}
    assert moved == {"lamp", "midnight", "just", "heard late", "begins late", "unnamed", "both", "of logs"}, (
        "the others need no date"
    )


def test_where_nobody_dates_them_categories_are_the_last_ones(spark: SparkSession) -> None:
    assert not told_by(from_mapping({})).told
    products = Categories().at(DATES, _products(spark))
    assert products.columns == ["product_id", "category"]
    assert _found(spark, products)["lamp"] == ("outlet",) * 3


def test_who_tells_categories_is_read_from_the_configuration() -> None:
    source = {"name": "log", "path": "log.csv", "format": "csv", "event": "view"}
    mapped = {"user_id": "u", "product_id": "p", "event_ts": "t"}
    of_logs = from_mapping({"sources": [{**source, "map": {**mapped, "category": "c"}}], "shop": {"time_zone": ZONE}})
    assert told_by(of_logs) == Categories(False, True, ZONE)
    of_catalogue = from_mapping(
        {"sources": [{**source, "map": mapped}], "products": {"path": "p.csv", "id": "id", "category": "c"}}
    )
    assert told_by(of_catalogue) == Categories(True, False, "UTC")
    assert not told_by(from_mapping({"sources": [{**source, "map": mapped}], "products": {"path": "p.csv", "id": "id"}})).told


def test_sql_gives_the_same_categories(spark: SparkSession, warehouse: object) -> None:
    tables.overwrite(_frame(spark, PRODUCT_VERSIONS.ddl, VERSIONS), PRODUCT_VERSIONS.name)
    tables.overwrite(_frame(spark, EVENTS.ddl, ROWS), EVENTS.name)
    tables.overwrite(_products(spark), PRODUCTS.name)
    found = {}
    for place, day in enumerate(DATES):
        rows = spark.sql(equivalent._told(Categories(True, True, ZONE), f"to_utc_timestamp(DATE'{day}', '{ZONE}')")).collect()
        found |= {(row.product_id, place): row.category for row in rows}
    assert found == {(name, place): at[place] for name, at in EXPECTED.items() for place in range(3)}
