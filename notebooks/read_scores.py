# Databricks notebook source
# MAGIC %md
# MAGIC # Reading the scores
# MAGIC `gold.propensity` holds the probability that a user buys a product within the horizon. Being probabilities, they add up:
# MAGIC over users to the buyers that a product may expect, over a mailing list to the orders that it may bring.
# MAGIC Run `make run` first, or name your own shop's file in PROPENSITY_CONFIG.

# COMMAND ----------

from propensity_spark import loading, session
from propensity_spark.serve import views

config = loading.load(loading.named() or ["conf/demo.yaml"])
spark = session.start(config)
views.ensure(spark, config.score.top_products)

# COMMAND ----------

# MAGIC %md What to show a user: the best products, with names.

# COMMAND ----------

views.query(
    spark,
    """
    SELECT user_id, rank, product_id, name, round(propensity, 4) AS propensity, candidate_source
    FROM gold.top_products ORDER BY user_id, rank LIMIT 10
    """,
).show(truncate=False)

# COMMAND ----------

# MAGIC %md What to have in stock: the buyers that each product may expect within the horizon, among the scored users.

# COMMAND ----------

views.query(
    spark,
    """
    SELECT product_id, round(sum(propensity), 1) AS expected_buyers, round(sum(expected_value), 2) AS expected_value
    FROM gold.propensity_latest GROUP BY product_id ORDER BY expected_buyers DESC, product_id LIMIT 10
    """,
).show(truncate=False)

# COMMAND ----------

# MAGIC %md Whom to write to about one product: those likeliest to buy it, and how many orders a list of such a length may bring.

# COMMAND ----------

views.query(
    spark,
    """
    WITH one AS (SELECT max_by(product_id, propensity) AS product_id FROM gold.propensity_latest)
    SELECT user_id, round(propensity, 4) AS propensity,
           round(sum(propensity) OVER (ORDER BY propensity DESC, user_id), 1) AS orders_of_the_list
    FROM gold.propensity_latest JOIN one USING (product_id)
    ORDER BY propensity DESC, user_id LIMIT 20
    """,
).show(truncate=False)

# COMMAND ----------

# MAGIC %md How far to trust them: every scorer on the test date, whose labels no fit and no calibration has seen.

# COMMAND ----------

views.query(
    spark,
    """
    SELECT scorer, metric, round(value, 4) AS value FROM gold.metrics
    WHERE period = 'test' AND run_id IN (SELECT run_id FROM gold.propensity_latest)
      AND metric IN ('log_loss', 'ece', 'recall_at_10', 'pr_auc')
    ORDER BY metric, scorer
    """,
).show(50, truncate=False)
