"""What is said of users whom nothing scores, on a shop written by hand: who they are, what they are told, and by what."""

import re
import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.config import Config, StorageConfig
from propensity_spark.errors import InsufficientData
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import cold_start, cold_trials
from propensity_spark.pipeline.cold_start import FIRST_ORDER, KNOWN
from propensity_spark.progress import Progress
from propensity_spark.schemas import COLD_START, COLD_USERS, EVENTS, PRODUCTS, PROPENSITY, USER_VERSIONS
from propensity_spark.serve import views
from propensity_spark.trainset.split import Procedure, Timeline

AS_OF, DAY = date(2024, 3, 29), timedelta(days=1)
TRAIN = (AS_OF - 14 * DAY, AS_OF - 7 * DAY)
TIMELINE = Timeline(Procedure(TRAIN, AS_OF), Procedure(TRAIN[:1], TRAIN[1]), 7, True)
MOMENT: Any = type("Moment", (), {"timeline": TIMELINE})
SETTINGS = {
    "labels": {"horizon_days": 7},
    "population": {"days": 20},
    "users": {"path": "users.csv", "id": "id", "attributes": ["region"]},
    "features": {"segment_by": "region"},
    "cold_start": {"segment_strength": 1, "product_strength": 1, "category_strength": 1},
}
Make = Callable[..., DataFrame]
Told = dict[tuple[str, str, str], Any]


def _event(user: str, product: str, days: float, event: str = "purchase") -> dict[str, object]:
    """So many days before AS_OF (negative: after)."""
    at = datetime.combine(AS_OF, datetime.min.time()) - timedelta(days=days)
    said = {"event_id": f"{user} {product} {days} {event}", "user_id": user, "product_id": product, "event": event}
    return {**said, "event_ts": f"{at}", "known_ts": f"{at}", "event_date": f"{at.date()}", "is_bot": False}


def _shop() -> list[dict[str, object]]:
    """Of the newcomers four of the north buy a lamp, two in each week, and two of the south something else."""
    rows = [_event("old hand", product, 60) for product in ("lamp", "mug", "rug")]
    rows += [_event(f"north{n}", "lamp", 13) for n in range(2)] + [_event(f"north{n}", "lamp", 6) for n in (2, 3)]
    rows += [_event("south0", "mug", 14), _event("south1", "rug", 7.0001)]
    return [*rows, _event("north4", "mug", 0), _event("seen only", "rug", 30, "view")]


REGIONS = {**{f"{region}{n}": region for region in ("north", "south") for n in range(8)}, "seen only": "north"}


class Written:
    """A shop's tables in the test's warehouse."""

    def __init__(self, spark: SparkSession, table: Make) -> None:
        self.spark, self.table = spark, table

    def events(self, *rows: dict[str, object]) -> None:
        columns = [tuple(row.get(column) for column in EVENTS.columns) for row in rows]
        tables.overwrite(self.table(EVENTS.ddl, *columns), "silver.events")

    def known(self, users: dict[str, str], since: str = "2023-06-01 00:00:00") -> None:
        rows = [(user, {"region": region}, since, None, since) for user, region in users.items()]
        late = f"{AS_OF} 00:00:00"
        tables.overwrite(self.table(USER_VERSIONS.ddl, *rows, ("late", {"region": "north"}, late, None, late)), USER_VERSIONS.name)

    def scored(self, *users: str) -> None:
        said = {"as_of": f"{AS_OF}", "product_id": "lamp", "horizon_days": 7, "propensity": 0.5, "rank": 1}
        rows = [{**said, "user_id": user} for user in users]
        tables.overwrite(self.table(PROPENSITY.ddl, *(tuple(map(row.get, PROPENSITY.columns)) for row in rows)), PROPENSITY.name)

    def run(self, config: Config) -> Told:
        """history, segment, product -> the row of gold.cold_start."""
        cold_start.run(self.spark, config, MOMENT, Progress())
        return {(r.history, r.segment, r.product_id): r for r in tables.read(self.spark, COLD_START.name).collect()}

    def unscored(self) -> dict[str, tuple[str, str]]:
        """user -> history and segment."""
        return {r.user_id: (r.history, r.segment) for r in tables.read(self.spark, COLD_USERS.name).collect()}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shop's tables lie once they have been written: to copy them takes no time."""
    return tmp_path_factory.mktemp("kept") / "warehouse"


@pytest.fixture
def shop(spark: SparkSession, table: Make, warehouse: Path, kept: Path) -> Written:
    """The shop as `_shop` has it, with a table of users."""
    made = Written(spark, table)
    if kept.exists():
        shutil.copytree(kept, warehouse, dirs_exist_ok=True)
        tables.attach(spark, StorageConfig(warehouse=str(warehouse)))
        return made
    made.events(*_shop())
    made.known(REGIONS)
    products = [("lamp", "Lamp", "light", 1.0, None), ("mug", "Mug", "kitchen", 1.0, None), ("rug", "Rug", None, 1.0, None)]
    tables.overwrite(table(PRODUCTS.ddl, *products), PRODUCTS.name)
    made.scored("north0", "north1", "north2", "north3", "south0", "south1")
    shutil.copytree(warehouse, kept)
    return made


def test_newcomers_are_counted_and_told_why(shop: Written) -> None:
    told = shop.run(from_mapping(SETTINGS))
    assert set(told) == {
        (h, s, p) for h, s in (("none", "north"), ("none", "south"), ("old", "unknown")) for p in ("lamp", "mug", "rug")
    }
    # 8 of the north and the one who looks, at two dates; two of them had ordered by the second
    lamp = told["none", "north", "lamp"]
    assert (lamp.level, lamp.users, lamp.purchases, lamp.given, lamp.horizon_days) == ("segment", 9 + 7, 4, KNOWN, 7)
    assert lamp.reason == "region north: 4 of 16 users without orders bought it; shrunk towards all segments"
    assert lamp.rank == 1
    assert 4 / 30 < lamp.propensity < 4 / 16, "between the north's rate and all segments'"
    # the mug was bought at the very midnight that begins the first date, by one who had no order before it
    mug = told["none", "south", "mug"]
    assert (mug.level, mug.users, mug.purchases) == ("overall", 30, 1)
    assert mug.reason == "1 of 30 users without orders bought it, in whatever segment; shrunk towards its category"
    assert shop.unscored() == {
        "old hand": ("old", "unknown"),
        "seen only": ("none", "north"),
        "north4": ("none", "north"),  # orders at the midnight of as_of
        **{f"north{n}": ("none", "north") for n in range(5, 8)},
        **{f"south{n}": ("none", "south") for n in range(2, 8)},
    }


def test_who_is_new_buys_at_a_pace_of_his_own(shop: Written, spark: SparkSession) -> None:
    fresh = [f"fresh{n}" for n in range(9)]
    shop.events(*_shop(), *(_event(user, "rug", 15, "view") for user in fresh), *(_event(user, "lamp", 13) for user in fresh[:6]),
                _event("today", "rug", 0.5, "view"))  # fmt: skip
    told = shop.run(from_mapping({**SETTINGS, "cold_start": {**SETTINGS["cold_start"], "new_days": 7}}))
    assert shop.unscored()["today"] == ("new", "unknown")
    assert shop.unscored()["fresh7"] == ("none", "unknown"), "known for longer by now"
    new, known = told["new", "unknown", "lamp"], told["none", "unknown", "lamp"]
    assert new.propensity > 2 * known.propensity
    assert (new.users, new.purchases) == (known.users, known.purchases) == (9 + 3, 6), "three of the nine once more a week later"
    assert new.reason.startswith("region unknown: 6 of 12 users without orders bought it; ")
    assert re.search(r"; times [1-9]\.\d\d for users first known in the last 7 days$", new.reason)
    assert re.search(r"; times 0\.\d\d for users known for more than 7 days$", known.reason)
    alike = shop.run(from_mapping({**SETTINGS, "cold_start": {**SETTINGS["cold_start"], "new_days": 0}}))
    assert not any("for users" in row.reason for row in alike.values())
    assert {history for history, _, _ in alike} == {"none", "old"}


def test_the_future_changes_nothing_and_a_second_run_replaces_the_first(shop: Written, spark: SparkSession) -> None:
    before = shop.run(from_mapping(SETTINGS))
    users = shop.unscored()
    future = [_event(user, product, days) for user in ("north5", "nobody") for product in ("lamp", "next") for days in (0, -3)]
    shop.events(*_shop(), *future, _event("south5", "mug", 0, "view"))
    assert shop.run(from_mapping(SETTINGS)) == before
    assert shop.unscored() == users
    assert tables.read(spark, COLD_START.name).count() == len(before)


def test_the_best_products_alone_are_kept_and_none_where_none_are_asked_for(shop: Written, spark: SparkSession) -> None:
    off = {**SETTINGS, "cold_start": {"products": 0}}
    cold_start.run(spark, from_mapping(off), MOMENT, Progress())
    assert not tables.exists(spark, COLD_START.name)
    told = shop.run(from_mapping({**SETTINGS, "cold_start": {"products": 1}}))
    assert len(told) == 3
    assert ("none", "north", "lamp") in told
    assert {row.rank for row in told.values()} == {1}
    cold_start.run(spark, from_mapping(off), MOMENT, Progress())
    for name in (COLD_START.name, COLD_USERS.name):
        assert tables.read(spark, name).isEmpty(), "what an earlier run of the date wrote does not stay"


def test_neither_whom_nor_what_the_shop_rules_out_is_told_of(shop: Written) -> None:
    ruled = {"population": {"days": 20, "where": "region = 'north'"}, "candidates": {"exclude": "category = 'kitchen'"}}
    told = shop.run(from_mapping({**SETTINGS, **ruled}))
    assert set(told) == {("none", "north", "lamp"), ("none", "north", "rug")}
    assert told["none", "north", "lamp"].users == 9 + 7, "the south is not counted"
    assert set(shop.unscored()) == {"seen only", "north4", "north5", "north6", "north7"}
    bought = cold_start.shop(shop.spark, from_mapping({**SETTINGS, **ruled})).purchases(TRAIN, AS_OF)
    assert {row.product_id for row in bought.collect()} == {"lamp", "rug"}, "nor is it missed"


def test_a_shop_that_knows_users_by_their_orders_alone_tells_of_first_orders(shop: Written, spark: SparkSession) -> None:
    shop.events(*[row for row in _shop() if row["event"] == "purchase"])
    tables.overwrite(spark.createDataFrame([], USER_VERSIONS.ddl), USER_VERSIONS.name)
    plain = {key: value for key, value in SETTINGS.items() if key not in ("users", "features")}
    told = shop.run(from_mapping(plain))
    lamp = told["none", "all", "lamp"]
    assert (lamp.given, lamp.level, lamp.users, lamp.purchases) == (FIRST_ORDER, "overall", 6, 4)
    assert lamp.reason == "4 of 6 users at their first order bought it; shrunk towards its category"
    assert told["old", "all", "lamp"].given == KNOWN
    assert {history for history, _ in shop.unscored().values()} == {"old"}, "nobody is known before she orders"


def test_a_table_of_users_without_dates_does_not_tell_the_past_who_was_to_order(shop: Written) -> None:
    """It names today all who ordered since, and none of those who stay without orders has ordered."""
    shop.events(*[row for row in _shop() if row["event"] == "purchase"])
    shop.known(REGIONS, since="1900-01-01 00:00:00")
    lamp = shop.run(from_mapping(SETTINGS))["none", "north", "lamp"]
    assert (lamp.given, lamp.users, lamp.purchases) == (FIRST_ORDER, 4, 4)
    assert "north7" in shop.unscored(), "of today it tells"
    shop.events(*_shop())
    lamp = shop.run(from_mapping(SETTINGS))["none", "north", "lamp"]
    assert (lamp.given, lamp.users, lamp.purchases) == (KNOWN, 2, 0), "the one who had looked, at two dates"


def test_who_lapsed_lately_is_told_by_those_who_were_counted(shop: Written) -> None:
    """Nobody had been away so long at the dates that train."""
    rows = [row for row in _shop() if row["user_id"] != "old hand"] + [_event("lapsed", product, 25) for product in ("lamp", "rug")]
    shop.events(*rows)
    told = shop.run(from_mapping(SETTINGS))
    assert shop.unscored()["lapsed"] == ("old", "unknown")
    mine, theirs = told["old", "unknown", "lamp"], told["none", "south", "lamp"]
    assert mine.propensity > 0
    assert mine.reason.startswith("4 of 30 users without orders bought it"), "not of users who ordered"
    assert theirs.given == mine.given == KNOWN
    shop.events(*[row for row in rows if row["event"] == "purchase"])
    tables.overwrite(shop.spark.createDataFrame([], USER_VERSIONS.ddl), USER_VERSIONS.name)
    plain = {key: value for key, value in SETTINGS.items() if key not in ("users", "features")}
    assert {history for history, _, _ in shop.run(from_mapping(plain))} == {"none"}, "first orders tell nothing of one who ordered"


@pytest.mark.parametrize(("most", "pairs"), [(1, 4_000_000), (200, 5)])
def test_of_very_many_segments_the_largest_are_told_of_and_the_others_together(
    shop: Written, monkeypatch: pytest.MonkeyPatch, most: int, pairs: int
) -> None:
    """Of many products few segments are too many."""
    monkeypatch.setattr(cold_start, "LEAST_SEGMENTS", 1)
    monkeypatch.setattr(cold_start, "MOST_SEGMENTS", most)  # the north has more users than the south
    monkeypatch.setattr(cold_start, "MOST_PAIRS", pairs)
    told = shop.run(from_mapping(SETTINGS))
    assert {segment for _, segment, _ in told} == {"north", "other", "unknown"}
    assert (told["none", "other", "mug"].purchases, told["none", "north", "lamp"].users) == (1, 9 + 7)
    assert shop.unscored()["south7"] == ("none", "other")


@pytest.mark.parametrize(("products", "segments"), [(0, 200), (20_000, 200), (20_001, 199), (400_000, 10), (500_000, 10)])
def test_the_more_products_the_fewer_segments_are_told_apart(products: int, segments: int) -> None:
    assert cold_start.told_apart(products) == segments


def test_the_view_has_everyone_with_rows_of_one_kind(shop: Written, spark: SparkSession) -> None:
    told = shop.run(from_mapping(SETTINGS))
    shop.scored("north0", "north1", "north2", "north3", "south0", "south1", "south7")  # scored since
    views.create(spark, 10)
    found = views.query(spark, f"SELECT * FROM {views.ANY}").collect()
    kinds = {(row.user_id, row.why == "history") for row in found}
    scored = {"north0", "north1", "north2", "north3", "south0", "south1", "south7"}
    assert {user for user, history in kinds if history} == scored
    assert {user for user, history in kinds if not history} == set(shop.unscored()) - scored
    mine = {row.product_id: row for row in found if row.user_id == "seen only"}
    assert set(mine) == {"lamp", "mug", "rug"}
    row, rate = mine["lamp"], told["none", "north", "lamp"]
    assert (row.propensity, row.rank, row.why, row.given) == (rate.propensity, rate.rank, rate.reason, KNOWN)


def test_what_is_held_out_teaches_nothing_and_is_judged(
    shop: Written, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_trials, "hidden_user", lambda _: _in("user_id", "north2", "north6", "south2"))
    monkeypatch.setattr(cold_trials, "hidden_product", lambda _: _in("product_id", "rug"))
    config = from_mapping(SETTINGS)
    hidden = _in("user_id", "north2", "north0", "south2"), _in("product_id", "rug")
    known = cold_start.learnt(cold_start.shop(spark, config), TIMELINE.rehearsal, *(~one for one in hidden))
    learnt = {(r.history, r.segment, r.product_id): (r.users, r.purchases) for r in known.counts.collect()}
    assert {product for _, _, product in learnt} == {"lamp", "mug"}
    assert learnt["none", "north", "lamp"] == (9 - 2, 1)
    named = _judged(spark, config)
    assert list(named) == [(h, p, s) for h, p in _parts() for s in ("cold", "product", "constant")]
    users, both, products = (named["none", part, "cold"] for part in ("users", "both", "products"))
    assert (users["rows"], users["positives"]) == (3 * 2, 1), "north2 buys a lamp in the test week"
    assert (both["rows"], both["positives"]) == (3, 0)
    assert (products["rows"], products["positives"]) == (13 - 3, 0)
    shop.events(*_shop(), _event("north6", "lamp", 12), _event("north7", "rug", 12), _event("north7", "rug", 13))
    again = _judged(spark, config)
    assert again["none", "users", "cold"]["rows"] == 2 * 2, "north6 has ordered"
    assert again["none", "both", "constant"]["rows"] == 2


def test_first_orders_judge_nobody_who_has_ordered(shop: Written, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lapsed by the date of the test, and by no date that trains: nothing is told of him, and so nothing judged."""
    monkeypatch.setattr(cold_trials, "hidden_user", lambda _: _in("user_id", "north2", "south1"))
    monkeypatch.setattr(cold_trials, "hidden_product", lambda _: _in("product_id", "rug"))
    ordered = [row for row in _shop() if row["event"] == "purchase" and row["user_id"] != "old hand"]
    shop.events(*ordered, *(_event("lapsed", product, 30) for product in ("lamp", "rug")))
    tables.overwrite(spark.createDataFrame([], USER_VERSIONS.ddl), USER_VERSIONS.name)
    plain = {key: value for key, value in SETTINGS.items() if key not in ("users", "features")}
    rows = list(_judged(spark, from_mapping(plain)).values())
    assert {(row["history"], row["given"]) for row in rows} == {("none", FIRST_ORDER)}


def test_who_came_before_all_that_features_know_is_not_scored_and_is_told_of(shop: Written) -> None:
    """The population reaches back no further than the history: nobody falls between the two."""
    short = {"population": {"days": 90}, "features": {"segment_by": "region", "windows": [1], "history_days": 20}}
    shop.run(from_mapping({**SETTINGS, **short}))
    assert shop.unscored()["old hand"] == ("old", "unknown"), "came 60 days ago"
    assert "north0" not in shop.unscored()
    counted = {key[0] for key in shop.run(from_mapping({**SETTINGS, "population": {"days": 90}}))}
    assert "old hand" in shop.unscored(), "whom the population has is told of as well where no pair of hers was scored"
    assert counted == {"none", "old"}
    shop.scored("north0", "north1", "north2", "north3", "south0", "south1", "old hand")
    shop.run(from_mapping({**SETTINGS, "population": {"days": 90}}))
    assert "old hand" not in shop.unscored()


def test_a_buyer_of_nothing_that_is_listed_counts(table: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_trials, "hidden_product", lambda _: _in("product_id", "mug"))
    users = table(
        "user_id STRING, history STRING, segment STRING, is_hidden BOOLEAN",
        *((name, "none", segment, False) for name, segment in (("finds", "north"), ("misses", "south"))),
    )
    rates = (0.5, 0.4, 0.3)
    listed = table(
        "history STRING, segment STRING, product_id STRING, propensity DOUBLE, product_rate DOUBLE, overall_rate DOUBLE",
        *(("none", *place, *rates) for place in (("north", "mug"), ("north", "lamp"), ("south", "lamp"))),
    )
    bought = table("user_id STRING, product_id STRING", ("finds", "mug"), ("misses", "mug"))
    good, lists = cold_trials._figures(users, listed, bought, 1)
    assert list(good) == list(lists) == ["none: products"]
    assert (lists["none: products"]["cold"].users, lists["none: products"]["cold"].recall) == (2, 1 / 2)
    assert lists["none: products"]["cold"].k == 10, "as the table's column is called, whatever judge.k is"


def _in(column: str, *names: str) -> Any:
    from pyspark.sql import functions as F

    return F.col(column).isin(*names)


def _parts() -> list[tuple[str, str]]:
    return [("none", part) for part in cold_trials.HELD_OUT] + [("old", part) for part in ("products",)]


def _judged(spark: SparkSession, config: Config) -> dict[tuple[str, str, str], dict[str, Any]]:
    written = cold_trials.judged(spark, config, TIMELINE)
    rows = [dict(zip(cold_trials.COLD_TRIALS.columns, row, strict=True)) for row in written]
    assert cold_trials.told(written).splitlines()[1].split()[:3] == ["none", "users", "cold"]
    return {(row["history"], row["held_out"], row["scorer"]): row for row in rows}


def test_a_shop_without_anyone_to_judge_says_so(shop: Written, spark: SparkSession) -> None:
    config = from_mapping({**SETTINGS, "train": {"min_history_days": 1}})
    tables.overwrite(spark.createDataFrame([], USER_VERSIONS.ddl), USER_VERSIONS.name)
    shop.events(*[_event(f"u{n}", "lamp", days) for n in range(3) for days in (39, 30, 20, 10, 1)])
    with pytest.raises(InsufficientData, match="no user without history"):
        cold_trials.run(spark, config, AS_OF, Progress())
