"""A small shop from its logs to silver: what was received is refused, said twice or accepted, and nothing else."""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.config import Config, StorageConfig
from propensity_spark.errors import SourceError
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import ingest
from propensity_spark.progress import Progress

Make = Callable[..., DataFrame]
SILVER = ("events", "events_rejected", "products", "users", "intake")
UNSTEADY = ("rejected_at", "ingested_ts")

FIRST_DAY = """visitor,sku,what,at
ann,mug,look,2024-03-01 09:00:00
ann,mug,look,2024-03-01 09:30:00
ann,mug,basket,2024-03-01 10:00:01
bob,cup,look,2024-03-01 12:00:00
bob,cup,gaze,2024-03-01 12:00:10
,cup,look,2024-03-01 12:00:20
,,look,soon
bob,cu
"""
SECOND_DAY = """visitor,sku,what,at
ann,mug,basket,2024-03-01 10:00:01
cem,jug,look,2024-03-02 23:30:00
""" + "".join(f"crawler,mug,look,2024-03-02 08:00:{second:02}\n" for second in range(6))
SOLD = {
    "customer": "ann",
    "sku": "mug",
    "status": "sold",
    "at": "2024-03-01 10:00:30",
    "price": 2.5,
    "pieces": 2,
    "no": 1,
}
OTHER = {
    "customer": "bob",
    "sku": "cup",
    "status": "sold",
    "at": "2024-03-01 13:00:00",
    "price": 4,
    "pieces": 1,
    "no": 2,
}
BACK = {**OTHER, "status": "back", "at": "2024-03-02 09:00:00", "price": -4, "pieces": -1, "no": 3}
ORDERS = [SOLD, SOLD, OTHER, BACK, {**SOLD, "customer": None, "no": 4}, {**SOLD, "sku": "jug", "price": 0, "no": 5}]


@dataclass(frozen=True)
class Shop:
    """A folder of logs that were ingested once, and the warehouse that came of it."""

    logs: Path
    warehouse: Path

    def config(self, **sections: Any) -> Config:
        """The shop's configuration, with sections of one's own."""
        click = {"user_id": "visitor", "product_id": "sku", "event": "what", "event_ts": "at"}
        order = {"user_id": "customer", "product_id": "sku", "event": "status", "event_ts": "at"}
        order |= {"price": "price", "quantity": "pieces", "order_id": "no"}
        clicks = {"name": "clicks", "path": f"{self.logs}/*.csv*", "map": click}
        orders = {"name": "orders", "path": f"{self.logs}/*.json", "format": "json", "map": order}
        mine = {
            "shop": {"time_zone": "Europe/London"},
            "sources": [
                {**clicks, "event_types": {"look": "view", "basket": "cart"}},
                {**orders, "event_types": {"sold": "purchase", "back": "return"}},
            ],
            "users": {"path": f"{self.logs}/users/*", "id": "id", "attributes": ["age"]},
            "products": {"path": f"{self.logs}/products/*", "id": "sku", "name": "title", "price": "list"},
            "quality": {"bot_events_per_minute": 5},
        }
        return from_mapping({**mine, **sections})


def _write_logs(logs: Path) -> None:
    (logs / "users").mkdir()
    (logs / "products").mkdir()
    (logs / "1.csv").write_text(FIRST_DAY)
    (logs / "2.csv.gz").write_bytes(gzip.compress(SECOND_DAY.encode()))
    (logs / "orders.json").write_text("".join(json.dumps(order) + "\n" for order in ORDERS))
    (logs / "users" / "u.csv").write_text("id,age\nann,30\ndan,40\n")
    (logs / "products" / "p.csv").write_text("sku,title,list\nmug,Mug,3.5\nhat,Hat,9\n")


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop after one run; tests that write into it take `copied`."""
    made = Shop(tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("ingested"))
    _write_logs(made.logs)
    with _attached(spark, made.warehouse):
        ingest.run(spark, made.config(), Progress(quiet=True))
        yield made


class _attached:  # noqa: N801
    """The session's tables lie in `warehouse` meanwhile."""

    def __init__(self, spark: SparkSession, warehouse: Path) -> None:
        self.spark, self.warehouse = spark, warehouse

    def __enter__(self) -> None:
        self.before = self.spark.conf.get("spark.propensity.warehouse")
        self._point(str(self.warehouse))

    def __exit__(self, *_: object) -> None:
        self._point(self.before)

    def _point(self, warehouse: str) -> None:
        for schema in tables.SCHEMAS:
            self.spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        tables.attach(self.spark, StorageConfig(warehouse=warehouse))


@pytest.fixture
def copied(spark: SparkSession, shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """The same shop with a warehouse to write into."""
    copy = Shop(shop.logs, Path(shutil.copytree(shop.warehouse, tmp_path / "copy")))
    with _attached(spark, copy.warehouse):
        yield copy


def _run(spark: SparkSession, config: Config) -> None:
    ingest.run(spark, config, Progress(quiet=True))


def _silver(spark: SparkSession) -> dict[str, list[str]]:
    """All silver rows as text, without the times of the run."""
    found = {}
    for name in SILVER:
        frame = tables.read(spark, f"silver.{name}").drop(*UNSTEADY)
        found[name] = sorted(str(row) for row in frame.collect())
    return found


def _versions(spark: SparkSession) -> list[int]:
    return [tables.version(spark, f"silver.{name}") for name in SILVER]


def test_received_rows_are_refused_duplicate_or_accepted_and_the_counts_say_so(spark: SparkSession, shop: Shop) -> None:
    counts = {(r["source"], r["step"], r["reason"]): r["rows"] for r in tables.read(spark, "silver.intake").collect()}
    assert counts == {
        ("clicks", "received", ""): 16,
        ("clicks", "rejected", "user is missing"): 2,
        ("clicks", "rejected", "product is missing"): 1,
        ("clicks", "rejected", "time cannot be read"): 1,
        ("clicks", "rejected", "event type is unknown"): 1,
        ("clicks", "rejected", "the line is cut off or has too many or too few fields"): 1,
        ("clicks", "refused", "rows with any reason"): 4,
        ("clicks", "duplicate", "said the same as another row"): 1,
        ("clicks", "accepted", ""): 11,
        ("clicks", "bot", "kept, but left out of features and labels"): 6,
        ("orders", "received", ""): 6,
        ("orders", "rejected", "user is missing"): 1,
        ("orders", "rejected", "price is zero or negative"): 1,
        ("orders", "refused", "rows with any reason"): 2,
        ("orders", "duplicate", "said the same as another row"): 1,
        ("orders", "accepted", ""): 3,
        ("orders", "bot", "kept, but left out of features and labels"): 0,
    }
    by_step = {(source, step): rows for (source, step, _), rows in counts.items() if step != "rejected"}
    for source in ("clicks", "orders"):
        parts = (by_step[source, step] for step in ("refused", "duplicate", "accepted"))
        assert by_step[source, "received"] == sum(parts)
    assert tables.read(spark, "silver.events").count() == 11 + 3
    assert tables.read(spark, "silver.events_rejected").count() == 4 + 2


def test_silver_events_join_both_logs_in_visits_with_returns_taken_back(spark: SparkSession, shop: Shop) -> None:
    rows = tables.read(spark, "silver.events", "user_id IN ('ann', 'bob')").orderBy("user_id", "event_ts").collect()
    said = [(r["user_id"], r["event"], r["quantity"], r["amount"], r["session_no"], str(r["cancelled_ts"])) for r in rows]
    assert said == [
        ("ann", "view", None, None, 1, "None"),
        ("ann", "view", None, None, 1, "None"),
        ("ann", "cart", 1.0, None, 2, "None"),
        ("ann", "purchase", 2.0, 5.0, 2, "None"),
        ("bob", "view", None, None, 1, "None"),
        ("bob", "purchase", 1.0, 4.0, 2, "2024-03-02 09:00:00"),
        ("bob", "return", 1.0, 4.0, 3, "None"),
    ]
    assert {str(r["event_date"]) for r in rows} == {"2024-03-01", "2024-03-02"}
    assert {Path(r["source_file"]).name for r in rows if r["user_id"] == "bob"} == {"1.csv", "orders.json"}


def test_refused_rows_are_kept_as_received_with_all_reasons(spark: SparkSession, shop: Shop) -> None:
    rows = tables.read(spark, "silver.events_rejected").collect()
    said = {(r["source"], r["event_time"], r["order_id"]): r["reasons"] for r in rows}
    assert said["clicks", "soon", None] == ["user is missing", "product is missing", "time cannot be read: soon"]
    assert said["clicks", None, None] == ["the line is cut off or has too many or too few fields"]
    assert said["orders", "2024-03-01 10:00:30", "5"] == ["price is zero or negative"]
    assert {r["event"] for r in rows} == {"gaze", "look", "sold", None}


def test_users_and_products_are_the_listed_ones_and_the_seen_ones(spark: SparkSession, shop: Shop) -> None:
    users = {r["user_id"]: r["attributes"] for r in tables.read(spark, "silver.users").collect()}
    assert users == {"ann": {"age": "30"}, "dan": {"age": "40"}, "bob": None, "cem": None, "crawler": None}
    products = {r["product_id"]: (r["name"], r["price"]) for r in tables.read(spark, "silver.products").collect()}
    # the list's price goes before the last one paid; jug was only sold in a refused row
    assert products == {"mug": ("Mug", 3.5), "hat": ("Hat", 9.0), "cup": (None, 4.0), "jug": (None, None)}


def test_a_run_without_news_writes_nothing(spark: SparkSession, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    before = _versions(spark)
    ingest.run(spark, shop.config(), Progress())
    assert _versions(spark) == before
    assert "neither the logs nor the settings have changed" in capsys.readouterr().err


def test_too_many_refused_rows_leave_silver_as_before(spark: SparkSession, shop: Shop) -> None:
    before = _versions(spark)
    strict = shop.config(quality={"max_rejected_share": 0.25})
    with pytest.raises(SourceError, match=r"sources\.orders: 2 of 6 rows were refused, .* = 0\.25: .*left as it was"):
        _run(spark, strict)  # a quarter of the clicks is just allowed, a third of the orders is not
    assert _versions(spark) == before


def test_the_gate_opens_at_the_share_itself_and_names_the_commonest_reasons(shop: Shop) -> None:
    config = shop.config(quality={"max_rejected_share": 0.5})
    ingest._gate(config, {"log": ingest._Taken(4, {"x": 2}, 2)})
    reasons = {"rare": 1, "common": 1000, "usual": 5}
    with pytest.raises(SourceError, match=r"1,001 of 2,000 rows .*: common \(1,000\); usual \(5\)\. "):
        ingest._gate(config, {"good": ingest._Taken(4, {}, 0), "log": ingest._Taken(2000, reasons, 1001)})
    with pytest.raises(SourceError, match=r"event type is unknown \(3: say in sources\.log\.event_types what its values mean\)\. "):
        ingest._gate(config, {"log": ingest._Taken(4, {"event type is unknown": 3}, 3)})
    with pytest.raises(
        SourceError, match=r"arrival cannot be read \(3: sources\.log\.map\.ingested_ts must be written as sources\.log\.time"
    ):
        ingest._gate(config, {"log": ingest._Taken(4, {"arrival cannot be read": 3}, 3)})
    with pytest.raises(SourceError, match=r"sources\.log holds no rows"):
        ingest._gate(config, {"log": ingest._Taken(0, {}, 0)})


class Killed(Exception):
    """Stands for a power cut."""


def _kill_at(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    really = tables.overwrite

    def overwrite(frame: DataFrame, name: str, note: str = "") -> int:
        if name == table:
            raise Killed
        return really(frame, name, note)

    monkeypatch.setattr(tables, "overwrite", overwrite)


def test_reasons_are_counted_without_the_values_that_they_name_whatever_those_hold(table: Make) -> None:
    values = ("a", "two\nlines", "a\r\n\nb", "read: so", "it is unknown: so")
    rows = table(
        "source STRING, event STRING, reasons ARRAY<STRING>", *(("log", "", [f"time cannot be read: {v}"]) for v in values)
    )
    more = table(
        "source STRING, reasons ARRAY<STRING>", ("users", ["price cannot be read: \n"]), ("users", ["a rule: with a\ncolon"])
    )
    counted = ingest._counted(rows, [more])
    assert counted["log"].reasons == {"time cannot be read": 5}
    assert counted["users"].reasons == {"price cannot be read": 1, "a rule: with a\ncolon": 1}


def test_a_run_killed_midway_and_run_again_equals_one_run(
    spark: SparkSession, copied: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with other settings, the events written and their counts not; then the settings are the former ones."""
    before = _silver(spark)
    with monkeypatch.context() as patch:
        _kill_at(patch, "silver.intake")
        with pytest.raises(Killed):
            _run(spark, copied.config(sessions={"gap_minutes": 1}))
    assert tables.read(spark, "silver.events").count() == 11 + 3
    _run(spark, copied.config())
    assert _silver(spark) == before


def test_a_changed_catalogue_comes_into_silver(spark: SparkSession, copied: Shop) -> None:
    listed = copied.logs / "products" / "p.csv"
    before, times = listed.read_text(), listed.stat()
    try:
        listed.write_text(before.replace("Hat,9", "Top hat,19"))
        _run(spark, copied.config())
        (hat,) = tables.read(spark, "silver.products", "product_id = 'hat'").collect()
        assert (hat["name"], hat["price"]) == ("Top hat", 19.0)
    finally:
        listed.write_text(before)
        os.utime(listed, ns=(times.st_atime_ns, times.st_mtime_ns))  # the logs are shared: as if nothing had happened


def test_a_change_of_users_in_a_table_or_at_an_address_makes_silver_anew(
    spark: SparkSession, table: Make, copied: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = table("id STRING", ("ann",))
    people.write.format("delta").saveAsTable("bronze.people")
    people.createOrReplaceTempView("people_view")
    at = tmp_path / "people"
    people.write.csv(f"{at}/csv", header=True)
    people.write.format("delta").save(f"{at}/delta")
    told = {
        "table": {"table": "bronze.people"},
        "delta": {"path": f"{at}/delta", "format": "delta"},
        "address": {"path": f"file://{at}/csv/"},
        "nowhere": {"path": f"file://{at}/none/"},
        "unreachable": {"path": "nosuch://bucket/users.csv"},
        "view": {"table": "people_view"},
    }
    names = ["bronze.clicks", "bronze.orders"]

    def seen() -> dict[str, str]:
        return {name: ingest._fingerprint(spark, copied.config(users={**place, "id": "id"}), names) for name, place in told.items()}

    before = seen()
    assert {name for name, said in seen().items() if said != before[name]} == {"nowhere", "unreachable", "view"}, "never as before"
    people.write.format("delta").mode("append").saveAsTable("bronze.people")
    spark.sql(f"DELETE FROM delta.`{at}/delta`")  # no file comes, and none goes
    people.write.mode("append").csv(f"{at}/csv", header=True)
    assert {name for name, said in seen().items() if said != before[name]} == set(told)


def test_a_new_file_makes_silver_anew(spark: SparkSession, copied: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def silver(spark: SparkSession, config: Config, names: list[str], *_: object) -> tuple[int, int]:
        made.append(sum(tables.read(spark, name).count() for name in names))
        return 0, 0

    monkeypatch.setattr(ingest, "_silver", silver)
    _run(spark, copied.config())
    assert made == []
    new = copied.logs / "3.csv"
    try:
        new.write_text("visitor,sku,what,at\neve,cup,look,2024-03-03 09:00:00\n")
        _run(spark, copied.config())
    finally:
        new.unlink()
    assert made == [16 + 6 + 1]


def test_a_log_that_was_removed_and_read_anew_makes_silver_anew(
    spark: SparkSession, copied: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its versions count from 0 again, and may come to the number that they had."""
    made: list[int] = []
    monkeypatch.setattr(ingest, "_silver", lambda *_: (made.append(1) or 0, 0))
    log = copied.logs / "1.csv"
    before, times = log.read_text(), log.stat()
    version = tables.version(spark, "bronze.clicks")
    try:
        log.write_text(before.replace("ann", "eva"))
        shutil.rmtree(copied.warehouse / "bronze" / "clicks")
        spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # as in the session of a later run
        _run(spark, copied.config())
    finally:
        log.write_text(before)
        os.utime(log, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert tables.version(spark, "bronze.clicks") == version
    assert made == [1]


def test_rows_of_an_ignored_type_are_counted_and_asked_nothing(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = [
        "ann,mug,buy,2024-03-01",
        "ann,mug,buy,2024-03-01",
        ",,scroll,soon",  # a user who does not count
        "zoe,,scroll,2024-03-02",
        "ann,mug,scroll,2024-03-02",
        "ann,mug,gaze,2024-03-02",
        "ann,mug,scroll",  # it is not known what was cut off
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,what,at", *log]), encoding="utf-8")
    source = {
        "name": "log",
        "path": f"{tmp_path}/log.csv",
        "map": {"user_id": "user", "product_id": "item", "event": "what", "event_ts": "at"},
        "event_types": {"buy": "purchase", "scroll": "ignore"},
        "rules": [{"name": "no scrolling", "reject_when": "what = 'scroll'"}],
    }
    config = from_mapping({"sources": [source], "storage": {"warehouse": str(tmp_path)}, "quality": {"max_rejected_share": 0.5}})
    tables.attach(spark, config.storage)
    ingest.run(spark, config, Progress())  # 2 of the 4 that are wanted
    counts = {(r["step"], r["reason"]): r["rows"] for r in tables.read(spark, "silver.intake").collect()}
    assert {key: rows for key, rows in counts.items() if key[0] in ("received", "ignored", "refused", "duplicate", "accepted")} == {
        ("received", ""): 7,
        ("ignored", "event_types ignores its type"): 3,
        ("refused", "rows with any reason"): 2,
        ("duplicate", "said the same as another row"): 1,
        ("accepted", ""): 1,
    }
    assert [r["user_id"] for r in tables.read(spark, "silver.users").collect()] == ["ann"]
    assert tables.read(spark, "silver.events_rejected").count() == 2
    told = capsys.readouterr().err
    assert "log             3 of 7 rows ignored, as event_types says\n" in told
    assert "log             2 of 4 rows refused: " in told
    assert "event type is unknown (1)" in told
    with pytest.raises(SourceError, match="2 of 4 rows were refused"):
        _run(spark, replace(config, quality=replace(config.quality, max_rejected_share=0.49)))
