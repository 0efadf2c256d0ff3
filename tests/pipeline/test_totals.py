"""features.totals: built, advanced, backfilled; killed at every write in turn; and looked up for moments of one's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config, FeatureConfig, ShopConfig
from propensity_spark.errors import ConfigError, InsufficientData, MissingColumns, PropensityError
from propensity_spark.pipeline import spines, totals
from propensity_spark.progress import Progress
from propensity_spark.schemas import EVENTS

QUIET = Progress(quiet=True)
CONFIG = Config(shop=ShopConfig(time_zone="Europe/Berlin"), features=FeatureConfig(windows=(1, 7)))
START = date(2024, 3, 25)  # clocks went forward on 31 March
ENTITIES = ("user", "product", "pair")


class Killed(Exception):
    """Stands for a power cut."""


@pytest.fixture
def shop(spark: SparkSession, warehouse: Path) -> SparkSession:
    """A small shop: 400 events of 20 days, a tenth of them late by up to three days, some purchases taken back."""
    number = F.col("id")
    seconds = F.pmod(F.xxhash64("id", F.lit(1)), F.lit(20 * 86_400))
    ts = F.timestamp_seconds(F.lit(1_710_460_800) + seconds)  # 15 March 2024
    late = F.when(number % 10 == 0, F.pmod(F.xxhash64("id", F.lit(2)), F.lit(3 * 86_400))).otherwise(F.lit(0))
    event = F.when(number % 3 == 0, "purchase").otherwise("view")
    known = F.timestamp_seconds(F.unix_seconds(ts) + late)
    given = {
        "event_id": number.cast("string"),
        "user_id": F.concat(F.lit("u"), (number % 17).cast("string")),
        "product_id": F.concat(F.lit("p"), (number % 5).cast("string")),
        "event": event,
        "event_ts": ts,
        "event_date": F.to_date(F.from_utc_timestamp(ts, "Europe/Berlin")),
        "amount": F.when(event == "purchase", (number % 7) + 0.25),
        "quantity": F.when(event == "purchase", F.lit(1.0)),
        "known_ts": known,
        "cancelled_known_ts": F.when((number % 12) == 0, known + F.expr("INTERVAL 40 HOURS")),
        "is_bot": F.lit(False),
    }
    types = {f.name: f.dataType for f in EVENTS.struct()}
    filled = {name: given.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in types.items()}
    tables.overwrite(spark.range(400).select(*filled.values()), "silver.events")
    return spark


def _values(spark: SparkSession, as_of: date) -> dict[str, set[tuple[object, ...]]]:
    """Every entity's totals; fading ones to nine digits, since their sums depend on the order."""
    made = totals.shop(spark, CONFIG)
    return {entity: _rows(totals.read(spark, made, entity, as_of)) for entity in ENTITIES}


def _rows(frame: DataFrame) -> set[tuple[object, ...]]:
    rounded = [F.round(name, 9).alias(name) if kind == "double" else F.col(name) for name, kind in frame.dtypes]
    return {tuple(row) for row in frame.select(*rounded).collect()}


def _killed_at(write: Callable[..., None], after: bool) -> Callable[..., None]:
    """The first write goes well; the power fails just before the second, or right after it."""
    done: list[bool] = []

    def once(*given: object, **named: object) -> None:
        if done and not after:
            raise Killed
        write(*given, **named)
        if done:
            raise Killed
        done.append(True)

    return once


@pytest.mark.long
def test_a_backfill_killed_at_every_date_ends_like_a_build_at_its_end(shop: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    end = START + timedelta(days=3)
    totals.run(shop, CONFIG, end, None, QUIET)
    built = _values(shop, end)
    assert built["user"]
    assert built["pair"]
    assert len(built["product"]) == 5
    write = tables._write
    for after in (True, False):  # of four dates: the second stands, then nothing new does
        monkeypatch.setattr(tables, "_write", _killed_at(write, after))
        with contextlib.suppress(Killed):
            totals.run(shop, CONFIG, end, START, QUIET)
    assert _dates(shop) == [START + timedelta(days=n) for n in range(3)]
    monkeypatch.setattr(tables, "_write", write)
    totals.run(shop, CONFIG, end, START, QUIET)
    assert _values(shop, end) == built
    assert _dates(shop) == [START + timedelta(days=n) for n in range(4)]


def test_what_stands_is_left_alone_and_other_dates_and_declarations_begin_anew(shop: SparkSession) -> None:
    totals.run(shop, CONFIG, START, None, QUIET)
    before = tables.version(shop, "features.totals")
    totals.run(shop, CONFIG, START, None, QUIET)
    assert tables.version(shop, "features.totals") == before
    with pytest.raises(ConfigError, match=r"--since 2024-03-20 builds them anew"):
        totals.run(shop, CONFIG, date(2024, 3, 20), None, QUIET)
    with pytest.raises(ConfigError, match="no day between"):
        totals.run(shop, CONFIG, START, START + timedelta(days=1), QUIET)
    with pytest.raises(InsufficientData, match="does not stand as of"):
        totals.read(shop, totals.shop(shop, CONFIG), "user", date(2024, 4, 1))
    other = Config(shop=CONFIG.shop, features=FeatureConfig(windows=(3,)))
    totals.run(shop, other, START + timedelta(days=1), None, QUIET)
    assert _dates(shop) == [START + timedelta(days=1)]
    assert "views_3" in totals.read(shop, totals.shop(shop, other), "user", START + timedelta(days=1)).columns


def test_since_makes_every_day_behind_it_where_one_between_two_that_stand_does_not(shop: SparkSession) -> None:
    days = [START + timedelta(days=n) for n in range(4)]
    for as_of in (days[0], days[3]):
        totals.run(shop, CONFIG, as_of, None, QUIET)
    built = _values(shop, days[3])
    with pytest.raises(ConfigError, match=f"{days[1]} is not among them; --since {days[1]} builds them anew"):
        totals.run(shop, CONFIG, days[1], None, QUIET)
    totals.run(shop, CONFIG, days[3], days[1], QUIET)
    assert _dates(shop) == days[1:]
    assert _values(shop, days[3]) == built
    before = tables.version(shop, "features.totals")
    totals.run(shop, CONFIG, days[3], days[2], QUIET)
    assert tables.version(shop, "features.totals") == before, "all of them stand"


def test_what_the_error_proposes_works(shop: SparkSession) -> None:
    first, between, last = (START + timedelta(days=n) for n in (0, 2, 3))
    for as_of in (first, last):
        totals.run(shop, CONFIG, as_of, None, QUIET)
    totals.run(shop, CONFIG, between, between, QUIET)
    assert _dates(shop) == [between]


def test_a_date_that_two_runs_wrote_stands_no_more_and_is_built_anew(shop: SparkSession) -> None:
    later = START + timedelta(days=1)
    totals.run(shop, CONFIG, later, None, QUIET)
    built = _values(shop, later)
    made = totals.shop(shop, CONFIG)
    seen_by_both = totals.build(shop, made, START, QUIET)
    for _ in range(2):
        totals.advance(shop, made, seen_by_both, later, QUIET)
    with pytest.raises(InsufficientData, match="does not stand as of"):
        totals.read(shop, made, "user", later)
    totals.run(shop, CONFIG, later, None, QUIET)
    assert _values(shop, later) == built


def test_a_change_to_a_base_that_was_replaced_meanwhile_does_not_count(shop: SparkSession) -> None:
    made = totals.shop(shop, CONFIG)
    replaced = totals.build(shop, made, START, QUIET)
    totals.build(shop, made, START, QUIET)
    totals.advance(shop, made, replaced, START + timedelta(days=1), QUIET)
    with pytest.raises(InsufficientData, match="does not stand as of"):
        totals.read(shop, made, "user", START)


def test_a_day_that_changes_nothing_stands(shop: SparkSession) -> None:
    quiet = START + timedelta(days=60)
    totals.run(shop, CONFIG, quiet, None, QUIET)
    totals.run(shop, CONFIG, quiet + timedelta(days=1), None, QUIET)
    assert _dates(shop) == [quiet, quiet + timedelta(days=1)]
    fade = [name for name, kind in totals.read(shop, totals.shop(shop, CONFIG), "user", quiet).dtypes if kind == "double"]
    before, after = (totals.read(shop, totals.shop(shop, CONFIG), "user", day).drop(*fade) for day in _dates(shop))
    assert {tuple(row) for row in before.collect()} == {tuple(row) for row in after.collect()} != set()


def test_a_spine_gets_the_totals_of_its_own_moments(shop: SparkSession, tmp_path: Path) -> None:
    spine, out = tmp_path / "spine.csv", tmp_path / "out"
    spine.write_text(
        "user_id,product_id,moment,kept\nu1,p1,2024-03-28 00:00:00,a\nu1,p1,2024-03-27T23:00:00Z,b\nnew,p1,2024-03-28,c\n"
    )
    spines.look_up(shop, CONFIG, str(spine), str(out), QUIET)
    found = {row["kept"]: row for row in shop.read.parquet(str(out)).collect()}
    assert found["a"]["user"] == found["b"]["user"]
    assert found["a"]["user"].seen > 0
    assert (found["c"]["user"].seen, found["c"]["pair"].seen) == (0, 0)
    assert found["c"]["product"] == found["a"]["product"]
    totals.run(shop, CONFIG, date(2024, 3, 28), None, QUIET)
    standing = totals.read(shop, totals.shop(shop, CONFIG), "product", date(2024, 3, 28)).where("product_id = 'p1'").collect()[0]
    assert found["a"]["product"].views_7 == standing.views_7 > 0


def test_a_spine_gets_its_users_last_events_where_they_are_asked_for(shop: SparkSession, tmp_path: Path) -> None:
    spine, out = tmp_path / "spine.csv", tmp_path / "out"
    spine.write_text("user_id,product_id,moment\nu1,p1,2024-03-28 00:00:00\nnew,p1,2024-03-28\n")
    config = Config(shop=CONFIG.shop, features=FeatureConfig(windows=(1, 7), last_events=5))
    spines.look_up(shop, config, str(spine), str(out), QUIET)
    found = {row["user_id"]: row for row in shop.read.parquet(str(out)).collect()}
    assert len(found["u1"]["last_events"]) == 5
    assert found["u1"]["last_events"][-1].event_ts <= found["u1"]["moment"]
    assert found["new"]["last_events"] == []


def test_a_moment_in_parquet_is_an_instant_and_ids_are_read_as_silver_has_them(shop: SparkSession, tmp_path: Path) -> None:
    spine = str(tmp_path / "spine.parquet")
    at = F.lit("2024-03-27 23:00:00").cast("timestamp").alias("moment")  # the shop's midnight
    shop.createDataFrame([(17850,), (12345678,)], "id BIGINT").select(
        F.col("id").cast("double").alias("user_id"), F.lit(" p1 ").alias("product_id"), at
    ).write.parquet(spine)
    rows = spines.read_spine(shop, spine, "Europe/Berlin").collect()
    assert {(row.user_id, row.product_id, str(row.moment)) for row in rows} == {
        (user, "p1", "2024-03-27 23:00:00") for user in ("17850", "12345678")
    }


def test_a_spine_that_cannot_be_read_is_refused(shop: SparkSession, tmp_path: Path) -> None:
    spine = tmp_path / "spine.csv"
    spine.write_text("user_id,product_id,at\nu1,p1,2024-03-28\n")
    with pytest.raises(MissingColumns, match=r"spine\.csv lacks \['moment'\]"):
        spines.look_up(shop, CONFIG, str(spine), str(tmp_path / "out"), QUIET)
    with pytest.raises(ConfigError, match="--out FOLDER"):
        spines.look_up(shop, CONFIG, str(spine), "", QUIET)
    with pytest.raises(ConfigError, match="there is no such file"):
        spines.look_up(shop, CONFIG, str(tmp_path / "none.csv"), str(tmp_path / "out"), QUIET)
    spine.write_text("user_id,product_id,moment,user\nu1,p1,2024-03-28,x\n")
    with pytest.raises(ConfigError, match="user is what the totals will be called"):
        spines.look_up(shop, CONFIG, str(spine), str(tmp_path / "out"), QUIET)
    spine.write_text("user_id,product_id,moment\nu1,p1,soon\n")
    with pytest.raises(ConfigError, match=r"1 row\(s\) without"):
        spines.look_up(shop, CONFIG, str(spine), str(tmp_path / "out"), QUIET)
    spine.write_text("user_id,product_id,moment\nu1,p1,2024-03-28\nu1,p1,9999-12-31 00:00:00\n")
    with pytest.raises(ConfigError, match=r"9999-12-3. .* is no moment around which a shop has events"):
        spines.look_up(shop, CONFIG, str(spine), str(tmp_path / "out"), QUIET)


def test_a_large_spine_takes_as_many_tasks_as_many_events_do(shop: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        spines.sequences, "last_events", lambda events, rows, most, tasks: asked.append(tasks) or rows.select("row")
    )
    rows = shop.range(40).selectExpr("'u1' AS user_id", "'p1' AS product_id", "TIMESTAMP'2024-03-28' AS moment", "id AS row")
    made = totals.shop(shop, CONFIG)
    spines.for_spine(made, rows, last=100)
    monkeypatch.setattr(totals, "ROWS_A_TASK", 10)
    spines.for_spine(made, rows, last=100)
    assert asked == [made.tasks, totals.tasks(shop, 40 * 3)]
    assert asked[1] > asked[0]


def test_an_answer_replaces_an_earlier_one_and_nothing_else(shop: SparkSession, tmp_path: Path) -> None:
    spine, out = tmp_path / "spine.csv", tmp_path / "out"
    spine.write_text("user_id,product_id,moment\nu1,p1,2024-03-28\n")
    for _ in range(2):
        spines.look_up(shop, CONFIG, str(spine), str(out), QUIET)
    (out / "_SUCCESS").unlink()
    (out / "_temporary").mkdir()  # as a write leaves it that was killed
    spines.look_up(shop, CONFIG, str(spine), str(out), QUIET)
    shop.range(1).write.parquet(str(tmp_path / "rows"))
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    for other in (tmp_path, spine, tmp_path / "rows", tmp_path / "home"):
        with pytest.raises(ConfigError, match="holds other things, and all of them would be replaced"):
            spines.look_up(shop, CONFIG, str(spine), str(other), QUIET)
    assert spine.exists()
    (tmp_path / "new").mkdir()
    spines.look_up(shop, CONFIG, str(spine), str(tmp_path / "new"), QUIET)
    spine.write_text("user_id,product_id,moment\n")
    with pytest.raises(ConfigError, match=r"spine\.csv holds no rows"):
        spines.look_up(shop, CONFIG, str(spine), str(out), QUIET)


def test_an_answer_at_an_address_replaces_an_earlier_one_and_nothing_else(spark: SparkSession, tmp_path: Path) -> None:
    answer = spark.range(1).selectExpr(*(f"id AS {name}" for name in (*spines.SPINE, *spines.ENTITIES)))
    for folder in ("answer", "mixed", "hidden", "nested"):
        answer.write.parquet(str(tmp_path / folder))
    (tmp_path / "answer" / "_temporary").mkdir()  # as a write leaves it that was killed
    spark.range(1).write.mode("append").parquet(str(tmp_path / "mixed"))
    (tmp_path / "hidden" / "_delta_log").mkdir()
    (tmp_path / "nested" / "more").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.parquet").write_text("no Parquet")
    for free in ("answer", "nowhere"):
        spines._check_out(spark, f"file://{tmp_path}/{free}")
    file = next((tmp_path / "answer").glob("*.parquet")).name
    for other in ("mixed", "hidden", "nested", "text", f"answer/{file}"):
        with pytest.raises(ConfigError, match="holds other things, and all of them would be replaced"):
            spines._check_out(spark, f"file://{tmp_path}/{other}")
    with pytest.raises(PropensityError, match=r"^--out nosuch://bucket/out: its address cannot be reached: "):
        spines._check_out(spark, "nosuch://bucket/out")


def test_a_path_without_a_scheme_lies_where_sparks_files_do(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "kept.txt").write_text("kept")
    settings = spark.sparkContext._jsc.hadoopConfiguration()
    before = settings.get("fs.defaultFS")
    try:
        settings.set("fs.defaultFS", "nosuch://bucket")
        with pytest.raises(PropensityError, match="its address cannot be reached"):
            spines._check_out(spark, str(tmp_path / "rows"))
    finally:
        settings.set("fs.defaultFS", before)


def _arrived(spark: SparkSession, day: date) -> None:
    """A file tells of five purchases of a day, at noon, which count as known then: the log has no ingested_ts."""
    events = tables.read(spark, "silver.events")
    noon = F.lit(f"{day} 12:00:00").cast("timestamp")
    named = {name: F.concat(F.lit(f"{day}-"), name) for name in ("event_id", "user_id")}
    told = events.where("event = 'purchase' AND cancelled_known_ts IS NULL").orderBy("event_id").limit(5)
    more = told.withColumns({**named, "event_ts": noon, "known_ts": noon, "event_date": F.lit(day)})
    tables.overwrite(events.unionByName(more).localCheckpoint(), "silver.events")


def _bases(spark: SparkSession) -> set[str]:
    rows = tables.read(spark, "features.totals", "write_id IS NOT NULL").select("write_id").collect()
    return {row["write_id"].split("-")[0] for row in rows}


@pytest.mark.parametrize(("behind", "anew"), [(-5, True), (0, False)])
def test_events_of_older_days_that_arrive_late_count_from_the_first_date_that_could_know_them(
    shop: SparkSession, behind: int, anew: bool
) -> None:
    days = [START + timedelta(days=n) for n in range(3)]
    totals.run(shop, CONFIG, days[2], days[0], QUIET)
    before, bases = _values(shop, days[2]), _bases(shop)
    _arrived(shop, START + timedelta(days=behind))
    totals.run(shop, CONFIG, days[2], None, QUIET)
    assert _dates(shop) == days
    assert (_bases(shop) != bases) == anew, "a base that could not know them stays"
    made = totals.shop(shop, CONFIG)
    found = _values(shop, days[2])
    assert found != before
    totals.build(shop, made, days[2], QUIET)
    assert _values(shop, days[2]) == found


def test_dates_that_tell_nothing_of_their_events_are_made_anew(shop: SparkSession) -> None:
    totals.run(shop, CONFIG, START, None, QUIET)
    values, bases = _values(shop, START), _bases(shop)
    made = totals.shop(shop, CONFIG)
    as_before = tables.read(shop, "features.totals").withColumn("seen", F.expr("IF(entity = 'date', NULL, seen)"))
    tables.overwrite(as_before.localCheckpoint(), "features.totals", made.version)
    assert _values(shop, START) == values, "they can be read"
    totals.run(shop, CONFIG, START, None, QUIET)
    assert _bases(shop) != bases
    assert _values(shop, START) == values


def _dates(spark: SparkSession) -> list[date]:
    return sorted(row["as_of"] for row in tables.read(spark, "features.totals").select("as_of").distinct().collect())
