"""The shop's own rules on its tables: who may be scored, and what is no candidate."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.features import compute
from propensity_spark.schemas import VERSIONS
from propensity_spark.settle import settle
from propensity_spark.trainset import newcomers, rules
from propensity_spark.trainset.rules import Rule

_LISTED = {"product_id": "silver.products"}


def users(spark: SparkSession, config: Config, known: DataFrame) -> DataFrame:
    """Those of the users (as_of, user_id, any further columns) of whom population.where holds."""
    rule = rules.scored(config)
    return known.join(_held(spark, rule, known), ["as_of", "user_id"], "left_semi") if rule else known


def excluded(spark: SparkSession, config: Config, known: DataFrame) -> DataFrame | None:
    """Those of the products (as_of, product_id) of which candidates.exclude holds, settled; None: there is no such rule."""
    rule = rules.excluded(config)
    return settle(_held(spark, rule, known)) if rule else None


def offered(spark: SparkSession, config: Config, known: DataFrame) -> DataFrame:
    """Those of the rows (as_of, product_id, any further columns) whose product is not excluded."""
    left_out = excluded(spark, config, known)
    return known if left_out is None else known.join(left_out, ["as_of", "product_id"], "left_anti")


def on_sale(spark: SparkSession, config: Config, dates: Sequence[date]) -> DataFrame:
    """What was known at the dates and not excluded: as_of, product_id, is_new; see newcomers.on_sale.

    New is what nobody touched before the days by which products are popular.
    """
    events, told, zone = tables.read(spark, "silver.events"), VERSIONS["product_id"], config.shop.time_zone
    versions = tables.read(spark, told) if tables.exists(spark, told) else None
    products = newcomers.first_known(events, versions, "product_id")
    found = newcomers.on_sale(products, compute.moments(events, dates, zone), config.candidates.popular_days, zone)
    return offered(spark, config, found)


def reads(config: Config) -> tuple[str, ...]:
    """The tables that the rules are read from."""
    found = [rule for rule in (rules.scored(config), rules.excluded(config)) if rule]
    return tuple(name for rule in found for name in (_LISTED.get(rule.key), _versions(rule)) if name)


def _held(spark: SparkSession, rule: Rule, known: DataFrame) -> DataFrame:
    asked = known.select("as_of", rule.key).distinct()
    listed, versions = (tables.read(spark, name) if name else None for name in (_LISTED.get(rule.key), _versions(rule)))
    return rule.holds(asked, listed, versions)


def _versions(rule: Rule) -> str | None:
    return VERSIONS[rule.key] if rule.attributes else None
