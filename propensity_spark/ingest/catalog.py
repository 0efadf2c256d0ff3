"""Users and products: what the shop's own tables say, and everyone and everything that the events mention."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import EntityConfig
from propensity_spark.ingest import listed, texts
from propensity_spark.ingest.events import identifier, whole
from propensity_spark.schemas import PRODUCTS, USERS


def products(spark: SparkSession, good: DataFrame, entity: EntityConfig, latest: DataFrame | None = None) -> DataFrame:
    """silver.products: the catalogue's names, categories and prices, else the last ones that the events gave.

    Takes   accepted rows with product_id, product_name, category, price, event_ts; `latest`: the catalogue's rows where it
            is dated (see `versions`), else they are read.
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
    catalogue = latest if latest is not None else listing(spark, entity, "product_id")
    joined = catalogue.join(seen, on="product_id", how="full")
    return joined.select(
        "product_id",
        F.coalesce("name", "_name").alias("name"),
        F.coalesce("category", "_category").alias("category"),
        F.coalesce("price", "_price").alias("price"),
        "attributes",
    )


def users(spark: SparkSession, good: DataFrame, entity: EntityConfig, latest: DataFrame | None = None) -> DataFrame:
    """silver.users: the shop's customers with their attributes, and whoever the events mention; `latest` as in `products`."""
    seen = good.select("user_id").distinct()
    if not entity.given:
        return seen.select("user_id", F.lit(None).cast("map<string,string>").alias("attributes"))
    customers = latest if latest is not None else listing(spark, entity, "user_id")
    return customers.select(*USERS.columns).join(seen, on="user_id", how="full").select(*USERS.columns)


def _last(column: str) -> Column:
    """The latest known value."""
    return F.max_by(F.col(column), F.when(F.col(column).isNotNull(), F.struct("event_ts", column)))


def listing(spark: SparkSession, entity: EntityConfig, key: str) -> DataFrame:
    """An entity table as key, name, category, price, attributes; one row of a key that comes twice."""
    raw = listed.read(spark, entity, mapped(entity), f"the table of {key.removesuffix('_id')}s")
    return listed.one_of_each(raw.select(*described(raw, entity, key)).where(F.col(key).isNotNull()), [key])


def mapped(entity: EntityConfig) -> list[str]:
    """The columns that the configuration names."""
    parts = (entity.id, entity.name, entity.category, entity.price, *entity.attributes, entity.valid_from, entity.known)
    return [part for part in parts if part]


def described(raw: DataFrame, entity: EntityConfig, key: str) -> list[Column]:
    """What a row of the shop's table says: key, name, category, price DOUBLE, attributes."""
    said = {a: whole(F.trim(texts.plain(F.col(f"`{a}`"), raw.schema[a].dataType))) for a in entity.attributes}
    pairs = [part for name, value in said.items() for part in (F.lit(name), value)]
    attributes = F.create_map(*pairs) if pairs else F.lit(None).cast("map<string,string>")
    return [
        identifier(listed.column(raw, entity.id)).alias(key),
        F.trim(listed.column(raw, entity.name)).alias("name"),
        identifier(listed.column(raw, entity.category)).alias("category"),
        listed.column(raw, entity.price).cast("double").alias("price"),
        attributes.alias("attributes"),
    ]
