"""Dated versions: a table that says from when its rows hold, and one of which each ingest sees only the latest state."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config, EntityConfig, TimeConfig
from propensity_spark.errors import ConfigError, MissingColumns, SourceError
from propensity_spark.ingest import versions
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import ingest, listings
from propensity_spark.progress import Progress

Make = Callable[..., DataFrame]
EVER = versions.EVER
LONDON = from_mapping({"shop": {"time_zone": "Europe/London"}})


def _entity(path: Path, **more: Any) -> EntityConfig:
    return EntityConfig(path=(str(path),), id="id", attributes=("city",), **more)


def _parsed(spark: SparkSession, path: Path, text: str, **more: Any) -> DataFrame:
    path.write_text(text, encoding="utf-8")
    return versions.parse(spark, _entity(path, **{"valid_from": "since", **more}), "user_id", LONDON)


def _rows(frame: DataFrame) -> list[tuple[Any, ...]]:
    columns = ("user_id", "city", "valid_from", "valid_to", "known_ts")
    rows = frame.selectExpr("user_id", "attributes.city", "valid_from", "valid_to", "known_ts").collect()
    return sorted(tuple(str(row[c])[:26] for c in columns) for row in rows)


def test_bad_rows_of_a_dated_table_are_refused_with_every_reason(spark: SparkSession, tmp_path: Path) -> None:
    text = "id,city,since,told\nann,Ulm,2024-03-01,\nbob,Ulm,soon,\n,Ulm,,later\ncem,Ulm,2024-01-01,2024-02-30\n"
    found = _parsed(spark, tmp_path / "u.csv", text, known="told").collect()
    assert {row["user_id"]: row["reasons"] for row in found} == {
        "ann": [],
        "bob": ["valid_from cannot be read: soon"],
        None: ["user is missing", "valid_from is missing", "known cannot be read: later"],
        "cem": ["known cannot be read: 2024-02-30"],
    }


def test_a_price_that_is_no_price_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,city,since,cost\na,x,2024-01-01,2.5\nb,x,2024-01-01,much\nc,x,2024-01-01,NaN\n")
    parsed = versions.parse(spark, _entity(tmp_path / "p.csv", valid_from="since", price="cost"), "product_id", LONDON)
    assert {row["product_id"]: (row["price"], row["reasons"]) for row in parsed.where("product_id != 'c'").collect()} == {
        "a": (2.5, []),
        "b": (None, ["price cannot be read: much"]),
    }
    assert parsed.where("product_id = 'c'").collect()[0]["reasons"] == ["price is not a finite number"]


def test_a_version_ends_where_the_next_one_begins_whatever_the_order_of_the_file(spark: SparkSession, tmp_path: Path) -> None:
    text = "id,city,since\nann,Bonn,2024-07-01\nann,Ulm,2024-03-01\nbob,Ulm,2024-03-01\nann,Kiel,2024-05-01 10:00:00.000001\n"
    # Ulm in winter time, Bonn and Kiel in summer time
    assert _rows(versions.dated(_parsed(spark, tmp_path / "u.csv", text), "user_id")) == [
        ("ann", "Bonn", "2024-06-30 23:00:00", "None", "2024-06-30 23:00:00"),
        ("ann", "Kiel", "2024-05-01 09:00:00.000001", "2024-06-30 23:00:00", "2024-05-01 09:00:00.000001"),
        ("ann", "Ulm", "2024-03-01 00:00:00", "2024-05-01 09:00:00.000001", "2024-03-01 00:00:00"),
        ("bob", "Ulm", "2024-03-01 00:00:00", "None", "2024-03-01 00:00:00"),
    ]


@pytest.mark.parametrize("flip", [False, True])
def test_of_equal_times_the_last_in_the_order_of_what_it_says_stays(spark: SparkSession, tmp_path: Path, flip: bool) -> None:
    lines = ["ann,Ulm,2024-03-01", "ann,Bonn,2024-03-01", "ann,Bonn,2024-03-01"]
    text = "id,city,since\n" + "\n".join(reversed(lines) if flip else lines) + "\n"
    (row,) = _rows(versions.dated(_parsed(spark, tmp_path / "u.csv", text), "user_id"))
    assert row[1] == "Ulm"


def test_a_correction_of_the_same_time_stays_beside_what_it_corrects(spark: SparkSession, tmp_path: Path) -> None:
    text = "id,city,since,told\nann,Ulm,2024-01-01,2024-01-02\nann,Bonn,2024-01-01,2024-02-01\nann,Kiel,2024-03-01,\n"
    late = TimeConfig(delay_minutes=90)
    assert _rows(versions.dated(_parsed(spark, tmp_path / "u.csv", text, known="told", time=late), "user_id")) == [
        ("ann", "Bonn", "2024-01-01 00:00:00", "2024-03-01 00:00:00", "2024-02-01 00:00:00"),
        ("ann", "Kiel", "2024-03-01 00:00:00", "None", "2024-03-01 01:30:00"),
        ("ann", "Ulm", "2024-01-01 00:00:00", "2024-03-01 00:00:00", "2024-01-02 00:00:00"),
    ]


def test_the_latest_is_the_newest_that_has_begun(spark: SparkSession, tmp_path: Path) -> None:
    text = "id,city,since,told\nann,Ulm,2024-01-01,2024-01-02\nann,Bonn,2024-01-01,2024-02-01\nann,Kiel,2024-06-01,2024-01-01\n"
    made = versions.dated(_parsed(spark, tmp_path / "u.csv", text, known="told"), "user_id")
    cities = [versions.latest(made, "user_id", until).collect()[0]["attributes"]["city"] for until in (
        datetime(2024, 5, 1, tzinfo=UTC), None)]  # fmt: skip
    assert cities == ["Bonn", "Kiel"]


def test_a_mapped_column_that_is_not_there_is_named(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(MissingColumns, match=r"the table of users lacks \['since'\]"):
        _parsed(spark, tmp_path / "u.csv", "id,city\nann,Ulm\n")


def test_settings_that_mean_nothing_are_refused() -> None:
    for more in ({"known": "told"}, {"time": TimeConfig(delay_minutes=1)}):
        with pytest.raises(ConfigError, match="are for tables with `valid_from`"):
            _entity(Path("u.csv"), **more)


FIRST, SECOND, THIRD = (datetime(2024, month, 1, 12, tzinfo=UTC) for month in (3, 4, 5))


def _observe(spark: SparkSession, path: Path, text: str, before: DataFrame | None, now: datetime) -> DataFrame:
    path.write_text(text, encoding="utf-8")
    made = versions.observed(spark, _entity(path), "user_id", before, now)
    return spark.createDataFrame(made.collect(), made.schema)  # as a table keeps it: the file changes


def test_without_dates_each_ingest_dates_what_has_changed(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "u.csv"
    one = _observe(spark, file, "id,city\nann,Ulm\nbob,Ulm\n", None, FIRST)
    assert _rows(one) == [("ann", "Ulm", EVER, "None", EVER), ("bob", "Ulm", EVER, "None", EVER)]
    two = _observe(spark, file, "id,city\nann,Bonn\ncem,\n", one, SECOND)
    assert _rows(two) == [
        ("ann", "Bonn", "2024-04-01 12:00:00", "None", "2024-04-01 12:00:00"),
        ("ann", "Ulm", EVER, "2024-04-01 12:00:00", EVER),
        ("bob", "Ulm", EVER, "None", EVER),  # gone from the file: the last that is known
        ("cem", "None", EVER, "None", EVER),
    ]
    three = _observe(spark, file, "id,city\nann,Ulm\ncem,\n", two, THIRD)  # and back
    assert [row[1:4] for row in _rows(three) if row[0] == "ann"] == [
        ("Bonn", "2024-04-01 12:00:00", "2024-05-01 12:00:00"),
        ("Ulm", EVER, "2024-04-01 12:00:00"),
        ("Ulm", "2024-05-01 12:00:00", "None"),
    ]
    assert _rows(_observe(spark, file, "id,city\ncem,\nann,Ulm\n", three, datetime(2024, 9, 1, tzinfo=UTC))) == _rows(three)


def test_an_attribute_that_was_kept_as_it_was_written_has_not_changed(spark: SparkSession, tmp_path: Path) -> None:
    said = [
        ("ann", {"city": "3.0"}, EVER, None, EVER),
        ("bob", {"city": " Ulm "}, EVER, None, EVER),
        ("cem", None, EVER, None, EVER),
    ]
    ddl = "user_id STRING, attributes MAP<STRING, STRING>, valid_from STRING, valid_to STRING, known_ts STRING"
    before = spark.createDataFrame(said, ddl)
    before = before.select(
        "user_id", "attributes", *(F.col(c).cast("timestamp").alias(c) for c in ("valid_from", "valid_to", "known_ts"))
    )
    made = _rows(_observe(spark, tmp_path / "u.csv", 'id,city\nann,3\nbob,"Ulm"\n', before, SECOND))
    assert [row[:2] for row in made] == [("ann", "3"), ("bob", "Ulm"), ("cem", "None")]


def test_a_clock_that_was_set_back_puts_news_behind_what_they_replace(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "u.csv"
    one = _observe(spark, file, "id,city\nann,Ulm\n", None, FIRST)
    two = _observe(spark, file, "id,city\nann,Bonn\n", one, THIRD)
    three = _observe(spark, file, "id,city\nann,Kiel\n", two, SECOND)
    assert [row[1:3] for row in _rows(three)][1] == ("Kiel", "2024-05-01 12:00:00.000001")


CONSENTS = "id,city,consent\nann,Bonn,yes\nbob,Ulm,\ncem,Kiel,no\n"


def _said(
    spark: SparkSession, path: Path, text: str, before: DataFrame | None, now: datetime, *names: str
) -> tuple[DataFrame, list[tuple[Any, ...]]]:
    """The versions with these attributes, and of each the key, what it says, and the month since when it holds."""
    path.write_text(text, encoding="utf-8")
    entity = EntityConfig(path=(str(path),), id="id", attributes=names)
    made = versions.observed(spark, entity, "user_id", before, now)
    made = spark.createDataFrame(made.collect(), made.schema)
    rows = made.orderBy("user_id", "valid_from").selectExpr("user_id", "attributes", "month(valid_from)").collect()
    return made, [tuple(row) for row in rows]


def test_an_attribute_that_is_named_later_holds_since_ever(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "u.csv"
    one, _ = _said(spark, file, "id,city\nann,Ulm\nbob,Ulm\ngone,Ulm\n", None, FIRST, "city")
    two, _ = _said(spark, file, "id,city\nann,Bonn\nbob,Ulm\n", one, SECOND, "city")
    three, rows = _said(spark, file, CONSENTS, two, THIRD, "city", "consent")
    assert rows == [
        ("ann", {"city": "Ulm", "consent": "yes"}, 1),
        ("ann", {"city": "Bonn", "consent": "yes"}, 4),
        ("bob", {"city": "Ulm", "consent": None}, 1),
        ("cem", {"city": "Kiel", "consent": "no"}, 1),
        ("gone", {"city": "Ulm"}, 1),
    ]
    later = datetime(2024, 6, 1, tzinfo=UTC)
    assert _said(spark, file, CONSENTS, three, later, "consent", "city")[1] == rows, "again, in another order: nothing new"
    withdrawn = CONSENTS.replace("ann,Bonn,yes", "ann,Bonn,no").replace("bob,Ulm,", "bob,Ulm,yes")
    changed = _said(spark, file, withdrawn, three, later, "city", "consent")[1]
    assert [row for row in changed if row[2] == 6] == [
        ("ann", {"city": "Bonn", "consent": "no"}, 6),
        ("bob", {"city": "Ulm", "consent": "yes"}, 6),  # a blank was known before: it is no first value
    ]
    assert [row for row in changed if row[2] != 6] == rows


def test_attributes_after_none_hold_since_ever(spark: SparkSession, tmp_path: Path) -> None:
    one, rows = _said(spark, tmp_path / "u.csv", CONSENTS, None, FIRST)
    assert rows[0] == ("ann", None, 1)
    assert _said(spark, tmp_path / "u.csv", CONSENTS, one, SECOND, "consent")[1][0] == ("ann", {"consent": "yes"}, 1)


def test_an_attribute_that_is_dropped_makes_no_versions(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "u.csv"
    one, rows = _said(spark, file, CONSENTS, None, FIRST, "city", "consent")
    for names in (("city",), ()):
        assert _said(spark, file, CONSENTS, one, SECOND, *names)[1] == rows
    two, rows = _said(spark, file, CONSENTS.replace("Bonn,yes", "Ulm,no"), one, SECOND, "city")
    assert rows[:2] == [("ann", {"city": "Bonn", "consent": "yes"}, 1), ("ann", {"city": "Ulm"}, 4)]
    # named again: the last that was known of it held on, until it is seen to have changed
    _, rows = _said(spark, file, CONSENTS.replace("Bonn,yes", "Ulm,no"), two, THIRD, "city", "consent")
    assert rows[:3] == [
        ("ann", {"city": "Bonn", "consent": "yes"}, 1),
        ("ann", {"city": "Ulm", "consent": "yes"}, 4),
        ("ann", {"city": "Ulm", "consent": "no"}, 5),
    ]


def test_a_products_part_that_is_dropped_makes_no_versions(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("id,name,cost\nmug,Mug,3\n")
    table = {"path": (str(file),), "id": "id"}
    both = versions.observed(spark, EntityConfig(**table, name="name", price="cost"), "product_id", None, FIRST)
    for fewer in ({"name": "name"}, {"price": "cost"}, {}):
        assert versions.observed(spark, EntityConfig(**table, **fewer), "product_id", both, SECOND).count() == 1


def _shop(folder: Path, **sections: Any) -> Config:
    sold = "".join(f"ann,mug,2024-03-0{day} 09:00:00\n" for day in (1, 2, 3))
    (folder / "log.csv").write_text(f"u,p,t\n{sold},mug,2024-03-01 09:00:00\n")  # one of four is refused
    source = {"name": "log", "path": str(folder / "log.csv"), "event": "purchase", "map": {"user_id": "u", "product_id": "p",
              "event_ts": "t"}}  # fmt: skip
    return from_mapping({"sources": [source], **sections})


def _ingest(spark: SparkSession, config: Config) -> None:
    ingest.run(spark, config, Progress(quiet=True))


def test_an_ingest_dates_changes_and_a_second_one_of_the_same_files_writes_nothing(
    spark: SparkSession, warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "u.csv"
    config = _shop(tmp_path, users={"path": str(file), "id": "id", "attributes": ["city"]})
    file.write_text("id,city\nann,Ulm\n")
    _ingest(spark, config)
    file.write_text("id,city\nann,Stuttgart\n")  # of another size: a changed file
    really = tables.overwrite

    def killed(frame: DataFrame, name: str, note: str = "") -> int:
        if name == "silver.users":
            raise RuntimeError("power cut")
        return really(frame, name, note)

    with monkeypatch.context() as patch:
        patch.setattr(tables, "overwrite", killed)
        with pytest.raises(RuntimeError, match="power cut"):
            _ingest(spark, config)
    cut_off = _rows(tables.read(spark, "silver.user_versions"))
    assert [row[1] for row in cut_off] == ["Stuttgart", "Ulm"]
    _ingest(spark, config)  # the change was dated by the ingest that met it first, and no second time
    assert _rows(tables.read(spark, "silver.user_versions")) == cut_off
    assert tables.read(spark, "silver.users").collect()[0]["attributes"] == {"city": "Stuttgart"}
    before = [tables.version(spark, name) for name in ("silver.user_versions", "silver.users")]
    _ingest(spark, config)
    assert [tables.version(spark, name) for name in ("silver.user_versions", "silver.users")] == before


def test_who_is_taken_out_of_the_table_and_of_the_logs_is_forgotten(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    file = tmp_path / "u.csv"
    config = _shop(tmp_path, users={"path": str(file), "id": "id", "attributes": ["city"]})
    file.write_text("id,city\nann,Ulm\nbob,Ulm\ncem,Ulm\n")  # ann alone buys
    _ingest(spark, config)
    file.write_text("id,city\ncem,Ulm\n")
    _ingest(spark, config)
    assert [row[:2] for row in _rows(tables.read(spark, "silver.user_versions"))] == [("ann", "Ulm"), ("cem", "Ulm")]


def test_a_dated_table_gives_its_versions_the_latest_row_and_its_counts(
    spark: SparkSession, warehouse: Path, tmp_path: Path
) -> None:
    file = tmp_path / "p.csv"
    file.write_text(
        "id,cost,since\nmug,3,2024-02-01\nmug,2,2024-01-01\nmug,2,2024-01-01\nmug,9,2999-01-01\nmug,x,2024-01-01\nhat,1,\n"
    )
    products = {"path": str(file), "id": "id", "price": "cost", "valid_from": "since"}
    config = _shop(tmp_path, products=products)
    assert listings.written(config) == ("silver.product_versions",)
    _ingest(spark, config)
    assert [row["price"] for row in tables.read(spark, "silver.product_versions").orderBy("valid_from").collect()] == [2, 3, 9]
    assert [(r["product_id"], r["price"]) for r in tables.read(spark, "silver.products").collect()] == [("mug", 3.0)]
    counts = tables.read(spark, "silver.intake", "source = 'versions of products'").collect()
    assert {(row["step"], row["reason"]): row["rows"] for row in counts} == {
        ("received", ""): 6,
        ("rejected", "price cannot be read"): 1,
        ("rejected", "valid_from is missing"): 1,
        ("refused", "rows with any reason"): 2,
        ("duplicate", "said the same as another row"): 1,
        ("accepted", ""): 3,
    }
    refused = (
        tables.read(spark, "silver.events_rejected", "source != 'log'")
        .select("source", "product_id", "event_time", "reasons")
        .collect()
    )
    assert sorted(tuple(row)[1:] for row in refused) == [
        ("hat", None, ["valid_from is missing"]),
        ("mug", "2024-01-01", ["price cannot be read: x"]),
    ]
    strict = _shop(tmp_path, products=products, quality={"max_rejected_share": 0.3})
    with pytest.raises(SourceError, match=r"^products: 2 of 6 rows were refused, .*left as it was"):
        _ingest(spark, strict)
