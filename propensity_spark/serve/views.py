"""What analysts query: views over the score table, and SQL for the terminal."""

from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables

LATEST = "gold.propensity_latest"
TOP = "gold.top_products"


def create(spark: SparkSession, top_products: int) -> None:
    """(Re)make gold.propensity_latest (the newest as_of) and gold.top_products (its best rows per user, with names)."""
    if not tables.exists(spark, "gold.propensity"):
        return
    scores, products = tables.name(spark, "gold.propensity"), tables.name(spark, "silver.products")
    latest, top = tables.name(spark, LATEST), tables.name(spark, TOP)
    spark.sql(f"CREATE OR REPLACE VIEW {latest} AS SELECT * FROM {scores} WHERE as_of = (SELECT max(as_of) FROM {scores})")
    spark.sql(
        f"CREATE OR REPLACE VIEW {top} AS SELECT s.*, p.name, p.category, p.price FROM {latest} s "
        f"LEFT JOIN {products} p ON s.product_id = p.product_id WHERE s.rank <= {top_products}"
    )


def query(spark: SparkSession, sql: str) -> DataFrame:
    """Any SQL over the shop's tables and views."""
    return spark.sql(sql)
