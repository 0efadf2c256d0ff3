"""Series and campaigns' members: what holds on which days, since when it was known, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import ConfigError, SourceError
from propensity_spark.ingest import series
from propensity_spark.ingest.preflight import problems
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import ingest
from propensity_spark.progress import Progress

README = Path(__file__).parents[2] / "README.md"
PLAIN = {"name": "weather", "path": "w.csv", "day": "day", "values": ["heat"]}
MEMBERS = {"path": "m.csv", "campaign": "c", "user": "u"}


def _config(zone: str, **declared: Any) -> Config:
    return from_mapping({"shop": {"time_zone": zone}, "series": [{**PLAIN, **declared}]})


def _parsed(spark: SparkSession, path: Path, text: str, zone: str = "UTC", **declared: Any) -> DataFrame:
    path.write_text(text, encoding="utf-8")
    config = _config(zone, path=str(path), **declared)
    return series.parse(spark, config.series[0], config)


@pytest.mark.parametrize(
    ("zone", "delay", "known"),
    [
        ("Europe/London", {}, "2024-03-31 22:59:59.999999"),  # the clocks went forward that morning
        ("Europe/London", {"delay_days": 1}, "2024-04-01 22:59:59.999999"),
        ("America/New_York", {"delay_minutes": 90}, "2024-04-01 05:29:59.999999"),
        ("UTC", {}, "2024-03-31 23:59:59.999999"),
    ],
)
def test_a_day_is_known_with_its_last_microsecond_and_the_delay(
    spark: SparkSession, tmp_path: Path, zone: str, delay: dict[str, int], known: str
) -> None:
    (row,) = _parsed(spark, tmp_path / "w.csv", "day,heat\n2024-03-31,7\n", zone, **delay).collect()
    assert (str(row["day"]), str(row["until"]), str(row["known_ts"]), row["values"]) == (
        "2024-03-31",
        "2024-04-01",
        known,
        {"heat": 7},
    )


def test_a_delay_in_days_keeps_to_the_shops_calendar_where_clocks_change(spark: SparkSession, tmp_path: Path) -> None:
    text = "day,heat\n2024-03-09,1\n2024-11-02,1\n"  # New York: the day after has 23 and 25 hours
    known = [str(row["known_ts"]) for row in _parsed(spark, tmp_path / "w.csv", text, "America/New_York", delay_days=1).collect()]
    assert known == ["2024-03-11 03:59:59.999999", "2024-11-04 04:59:59.999999"]


def test_bad_rows_are_refused_with_every_reason(spark: SparkSession, tmp_path: Path) -> None:
    text = (
        "day,last,heat,rain,told\n2024-03-01,2024-03-02,1.5,,\n,,1,1,\n2024-03-01,,,,\nsoon,,warm,NaN,x\n"
        "2024-03-03,2024-03-02,1,1,\n2024-03-03,2054-03-02,1,1,\n2024-03-04,2024-03-04,0,1,2024-03-05 12:00:00\n"
    )
    made = _parsed(spark, tmp_path / "w.csv", text, until="last", values=["heat", "wet = rain > 0"], known="told").collect()
    assert [row["reasons"] for row in made] == [
        [],
        ["day is missing"],
        ["every value is missing"],
        ["day cannot be read: soon", "known cannot be read: x", "heat cannot be read: warm"],
        ["until lies before day"],
        ["it holds for more than 3660 days"],
        [],
    ]
    assert (made[0]["values"], str(made[0]["until"])) == ({"heat": 1.5}, "2024-03-03")
    assert (made[6]["values"], str(made[6]["known_ts"])) == ({"heat": 0.0, "wet": 1.0}, "2024-03-05 12:00:00")


def test_one_row_of_a_key_stays_and_a_revision_beside_it(spark: SparkSession, tmp_path: Path) -> None:
    text = "day,heat,told\n" + "2024-03-01,1,2024-03-02\n" * 2 + "2024-03-01,3,2024-03-02\n2024-03-01,2,2024-03-05\n"
    made = series.once(_parsed(spark, tmp_path / "w.csv", text, known="told").where("size(reasons) = 0"))
    assert sorted((str(row["known_ts"])[:10], row["values"]["heat"]) for row in made.collect()) == [
        ("2024-03-02", 3),
        ("2024-03-05", 2),
    ]


def test_members_belong_from_their_first_day_to_their_last(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("c,u,a,z\n1,ann,2024-03-30,2024-03-31\n1,bob,,\n,cem,,\n1,,x,\n1,dan,2024-03-02,2024-03-01\n")
    listed = {**MEMBERS, "path": str(file), "day": "a", "until": "z"}
    config = _config("Europe/London", campaign="c", members=listed, known_in_advance=True, values=[])
    rows = series.parse_members(spark, config.series[0], config).collect()
    assert [tuple(map(str, (r["user_id"], r["valid_from"], r["valid_to"], r["known_ts"]))) for r in rows[:2]] == [
        ("ann", "2024-03-30 00:00:00", "2024-03-31 23:00:00", "1900-01-01 00:00:00"),
        ("bob", "1900-01-01 00:00:00", "None", "1900-01-01 00:00:00"),
    ]
    assert [r["reasons"] for r in rows[2:]] == [
        ["campaign is missing"], ["user is missing", "day cannot be read: x"], ["until lies before day"]]  # fmt: skip
    told = _config("Europe/London", campaign="c", members=listed, known="told", values=[])
    assert str(series.parse_members(spark, told.series[0], told).collect()[0]["known_ts"]) == "2024-03-30 00:00:00"


def test_an_expression_that_cannot_be_read_is_one_line(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^series\.weather\.values: "):
        _parsed(spark, tmp_path / "w.csv", "day,heat\n2024-03-31,7\n", values=["hot = heet > 3"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": []}, r"series\.weather needs either `path` or `table`"),
        ({"day": ""}, r"series\.weather\.day is missing"),
        ({"values": []}, r"series\.weather\.values is missing"),
        ({"values": ["a b"]}, r"series\.weather\.values must be letters"),
        ({"region": "r"}, r"`region` with `region_of`"),
        ({"campaign": "c", "known_in_advance": True}, r"`campaign` needs `members`"),
        ({"campaign": "c", "members": MEMBERS}, r"known while it runs"),
        ({"members": {"path": "m.csv"}}, r"members need `campaign` and `user`"),
        ({"ahead": [7]}, r"series\.weather\.ahead looks at days to come"),
        ({"ahead": [0], "known": "k"}, r"series\.weather\.ahead must be in \[1, 366\]"),
        ({"known_in_advance": True, "delay_days": 1}, r"known in advance has no delay"),
        ({"delay_days": -1}, r"series\.weather\.delay_days must be in"),
        ({"name": "my weather"}, r"series\.name must be letters"),
    ],
)
def test_a_series_that_cannot_be_meant_says_what_it_needs(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _config("UTC", **change)


def test_two_series_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="series need names of their own"):
        from_mapping({"series": [PLAIN, PLAIN]})


def test_the_readmes_example_is_a_configuration() -> None:
    section = README.read_text(encoding="utf-8").split("## What was known then")[1].split("\n## ")[0]
    text = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    config = from_mapping(yaml.safe_load(text))
    assert {one.name for one in config.series} == {"weather", "holidays", "mailings"}
    assert config.users.valid_from


def test_what_is_wrong_with_the_files_is_told_before_spark(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("date,heat\n2024-03-01,1\n")
    (tmp_path / "log.csv").write_text("u,p,t\n")
    source = {"name": "log", "path": str(tmp_path / "log.csv"), "event": "purchase", "map": {"user_id": "u", "product_id": "p",
              "event_ts": "t"}}  # fmt: skip
    made = from_mapping({"sources": [source], "series": [{**PLAIN, "path": str(tmp_path / "w.csv")}]})
    (told,) = problems(made)
    assert told.startswith(f"series.weather.day: {tmp_path / 'w.csv'} has no column 'day'")


def test_an_ingest_writes_all_series_and_their_counts(
    spark: SparkSession, warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"log": "u,p,t\nann,mug,2024-03-01 09:00:00\n", "w": "day,heat\n2024-03-01,1\n2024-03-01,1\n2024-03-02,2\nx,1\n",
             "c": "c,day,last\n7,2024-03-01,2024-03-05\n", "m": "c,u\n7,ann\n7,ann\n8,bob\n,bob\n"}  # fmt: skip
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    source = {"name": "log", "path": str(tmp_path / "log.csv"), "event": "purchase", "map": {"user_id": "u", "product_id": "p",
              "event_ts": "t"}}  # fmt: skip
    mailings = {"name": "mailings", "path": str(tmp_path / "c.csv"), "day": "day", "until": "last", "campaign": "c",
                "members": {**MEMBERS, "path": str(tmp_path / "m.csv")}, "known_in_advance": True}  # fmt: skip
    config = from_mapping({"sources": [source], "series": [{**PLAIN, "path": str(tmp_path / "w.csv")}, mailings]})
    ingest.run(spark, config, Progress())
    said = capsys.readouterr().err
    assert "series " in said
    assert "series members" in said
    assert tables.read(spark, "silver.series").count() == 3
    assert tables.read(spark, "silver.series_members").count() == 2
    counts = {(r["source"], r["step"]): r["rows"] for r in tables.read(spark, "silver.intake", "step != 'rejected'").collect()}
    assert {step: counts["series weather", step] for step in ("received", "refused", "duplicate", "accepted")} == {
        "received": 4, "refused": 1, "duplicate": 1, "accepted": 2}  # fmt: skip
    assert {step: counts["members of mailings", step] for step in ("received", "refused", "duplicate", "accepted")} == {
        "received": 4, "refused": 1, "duplicate": 1, "accepted": 2}  # fmt: skip
    versions = [tables.version(spark, name) for name in ("silver.series", "silver.events")]
    ingest.run(spark, config, Progress(quiet=True))
    assert [tables.version(spark, name) for name in ("silver.series", "silver.events")] == versions
