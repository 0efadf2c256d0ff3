"""The shop's rules on its tables: what judges counts what is offered, and a rule's tables are among those that rows are made of."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import ConfigError
from propensity_spark.pipeline import build_features, eligible, judging, run
from propensity_spark.schemas import CANDIDATES, EVENTS, PRODUCTS

Make = Callable[..., DataFrame]
AS_OF = date(2024, 4, 1)
TIMELINE: Any = type("Timeline", (), {"horizon_days": 7, "as_of": date(2024, 4, 8), "labelled": (AS_OF,)})
MOMENT: Any = type("Moment", (), {"timeline": TIMELINE})


def _rows(ddl_columns: tuple[str, ...], *said: dict[str, object]) -> list[tuple[object, ...]]:
    return [tuple(row.get(column) for column in ddl_columns) for row in said]


def _bought(user: str, product: str, day: int) -> dict[str, object]:
    at = {"event_ts": f"2024-04-{day:02} 12:00:00", "known_ts": f"2024-04-{day:02} 12:00:00", "event_date": f"2024-04-{day:02}"}
    key = f"{user}{product}{day}"
    return {**at, "event_id": key, "user_id": user, "product_id": product, "event": "purchase", "is_bot": False}


def test_what_is_judged_is_what_is_offered(
    spark: SparkSession, table: Make, warehouse: Path, config: Callable[..., Config]
) -> None:
    before = [{**_bought("bob", name, 1), "event_ts": "2024-03-01", "known_ts": "2024-03-01"} for name in ("mug", "card")]
    bought = [_bought("ann", "mug", 2), _bought("ann", "card", 3), _bought("nobody", "mug", 2), *before]
    tables.overwrite(table(EVENTS.ddl, *_rows(EVENTS.columns, *bought)), EVENTS.name)
    goods = [("mug", "Mug", "kitchen", 5.0, None), ("card", "Card", "gifts", 10.0, None)]
    tables.overwrite(table(PRODUCTS.ddl, *goods), PRODUCTS.name)
    pair = {"as_of": f"{AS_OF}", "user_id": "ann", "product_id": "mug", "candidate_source": "touched", "label": 1, "weight": 1.0}
    tables.replace(table(CANDIDATES.ddl, *_rows(CANDIDATES.columns, pair)), CANDIDATES.name, f"as_of = DATE'{AS_OF}'")
    lately = table(
        "as_of DATE, product_id STRING, product_buyers_recent FLOAT, feature_version STRING", (f"{AS_OF}", "card", 8.0, "v")
    )
    tables.replace(lately, "features.product", f"as_of = DATE'{AS_OF}'")

    def judged(**sections: object) -> tuple[set[str], set[str]]:
        settings = config(**sections)
        truth = judging.purchases(spark, settings, MOMENT, AS_OF)
        assert truth.columns == ["user_id", "product_id"]
        catalogue = judging.catalogue(spark, settings, AS_OF).collect()
        assert sum(row["share"] for row in catalogue) == pytest.approx(1)
        return {f"{row[0]} {row[1]}" for row in truth.collect()}, {row["product_id"] for row in catalogue}

    assert judged() == ({"ann mug", "ann card"}, {"mug", "card"})
    assert judged(candidates={"exclude": "category = 'gifts'"}) == ({"ann mug"}, {"mug"})


def test_lists_are_held_against_what_the_labels_know_of(
    spark: SparkSession, table: Make, warehouse: Path, config: Callable[..., Config]
) -> None:
    """A purchase of the window's last hours that is heard of after the scored date, and one whose cancellation is."""
    late = {"known_ts": "2024-04-08 03:00:00"}
    back = {"cancelled_ts": "2024-04-05 09:00:00", "cancelled_known_ts": "2024-04-08 00:00:00"}
    known = {"cancelled_ts": "2024-04-05 09:00:00", "cancelled_known_ts": "2024-04-07 23:59:59"}
    bought = [_bought("ann", "mug", 2), {**_bought("ann", "late", 7), **late}, {**_bought("ann", "back", 3), **back}]
    bought += [{**_bought("ann", "known back", 3), **known}]
    tables.overwrite(table(EVENTS.ddl, *_rows(EVENTS.columns, *bought)), EVENTS.name)
    every = ("mug", "late", "back", "known back", "other")
    said = {"as_of": f"{AS_OF}", "user_id": "ann", "candidate_source": "touched", "weight": 1.0}
    pairs = table(CANDIDATES.ddl, *_rows(CANDIDATES.columns, *({**said, "product_id": name} for name in every)))
    tables.replace(pairs, CANDIDATES.name, f"as_of = DATE'{AS_OF}'")
    labels = build_features.attach_labels(spark, config(), TIMELINE, pairs.drop("label", "weight"))
    positive = {row["product_id"] for row in labels.where("label = 1").collect()}
    truth = {row["product_id"] for row in judging.purchases(spark, config(), MOMENT, AS_OF).collect()}
    assert truth == positive == {"mug", "back"}


def test_the_tables_of_rules_are_read_beside_the_events(config: Callable[..., Config]) -> None:
    kept = {"path": "some.csv", "id": "id", "attributes": ["stock"]}
    assert eligible.reads(config()) == ()
    assert eligible.reads(config(population={"where": "user_id <> 'x'"})) == ()
    assert eligible.reads(config(candidates={"exclude": "price > 1"})) == ("silver.products",)
    both = config(candidates={"exclude": "stock = '0'"}, products=kept, population={"where": "stock = '0'"}, users=kept)
    assert eligible.reads(both) == ("silver.user_versions", "silver.products", "silver.product_versions")


def test_a_rule_that_cannot_be_meant_ends_a_command_before_anything_is_read(
    spark: SparkSession, warehouse: Path, config: Callable[..., Config]
) -> None:
    settings = config(storage={"warehouse": str(warehouse)}, population={"where": "contry = 'UK'"})
    with pytest.raises(ConfigError, match=r"population\.where: .*contry"):
        run.one("build-features", settings)
