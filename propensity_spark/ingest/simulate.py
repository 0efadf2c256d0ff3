"""The simulated shop's logs, written as a shop would: clicks (CSV), orders (JSON lines), customers and catalogue (CSV).

Users, visits and events come from `truth.Shop`, a block of users at a time on the executors, seeded per block. Dirt is
added, never taken away, so that the truth stays exact: duplicates, late rows, bots, lost ids, impossible times and prices.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import Config, SimulatorConfig
from propensity_spark.ingest.truth import (
    AGES,
    CANCELLED,
    CARTS_A_PURCHASE,
    PRODUCT_ID,
    REGIONS,
    USER_ID,
    VIEWS_A_VISIT,
    Ints,
    Shop,
)

VIEW, CART, ORDER, CANCEL = range(4)
_EVENTS = "user BIGINT, product BIGINT, kind INT, local DOUBLE, block BIGINT, visit BIGINT, price DOUBLE, quantity BIGINT"
_OPENS, _CLOSES = 7 * 3600, 22 * 3600  # visits begin between these, so that none crosses midnight or a clock change
_SECONDS_A_VIEW = 40.0
_CHECKOUT, _REGRET = 90.0, 1200.0  # seconds from the last view to the order, from the order to its cancellation
_FILES_PER_CORE = 2
_BOT_VIEWS = 3000


def simulate(spark: SparkSession, config: Config) -> int:
    """Write the logs into simulator.output and return the number of lines of both logs.

    Folders clicks/ and orders/ with the events, customers/ and catalogue/ with who and what; all of them are replaced.
    """
    settings = config.simulator
    folder = (settings.output or f"{config.storage.warehouse}/raw").rstrip("/")  # text: it may be an address
    shop = Shop(settings)
    events = _events(spark, settings).persist()
    try:
        clicks = _dirty_clicks(_clicks(events, config).unionByName(_bots(spark, config)), settings)
        orders = _dirty_orders(_orders(events, config), settings)
        clicks.write.mode("overwrite").csv(f"{folder}/clicks", header=True, compression="gzip")
        orders.write.mode("overwrite").json(f"{folder}/orders")
    finally:
        events.unpersist()
    _customers(spark, settings).write.mode("overwrite").csv(f"{folder}/customers", header=True)
    spark.createDataFrame(_catalogue(shop)).write.mode("overwrite").csv(f"{folder}/catalogue", header=True)
    lines = spark.read.text([f"{folder}/clicks", f"{folder}/orders"])
    return lines.count()


def _events(spark: SparkSession, settings: SimulatorConfig) -> DataFrame:
    """All events with their local time in seconds since the shop's first midnight, as if clocks never changed."""
    blocks = Shop(settings).blocks
    slots = min(blocks, _FILES_PER_CORE * spark.sparkContext.defaultParallelism)

    def make(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        shop = Shop(settings)
        for batch in batches:
            for block in batch["id"]:
                yield block_events(shop, int(block))

    numbers = spark.range(0, blocks, 1, slots).mapInPandas(make, _EVENTS)
    return numbers.select(
        F.format_string(USER_ID, "user").alias("user_id"),
        F.format_string(PRODUCT_ID, "product").alias("product_id"),
        F.concat_ws("-", "block", "visit").alias("visit_id"),
        *("kind", "local", "price", "quantity"),
    )


@dataclass(frozen=True, slots=True)
class _Views:
    """Per view: the user's place in the block, the product, the day, the visit's number in the block, the time."""

    who: Ints
    product: Ints
    day: Ints
    visit: Ints
    at: np.ndarray


def block_events(shop: Shop, block: int) -> pd.DataFrame:
    """Everything that a block's users do: views, carts, order lines and cancellations."""
    draw, users = shop.random(block), shop.users(block)
    views, ends = _views(shop, block, draw)
    chance = shop.conversion(users, views.who, views.product, views.day)
    bought = draw.random(len(chance)) < chance
    carted = bought | (draw.random(len(chance)) < np.minimum(CARTS_A_PURCHASE * chance, 0.9))
    put = views.at + draw.uniform(2, 15, len(chance))
    seen = _rows(shop, block, views, np.arange(len(chance)), VIEW, views.at)
    in_cart = _rows(shop, block, views, np.flatnonzero(carted), CART, put)
    return pd.concat([seen, in_cart, _lines(shop, block, views, bought, ends, draw)], ignore_index=True)


def _views(shop: Shop, block: int, draw: np.random.Generator) -> tuple[_Views, np.ndarray]:
    """All views of a block in the order of visits, and per visit the time of its last view."""
    users, days = shop.users(block), shop.config.days
    visits = draw.poisson(users.visits[:, None] * shop.seasons[None, :days])
    who, day = (np.repeat(i, visits.ravel()) for i in np.divmod(np.arange(visits.size), days))
    size = draw.poisson(VIEWS_A_VISIT, len(who))
    visit = np.repeat(np.arange(len(who)), size)
    start = day * 86400.0 + _OPENS + draw.beta(2.0, 1.6, len(who)) * (_CLOSES - _OPENS)
    passed = np.cumsum(draw.exponential(_SECONDS_A_VIEW, len(visit)))
    first = np.concatenate([[0.0], passed])[np.cumsum(size) - size]
    at = start[visit] + passed - first[visit]
    ends = np.zeros(len(who))
    np.maximum.at(ends, visit, at)
    return _Views(who[visit], shop.view(users, who[visit], draw), day[visit], visit, at), ends


def _rows(shop: Shop, block: int, views: _Views, kept: Ints, kind: int, at: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user": shop.members(block)[views.who[kept]],
            "product": views.product[kept],
            "kind": kind,
            "local": at[kept],
            "block": block,
            "visit": views.visit[kept],
            "price": shop.products.price[views.product[kept]],
            "quantity": 1,
        }
    )


def _lines(shop: Shop, block: int, views: _Views, bought: np.ndarray, ends: np.ndarray, draw: np.random.Generator) -> pd.DataFrame:
    """Order lines, one per visit and product, and the few that are cancelled."""
    rows = np.flatnonzero(bought)
    key = views.visit[rows] * np.int64(shop.config.products) + views.product[rows]
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    at = ends + _CHECKOUT
    lines = _rows(shop, block, views, rows[first], ORDER, at[views.visit]).assign(quantity=count)
    taken_back = lines[draw.random(len(lines)) < CANCELLED]
    back = taken_back.assign(kind=CANCEL, quantity=-taken_back["quantity"], local=taken_back["local"] + _REGRET)
    return pd.concat([lines, back], ignore_index=True)


def _moment(config: Config) -> Column:
    """UTC instant of the local time: midnight of the shop's first day, so many days and seconds later."""
    start = F.lit(config.simulator.start).cast("timestamp").cast("double")
    return F.to_utc_timestamp(F.timestamp_seconds(start + F.col("local")), config.shop.time_zone)


def _clicks(events: DataFrame, config: Config) -> DataFrame:
    """Views and carts as the web server logs them: UTC, to the millisecond, with the time of arrival."""
    at = _moment(config)
    luck = F.pmod(F.xxhash64("visit_id", "local"), F.lit(1000))
    late = F.when(luck < 10, (luck + 1) * F.expr("INTERVAL 4 HOURS")).otherwise(F.expr("INTERVAL 2 SECONDS"))
    return events.where(F.col("kind").isin(VIEW, CART)).select(
        _iso(at).alias("time"),
        _iso(at + late).alias("received_at"),
        F.col("user_id").alias("user"),
        F.col("product_id").alias("item"),
        F.when(F.col("kind") == VIEW, "page_view").otherwise("add_to_cart").alias("action"),
        F.col("visit_id").alias("visit"),
    )


def _iso(moment: Column) -> Column:
    return F.date_format(moment, "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")


def _orders(events: DataFrame, config: Config) -> DataFrame:
    """Order lines as the back office writes them: the shop's wall time, to the second."""
    wall = F.from_utc_timestamp(_moment(config), config.shop.time_zone)
    return events.where(F.col("kind").isin(ORDER, CANCEL)).select(
        F.concat(F.lit("O"), "visit_id").alias("order_id"),
        F.date_format(wall, "yyyy-MM-dd HH:mm:ss").alias("ordered_at"),
        F.col("user_id").alias("customer"),
        F.col("product_id").alias("sku"),
        "quantity",
        F.col("price").alias("unit_price"),
        F.when(F.col("kind") == ORDER, "order").otherwise("cancel").alias("status"),
    )


def _bots(spark: SparkSession, config: Config) -> DataFrame:
    """A crawler or a few, each on one day, looking at every product in turn, several a second."""
    settings = config.simulator
    bots = max(1, settings.users // 1000) if settings.dirt else 0
    views = min(_BOT_VIEWS, max(100, settings.events // 100))
    day = (F.col("id") / views).cast("int") * 7 % settings.days
    made = spark.range(bots * views).withColumn("local", day * 86400.0 + 36000.0 + F.pmod("id", F.lit(views)) * 0.25)
    at = _moment(config)
    return made.select(
        _iso(at).alias("time"),
        _iso(at).alias("received_at"),
        F.format_string("U9%06d", (F.col("id") / views).cast("int")).alias("user"),
        F.format_string(PRODUCT_ID, F.pmod("id", F.lit(settings.products))).alias("item"),
        F.lit("page_view").alias("action"),
        F.format_string("bot-%d", (F.col("id") / views).cast("int")).alias("visit"),
    )


def _dirty_clicks(clicks: DataFrame, settings: SimulatorConfig) -> DataFrame:
    """The clicks, and broken or doubled copies of a share of them."""
    broken = {
        "doubled": {},
        "no user": {"user": F.lit(None).cast("string")},
        "no item": {"item": F.lit("")},
        "odd action": {"action": F.lit("hover")},
        "no time": {"time": F.lit("yesterday")},
        "lost time": {"time": F.lit("1970-01-01T00:00:00.000Z")},
        "time to come": {"time": F.lit("2099-12-31T00:00:00.000Z")},
    }
    return _with_copies(clicks, list(broken.values()), settings, "visit", "time")


def _dirty_orders(orders: DataFrame, settings: SimulatorConfig) -> DataFrame:
    """The order lines, and broken or doubled copies of a share of them."""
    broken = {
        "doubled": {},
        "no customer": {"customer": F.lit(None).cast("string")},
        "negative price": {"unit_price": -F.col("unit_price")},
        "no pieces": {"quantity": F.lit(0)},
    }
    sold = orders.where("status = 'order'")
    back = orders.where("status <> 'order'")
    return _with_copies(sold, list(broken.values()), settings, "order_id", "sku").unionByName(back)


def _with_copies(frame: DataFrame, broken: list[dict[str, Column]], settings: SimulatorConfig, *keys: str) -> DataFrame:
    """The rows plus, for a share `dirt` of them, a copy broken in one of the ways: one pass, one explode."""
    steps = 1_000_000
    luck = F.pmod(F.xxhash64(F.lit(settings.seed), *keys), F.lit(steps))
    limit = max(1, int(settings.dirt * steps))
    way = F.when(luck < limit if settings.dirt else F.lit(False), F.pmod(luck, F.lit(len(broken))).cast("int"))
    copies = F.when(way.isNull(), F.array(F.lit(-1))).otherwise(F.array(F.lit(-1), way))
    doubled = frame.select("*", F.explode(copies).alias("_way"))
    made = []
    for column in frame.columns:
        value = F.col(column)
        for number, changes in enumerate(broken):
            if column in changes:
                value = F.when(F.col("_way") == number, changes[column]).otherwise(value)
        made.append(value.alias(column))
    return doubled.select(*made)


def _customers(spark: SparkSession, settings: SimulatorConfig) -> DataFrame:
    """Who the users are; the age of some is not known."""
    shop = Shop(settings)

    def make(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            for block in batch["id"]:
                users = shop.users(int(block))
                members = shop.members(int(block))
                ages = [None if number % 20 == 7 else AGES[a] for number, a in zip(members, users.age, strict=True)]
                ids = [USER_ID % number for number in members]
                yield pd.DataFrame({"customer": ids, "age": ages, "region": [REGIONS[r] for r in users.region]})

    return spark.range(0, shop.blocks, 1, 1).mapInPandas(make, "customer STRING, age STRING, region STRING")


_THINGS = ("lamp", "mug", "chair", "scarf", "kettle", "clock", "vase", "basket", "blanket", "tray", "candle", "mirror")
_KINDS = ("oak", "linen", "copper", "blue", "small", "garden", "winter", "travel", "glass", "wool", "paper", "ivory")


def _catalogue(shop: Shop) -> pd.DataFrame:
    """What the products are: a name that a person can tell apart, the category, the list price."""
    products, numbers = shop.products, np.arange(shop.config.products)
    names = [f"{_KINDS[n // 12 % 12]} {_THINGS[c % 12]} {n:03d}" for n, c in zip(numbers, products.category, strict=True)]
    category = [f"{_THINGS[c % 12]}s{'' if c < 12 else f' {c // 12}'}" for c in products.category]
    return pd.DataFrame(
        {"sku": [PRODUCT_ID % n for n in numbers], "title": names, "category": category, "list_price": products.price}
    )
