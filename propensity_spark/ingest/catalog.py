"""Users and products: what the shop's own tables say, and everyone and everything that the events mention."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import EntityConfig
from propensity_spark.errors import MissingColumns
from propensity_spark.ingest.events import identifier
from propensity_spark.ingest.preflight import expand, is_remote
from propensity_spark.schemas import PRODUCTS, USERS


def products(spark: SparkSession, good: DataFrame, entity: EntityConfig) -> DataFrame:
    """silver.products: the catalogue's names, categories and prices, else the last ones that the events gave.

    Takes   accepted rows with product_id, product_name, category, price, event_ts.
    """
    seen = good.groupBy("product_id").agg(
        _last("product_name").alias("_name"), _last("category").alias("_category"), _last("price").alias("_price")
    )
    if not entity.given:
        empty = F.lit(None).cast("map<string,string>").alias("attributes")
        named = seen.select(
            "product_id",
            F.col("_name").alias("name"),
            F.col("_category").alias("category"),
            F.col("_price").alias("price"),
            empty,
        )
        return named.select(*PRODUCTS.columns)
    listed = _entity(spark, entity, "product_id")
    joined = listed.join(seen, on="product_id", how="full")
    return joined.select(
        "product_id",
        F.coalesce("name", "_name").alias("name"),
        F.coalesce("category", "_category").alias("category"),
        F.coalesce("price", "_price").alias("price"),
        "attributes",
    )


def users(spark: SparkSession, good: DataFrame, entity: EntityConfig) -> DataFrame:
    """silver.users: the shop's customers with their attributes, and whoever the events mention."""
    seen = good.select("user_id").distinct()
    if not entity.given:
        return seen.select("user_id", F.lit(None).cast("map<string,string>").alias("attributes"))
    listed = _entity(spark, entity, "user_id").select(*USERS.columns)
    return listed.join(seen, on="user_id", how="full").select(*USERS.columns)


def _last(column: str) -> Column:
    """The latest known value."""
    return F.max_by(F.col(column), F.when(F.col(column).isNotNull(), F.struct("event_ts", column)))


def _entity(spark: SparkSession, entity: EntityConfig, key: str) -> DataFrame:
    """An entity table as key, name, category, price, attributes; the first row of a key that comes twice."""
    raw = _read(spark, entity)
    named = [c for c in (entity.id, entity.name, entity.category, entity.price, *entity.attributes) if c]
    missing = [c for c in named if not c.startswith("=") and c not in raw.columns]
    if missing:
        raise MissingColumns(f"the table of {key.removesuffix('_id')}s", missing, raw.columns, "Correct its mapping.")
    pairs = [part for a in entity.attributes for part in (F.lit(a), F.col(f"`{a}`").cast("string"))]
    attributes = F.create_map(*pairs) if pairs else F.lit(None).cast("map<string,string>")
    return (
        raw.select(
            identifier(_column(entity.id)).alias(key),
            F.trim(_column(entity.name)).alias("name"),
            identifier(_column(entity.category)).alias("category"),
            _column(entity.price).cast("double").alias("price"),
            attributes.alias("attributes"),
        )
        .where(F.col(key).isNotNull())
        .dropDuplicates([key])
    )


def _column(mapped: str) -> Column:
    if not mapped:
        return F.lit(None).cast("string")
    return (F.expr(mapped[1:]) if mapped.startswith("=") else F.col(f"`{mapped}`")).cast("string")


def _read(spark: SparkSession, entity: EntityConfig) -> DataFrame:
    if entity.table:
        return spark.table(entity.table)
    local = [str(file) for file in expand(entity.path)]
    paths = list(entity.path) if any(is_remote(p) for p in entity.path) or entity.format == "delta" else local
    if entity.format == "csv":
        return spark.read.options(header=str(entity.header).lower(), sep=entity.delimiter, escape='"').csv(paths)
    return spark.read.format(entity.format).load(paths if entity.format != "delta" else paths[0])
