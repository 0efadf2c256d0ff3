"""A product's category as it was told when a date began, not as it is told now: goods that sell out move to the outlet.

What holds from when is said by the dated versions of the shop's catalogue, else by the rows of its logs that name a category. Where
nothing was told by then the first that was told stands in, so that a catalogue that begins late does not leave the past without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import Config
from propensity_spark.ingest.events import midnight

THEN = "category_then"


@dataclass(frozen=True, slots=True)
class Categories:
    """Where a shop's categories are told, and whose midnights begin its dates; told nowhere, silver.products says it for all."""

    by_catalogue: bool = False
    by_events: bool = False
    time_zone: str = "UTC"

    @property
    def told(self) -> bool:
        """Whether it is known since when any category holds."""
        return self.by_catalogue or self.by_events

    def at(
        self, dates: Sequence[date], products: DataFrame, versions: DataFrame | None = None, events: DataFrame | None = None
    ) -> DataFrame:
        """The products as `add_category` takes them.

        Takes   silver.products, and where categories are told there silver.product_versions and silver.events.
        Returns product_id, category (the last one) and, where any are told, category_then MAP<DATE, STRING>: of the dates at
                which it was another (null: none). One row per product, whatever the number of dates.
        """
        latest = products.select("product_id", "category")
        told = [(versions, ("valid_from", "known_ts")), (events, ("event_ts", "known_ts"))]
        asked = [(rows, times) for rows, times in told if rows is not None]
        if not asked:
            return latest
        joined = latest
        for number, (rows, times) in enumerate(asked):
            joined = joined.join(self._told(rows, times, dates, str(number)), on="product_id", how="left")
        places = range(len(asked))
        at_dates = []
        for n, day in enumerate(dates):
            known = (F.col(f"_known_{of}")[n] for of in places)
            then = F.coalesce(*known, *(F.col(f"_first_{of}") for of in places), "category")
            at_dates.append(F.struct(F.lit(day).alias("key"), then.alias("value")))
        others = F.filter(F.array(*at_dates), lambda one: ~one["value"].eqNullSafe(F.col("category")))
        then = F.when(F.size(others) > 0, F.map_from_entries(others)).alias(THEN)
        return joined.select("product_id", "category", then)

    def _told(self, rows: DataFrame, times: tuple[str, str], dates: Sequence[date], suffix: str) -> DataFrame:
        """By product the category that was known at each date, and the first one; the newest of both times counts."""
        category, seen = F.col("category"), F.greatest(*times)
        newest = F.struct(*times, "category")
        known = [F.max_by(category, F.when(seen < midnight(F.lit(day), self.time_zone), newest)) for day in dates]
        said = rows.where(category.isNotNull()).groupBy("product_id")
        return said.agg(F.array(*known).alias(f"_known_{suffix}"), F.min_by(category, newest).alias(f"_first_{suffix}"))


UNTOLD = Categories()


def told_by(config: Config) -> Categories:
    """Where this shop tells its products' categories."""
    catalogue = config.products.given and bool(config.products.category)
    return Categories(catalogue, any(source.map.category for source in config.sources), config.shop.time_zone)


def add_category(rows: DataFrame, products: DataFrame) -> DataFrame:
    """The rows (as_of, product_id, ...) with the category of their product at their date; null where there is none.

    Takes   products: product_id, category, and category_then where they have been others (see `Categories.at`).
    """
    if THEN not in products.columns:
        return rows.join(products.select("product_id", "category"), on="product_id", how="left")
    joined = rows.join(products.select("product_id", "category", THEN), on="product_id", how="left")
    return joined.withColumn("category", F.coalesce(F.col(THEN)[F.col("as_of")], "category")).drop(THEN)
