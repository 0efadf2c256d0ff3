"""A shop's own rules: of whom and of what they hold, as it was known at a date, and what is said of one that cannot be meant."""

from collections.abc import Callable

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark.config import Config
from propensity_spark.errors import ConfigError
from propensity_spark.trainset import rules

Make = Callable[..., DataFrame]
Configured = Callable[..., Config]
DAYS = ("2024-04-01", "2024-05-01")
ENTITY = {"path": "some.csv", "id": "id"}
VERSIONS = "user_id STRING, attributes MAP<STRING,STRING>, valid_from TIMESTAMP, valid_to TIMESTAMP, known_ts TIMESTAMP"
PRODUCTS = "product_id STRING, name STRING, category STRING, price DOUBLE, attributes MAP<STRING,STRING>"


def _held(rule: rules.Rule | None, asked: DataFrame, listed: DataFrame | None, versions: DataFrame | None) -> set[tuple[str, str]]:
    assert rule is not None
    found = rule.holds(asked, listed, versions)
    assert found.columns == ["as_of", rule.key]
    return {(str(row[0]), row[1]) for row in found.collect()}


def test_a_rule_on_users_sees_what_was_known_of_them_at_the_date(table: Make, config: Configured) -> None:
    ever, late = "1900-01-01", "2024-04-01 00:00:00"  # known at the very midnight: not yet seen at the first date
    versions = table(
        VERSIONS,
        ("ann", {"consent": "yes"}, ever, None, ever),
        ("bob", {"consent": "no"}, ever, None, ever),
        ("bob", {"consent": "yes"}, late, None, late),
        ("cem", {"age": "40"}, ever, None, ever),  # never asked
    )
    asked = table("as_of DATE, user_id STRING", *((day, user) for day in DAYS for user in ("ann", "bob", "cem", "unknown")))
    settings = config(population={"where": "consent = 'yes'"}, users={**ENTITY, "attributes": ["consent", "age"]})
    assert _held(rules.scored(settings), asked, None, versions) == {(DAYS[0], "ann"), (DAYS[1], "ann"), (DAYS[1], "bob")}
    or_old = {"where": "CAST(age AS INT) >= 40 OR user_id = 'ann'"}
    but = config(population=or_old, users={**ENTITY, "attributes": ["consent", "age"]})
    assert _held(rules.scored(but), asked, None, versions) == {(day, user) for day in DAYS for user in ("ann", "cem")}


def test_a_rule_on_products_reads_the_catalogue_and_what_is_unknown_is_not_excluded(table: Make, config: Configured) -> None:
    listed = table(
        PRODUCTS, ("card", "Gift card", "gifts", 10.0, {}), ("mug", "Mug", None, 5.0, {}), ("pin", "Pin", "gifts", None, {})
    )
    asked = table("as_of DATE, product_id STRING", *((DAYS[0], product) for product in ("card", "mug", "pin", "unlisted")))
    rule = rules.excluded(config(candidates={"exclude": "category = 'gifts' AND price >= 10 OR product_id = 'unlisted'"}))
    assert _held(rule, asked, listed, None) == {(DAYS[0], "card"), (DAYS[0], "unlisted")}


def test_an_attribute_goes_before_what_the_catalogue_calls_alike(table: Make, config: Configured) -> None:
    ever = "1900-01-01"
    ddl = PRODUCTS + ", valid_from TIMESTAMP, valid_to TIMESTAMP, known_ts TIMESTAMP"
    versions = table(ddl, ("mug", "Mug", "old", 5.0, {"category": "in stock"}, ever, None, ever))
    settings = config(candidates={"exclude": "category = 'in stock'"}, products={**ENTITY, "attributes": ["category"]})
    listed, asked = table(PRODUCTS, ("mug", "Mug", "new", 5.0, {})), table("as_of DATE, product_id STRING", (DAYS[0], "mug"))
    assert _held(rules.excluded(settings), asked, listed, versions) == {(DAYS[0], "mug")}


@pytest.mark.parametrize("taken", ["user_id", "User_ID", "as_of"])
def test_an_attribute_called_like_the_key_or_the_date_is_left_to_them(table: Make, config: Configured, taken: str) -> None:
    ever = "1900-01-01"
    versions = table(VERSIONS, ("ann", {taken: "other", "consent": "yes"}, ever, None, ever))
    asked = table("as_of DATE, user_id STRING", (DAYS[0], "ann"), (DAYS[0], "bob"))
    users = {**ENTITY, "attributes": [taken, "consent"]}
    for condition in ("consent = 'yes'", "user_id = 'ann'"):
        assert _held(rules.scored(config(population={"where": condition}, users=users)), asked, None, versions) == {
            (DAYS[0], "ann")
        }


def test_a_product_is_known_by_its_key_whatever_attribute_is_called_alike(
    spark: SparkSession, table: Make, config: Configured
) -> None:
    listed = table(PRODUCTS, ("mug", "Mug", None, 5.0, {}), ("pin", "Pin", None, 1.0, {}))
    asked = table("as_of DATE, product_id STRING", (DAYS[0], "mug"), (DAYS[0], "pin"))
    settings = config(candidates={"exclude": "product_id = 'mug'"}, products={**ENTITY, "attributes": ["product_id"]})
    rules.check(spark, settings)
    rule = rules.excluded(settings)
    assert rule is not None
    assert rule.attributes == (), "no versions are read for it"
    assert _held(rule, asked, listed, None) == {(DAYS[0], "mug")}
    with pytest.raises(ConfigError, match=r"^population\.where: .*as_of.* on user_id$"):
        rules.check(spark, config(population={"where": "as_of = '2'"}, users={**ENTITY, "attributes": ["as_of"]}))


def test_without_a_rule_there_is_none(config: Configured) -> None:
    assert rules.scored(config()) is None
    assert rules.excluded(config(candidates={"exclude": "  "})) is None


@pytest.mark.parametrize(
    ("section", "key", "condition", "said"),
    [
        (
            "population",
            "where",
            "consent = 'yes' AND",
            r"population\.where: .*Syntax error at or near '\)'\. It must be a condition in SQL on user_id, city",
        ),
        (
            "population",
            "where",
            "city = 'Ulm' AND",
            r"population\.where: .*Syntax error at or near '\)'\. It must be a condition in SQL on user_id, city",
        ),
        ("population", "where", "contry = 'UK'", r"population\.where: .*contry.* on user_id, city"),
        (
            "candidates",
            "exclude",
            "price + 1",
            r"candidates\.exclude: .*FILTER_NOT_BOOLEAN.* on product_id, name, category, price, stock",
        ),
        ("candidates", "exclude", "nonsense(price)", r"candidates\.exclude: .*nonsense"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_in_one_line(
    spark: SparkSession, config: Configured, section: str, key: str, condition: str, said: str
) -> None:
    entities = {"users": {**ENTITY, "attributes": ["city"]}, "products": {**ENTITY, "attributes": ["stock"]}}
    with pytest.raises(ConfigError, match=said) as refused:
        rules.check(spark, config(**{section: {key: condition}}, **entities))
    assert "\n" not in str(refused.value)
    rules.check(spark, config(population={"where": "city <> 'x'"}, candidates={"exclude": "stock = '0'"}, **entities))
