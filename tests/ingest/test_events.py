"""What a shop's row says: times of every spelling, ids, amounts, and all reasons against it."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import Config
from propensity_spark.errors import MissingColumns, SourceError
from propensity_spark.ingest import events, visits
from propensity_spark.ingest.events import IDENTITY, identifier, moment, parse, with_id
from propensity_spark.loading import from_mapping

Make = Callable[..., DataFrame]
SAID: dict[str, str | None] = {
    "no": "0",
    "user": "ann",
    "item": "mug",
    "kind": "buy",
    "at": "2024-03-01 09:00:00",
    "price": "2.50",
    "pieces": "2",
    "_source_file": "a.csv",
    "_corrupt": None,
}
SOURCE: dict[str, Any] = {
    "name": "log",
    "path": "log.csv",
    "map": {
        "user_id": "user",
        "product_id": "item",
        "event": "kind",
        "event_ts": "at",
        "price": "price",
        "quantity": "pieces",
        "order_id": "no",
    },
    "event_types": {"look": "view", "basket": "cart", "buy": "purchase", "back": "return"},
}


def _config(shop: dict[str, Any] | None = None, **source: Any) -> Config:
    return from_mapping({"shop": shop or {}, "sources": [{**SOURCE, **source}]})


def _bronze(table: Make, *said: dict[str, str | None]) -> DataFrame:
    """Rows as received, arrived on 2 March 2024 at midnight; `no` numbers them."""
    rows = [{**SAID, "no": str(number), **one} for number, one in enumerate(said)]
    ddl = ", ".join(f"{column} STRING" for column in SAID)
    arrived = F.lit("2024-03-02").cast("timestamp").alias("_arrived_at")
    return table(ddl, *(tuple(row.values()) for row in rows)).select("*", arrived)


def _parsed(table: Make, config: Config, *said: dict[str, str | None]) -> list[Row]:
    rows = parse(_bronze(table, *said), config.sources[0], config)
    return rows.orderBy(F.col("order_id").cast("int")).collect()


def _moments(table: Make, form: str, zone: str, *texts: str | None) -> list[str | None]:
    frame = table("n INT, said STRING", *enumerate(texts))
    said = moment(F.col("said"), form, zone).cast("string")
    return [row[0] for row in frame.orderBy("n").select(said).collect()]


ISO = {
    "2024-01-15 12:00:00": "2024-01-15 12:00:00",  # winter: London is UTC
    "2024-07-15 12:00:00": "2024-07-15 11:00:00",  # summer: an hour ahead
    "2024-07-15T12:00:00": "2024-07-15 11:00:00",
    " 2024-07-15 12:00 ": "2024-07-15 11:00:00",
    "2024-07-15 12:00:00.25": "2024-07-15 11:00:00.25",
    "2024-07-15": "2024-07-14 23:00:00",  # midnight of the shop
    "2024-07-15T12:00:00Z": "2024-07-15 12:00:00",
    "2024-07-15 12:00:00 UTC": "2024-07-15 12:00:00",
    "2024-07-15 12:00:00 GMT": "2024-07-15 12:00:00",
    "2024-07-15T12:00:00.5Z": "2024-07-15 12:00:00.5",
    "2024-07-15T12:00:00+02:00": "2024-07-15 10:00:00",
    "2024-07-15 12:00:00 -0530": "2024-07-15 17:30:00",
    "2024-07-15 12:00:00-05": "2024-07-15 17:00:00",
    "2024-07-15 12:00:00 Europe/Berlin": "2024-07-15 10:00:00",
}


def test_an_iso_time_is_of_its_own_zone_else_of_the_shops(table: Make) -> None:
    found = dict(zip(ISO, _moments(table, "iso", "Europe/London", *ISO), strict=True))
    assert found == ISO


def test_a_zone_of_any_spelling_is_applied_once(table: Make) -> None:
    said = {
        "2024-07-15 12:00:00 GMT+02:00": "2024-07-15 10:00:00",
        "2024-07-15 12:00:00 UTC+2": "2024-07-15 10:00:00",
        "2024-07-15 12:00:00 CET": "2024-07-15 10:00:00",  # a zone with summer time, as Java has it
        "2024-07-15 12:00:00 America/Argentina/Salta": "2024-07-15 15:00:00",
    }
    found = dict(zip(said, _moments(table, "iso", "Asia/Tokyo", *said), strict=True))
    # a spelling that is not understood is refused, but never shifted twice
    assert {text: when for text, when in found.items() if when is not None and when != said[text]} == {}


def test_an_iso_time_to_the_minute_may_carry_a_zone(table: Make) -> None:
    texts = ["2024-07-15T12:00Z", "2024-07-15T12:00+02:00"]
    assert _moments(table, "iso", "Asia/Tokyo", *texts) == ["2024-07-15 12:00:00", "2024-07-15 10:00:00"]


def test_hours_minutes_and_seconds_of_one_digit_keep_their_zone(table: Make) -> None:
    said = {
        "2024-07-15T09:05:7Z": "2024-07-15 09:05:07",
        "2024-7-5 9:5:7.5+02:00": "2024-07-05 07:05:07.5",
        "2024-07-15T9:05Z": "2024-07-15 09:05:00",
        "2024-7-5 9:5 +02:00": "2024-07-05 07:05:00",
        "2024-7-5 9:5:7": "2024-07-05 00:05:07",  # the shop's
    }
    assert dict(zip(said, _moments(table, "iso", "Asia/Tokyo", *said), strict=True)) == said


def test_a_text_that_is_no_day_is_unreadable(table: Make) -> None:
    texts = [
        None,
        "",
        "  ",
        "yesterday",
        "2024-02-30",
        "2024-13-01",
        "2024-03-01 25:00:00",
        "15/07/2024",
        "12:30",
        "T12:30:00",
    ]
    assert _moments(table, "iso", "UTC", *texts) == [None] * len(texts)


def test_the_usual_look_reads_as_every_spelling_does(table: Make) -> None:
    days = (
        "2024-07-15",
        "2024-03-31",
        "2024-10-27",
        "2024-02-30",
        "2024-13-01",
        "0000-01-01",
        "0001-01-01",
        "9999-12-31",
        "1900-01-01",
    )
    times = ("00:00:00", "01:30:00", "23:59:59", "23:59:60", "24:00:00", "12:60:00")
    ends = ("", "Z", "ZZ", " Z", "z", ".5", ".5Z", ".123456789Z", ".Z", ".5+02:00", "+0200")
    texts = [f"{day}{between}{time}{end}" for day in days for between in "T t" for time in times for end in ends]
    frame = table("n INT, said STRING", *enumerate(texts))
    for zone in ("UTC", "Europe/London", "America/St_Johns"):
        usual, spelled = moment(F.col("said"), "iso", zone), events._spelled(F.trim("said"), zone)
        found = frame.select("said", usual.cast("string").alias("found"), spelled.cast("string").alias("wanted"))
        assert found.where("found IS NOT NULL").count() > 100
        assert [tuple(row) for row in found.where("NOT found <=> wanted").collect()] == []


def test_the_hour_that_summer_time_skips_and_the_one_that_winter_repeats(table: Make) -> None:
    said = {
        "2024-03-31 00:59:59": "2024-03-31 00:59:59",
        "2024-03-31 01:30:00": "2024-03-31 01:30:00",  # never was: read as 02:30 summer time
        "2024-03-31 02:00:00": "2024-03-31 01:00:00",
        "2024-03-31T01:30:00Z": "2024-03-31 01:30:00",
        "2024-10-27 00:59:59": "2024-10-26 23:59:59",
        "2024-10-27 01:30:00": "2024-10-27 00:30:00",  # was twice: the first
        "2024-10-27 02:00:00": "2024-10-27 02:00:00",
        "2024-10-27T01:30:00+00:00": "2024-10-27 01:30:00",
        "2024-10-27T01:30:00+01:00": "2024-10-27 00:30:00",
    }
    found = dict(zip(said, _moments(table, "iso", "Europe/London", *said), strict=True))
    assert found == said


def test_the_hours_of_the_clock_change_read_the_same_by_a_pattern(table: Make) -> None:
    texts = ["31/03/2024 00:59", "31/03/2024 02:00", "27/10/2024 00:59", "27/10/2024 01:30", "27/10/2024 02:00"]
    assert _moments(table, "dd/MM/yyyy HH:mm", "Europe/London", *texts) == [
        "2024-03-31 00:59:00",
        "2024-03-31 01:00:00",
        "2024-10-26 23:59:00",
        "2024-10-27 00:30:00",
        "2024-10-27 02:00:00",
    ]


def test_epochs_are_instants_whatever_the_zone(table: Make) -> None:
    seconds = ["0", "1721044800", " 1721044800.5 ", "1.7210448E9", "soon", "", None, "NaN"]
    expected = [
        "1970-01-01 00:00:00",
        "2024-07-15 12:00:00",
        "2024-07-15 12:00:00.5",
        "2024-07-15 12:00:00",
        *[None] * 4,
    ]
    assert _moments(table, "epoch_s", "Asia/Tokyo", *seconds) == expected
    assert _moments(table, "epoch_ms", "Asia/Tokyo", "1721044800000", "1721044800001", "x") == [
        "2024-07-15 12:00:00",
        "2024-07-15 12:00:00.001",
        None,
    ]


def test_a_pattern_reads_wall_times_of_the_zone_unless_it_has_a_zone_itself(table: Make) -> None:
    assert _moments(table, "dd/MM/yyyy HH:mm", "Europe/London", "15/07/2024 12:00", "2024-07-15 12:00", "31/02/2024 12:00") == [
        "2024-07-15 11:00:00",
        None,
        None,
    ]
    assert _moments(table, "dd/MM/yyyy HH:mm XXX", "Europe/London", "15/07/2024 12:00 +02:00") == ["2024-07-15 10:00:00"]
    assert _moments(table, "dd/MM/yyyy HH:mm O", "Europe/London", "15/07/2024 12:00 GMT+2") == ["2024-07-15 10:00:00"]
    assert _moments(table, "d.M.yyyy", "Europe/Berlin", "1.7.2024") == ["2024-06-30 22:00:00"]


def test_a_word_in_a_pattern_is_no_zone_but_a_z_is(table: Make) -> None:
    assert _moments(table, "dd/MM/yyyy 'Zeit' HH:mm", "Europe/Berlin", "15/07/2024 Zeit 12:00") == ["2024-07-15 10:00:00"]
    assert _moments(table, "yyyy-MM-dd'T'HH:mm'Z'", "Europe/Berlin", "2024-07-15T12:00Z") == ["2024-07-15 12:00:00"]


def test_an_id_is_what_the_shop_means(table: Make) -> None:
    said = {
        "17850.0": "17850",
        "17850.00": "17850",
        "-3.0": "-3",
        "17850": "17850",
        " mug ": "mug",
        "1.50": "1.50",  # a version, not a number
        "a.0": "a.0",
        "0012": "0012",
        "85123A": "85123A",
        "": None,
        "   ": None,
        "NaN": None,  # a missing number
        "Nan": "Nan",  # a name
        " NULL ": None,
        "\\N": None,
        "nan": None,
    }
    frame = table("n INT, said STRING", *enumerate([*said, None]))
    found = [row[0] for row in frame.orderBy("n").select(identifier(F.col("said"))).collect()]
    assert found == [*said.values(), None]


CASES: list[tuple[dict[str, str | None], list[str]]] = [
    ({}, []),
    ({"user": None}, ["user is missing"]),
    ({"user": "  "}, ["user is missing"]),
    ({"item": ""}, ["product is missing"]),
    ({"at": None}, ["time is missing"]),
    ({"at": " "}, ["time is missing"]),
    ({"at": "yesterday"}, ["time cannot be read: yesterday"]),
    ({"at": "1970-01-01 00:00:00"}, ["time lies before 2000-01-01"]),
    ({"at": "1999-12-30 23:59:59"}, ["time lies before 2000-01-01"]),
    ({"at": "1999-12-31 00:00:00"}, []),
    ({"at": "2024-03-02 01:00:00"}, []),  # arrived at midnight: an hour ahead
    ({"at": "2024-03-02 01:00:01"}, ["time lies in the future"]),
    ({"kind": "gaze"}, ["event type is unknown: gaze"]),
    ({"kind": None}, ["event type is unknown: nothing"]),
    ({"kind": "purchase"}, ["event type is unknown: purchase"]),  # the shop says buy
    ({"kind": " buy "}, []),
    ({"price": "free"}, ["price cannot be read: free"]),
    ({"price": ""}, []),
    ({"price": None}, []),
    ({"price": "0.01"}, []),
    ({"price": "0"}, ["price is zero or negative"]),
    ({"price": "-1"}, ["price is zero or negative"]),
    ({"price": "10000000"}, []),
    ({"price": "10000001"}, ["price is above 1e+07"]),
    ({"pieces": "two"}, ["quantity cannot be read: two"]),
    ({"pieces": None}, []),
    ({"pieces": "0"}, ["quantity is zero or negative"]),
    ({"pieces": "-1"}, ["quantity is zero or negative"]),
    ({"kind": "look", "price": "0", "pieces": "0"}, []),
    ({"kind": "look", "price": "-1"}, ["price is negative"]),
    ({"kind": "back", "price": "-2", "pieces": "-3"}, []),
    (
        {"user": None, "item": None, "at": "soon", "kind": "gaze", "price": "free", "pieces": "two"},
        [
            "user is missing",
            "product is missing",
            "time cannot be read: soon",
            "event type is unknown: gaze",
            "price cannot be read: free",
            "quantity cannot be read: two",
        ],
    ),
    (
        {"user": None, "at": "1970-01-01", "price": "-1", "pieces": "0"},
        ["user is missing", "time lies before 2000-01-01", "quantity is zero or negative", "price is zero or negative"],
    ),
    (
        {"_corrupt": "ann,mu", "user": None, "item": None, "at": None, "kind": None},
        ["the line is cut off or has too many or too few fields"],
    ),
]


def test_a_row_carries_all_of_its_reasons_and_a_good_one_none(table: Make) -> None:
    found = _parsed(table, _config(), *(said for said, _ in CASES))
    judged = [(said, row["reasons"]) for (said, _), row in zip(CASES, found, strict=True)]
    assert [case for case in judged if case not in CASES] == []


def test_a_rule_of_the_shop_adds_its_name_to_the_reasons(table: Make) -> None:
    config = _config(rules=[{"name": "a test user", "reject_when": "user LIKE 'test%'"}])
    found = _parsed(table, config, {}, {"user": "test1"}, {"user": "test2", "item": None}, {"user": None})
    assert [row["reasons"] for row in found] == [
        [],
        ["a test user"],
        ["product is missing", "a test user"],
        ["user is missing"],
    ]


def test_a_time_far_beyond_any_calendar_is_refused_and_breaks_nothing(table: Make) -> None:
    config = _config(shop={"time_zone": "Europe/London"}, time={"format": "epoch_s"})
    said = [{"at": "1709283600"}, {"at": "1709283600000000000"}, {"at": "-1e30"}, {"at": "1e30"}]
    rows = parse(_bronze(table, *said), config.sources[0], config)
    found = rows.orderBy("order_id").select(F.size("reasons"), F.col("event_date").isNull()).collect()
    assert [row[0] > 0 for row in found] == [False, True, True, True]


def _arrivals(table: Make, form: str, *texts: str | None) -> list[tuple[str | None, list[str]]]:
    """When rows of the first of March arrived, with the reasons against them; the arrival stands in `pieces`."""
    at = {"iso": "2024-03-01 09:00:00", "epoch_ms": "1709283600000", "dd/MM/yyyy HH:mm": "01/03/2024 09:00"}[form]
    mapped = {**SOURCE["map"], "quantity": "", "ingested_ts": "pieces"}
    config = _config(shop={"time_zone": "Asia/Tokyo"}, map=mapped, time={"format": form})
    found = _parsed(table, config, *({"at": at, "pieces": text} for text in texts))
    return [(row["ingested_ts"] and str(row["ingested_ts"]), row["reasons"]) for row in found]


def test_an_arrival_that_cannot_be_read_is_refused_and_a_blank_one_is_not(table: Make) -> None:
    found = _arrivals(table, "iso", "2024-03-01 12:00:00", None, " ", "soon", "1709283600")
    assert found == [
        ("2024-03-01 03:00:00", []),
        (None, []),
        (None, []),
        (None, ["arrival cannot be read: soon"]),
        (None, ["arrival cannot be read: 1709283600"]),
    ]


def test_an_arrival_may_be_in_iso_beside_times_of_another_form(table: Make) -> None:
    said = {
        "2024-03-01T12:00:00Z": "2024-03-01 12:00:00",
        " 2024-03-01 12:00:00 ": "2024-03-01 03:00:00",  # the shop's
        "2024-3-1 12:00 +02:00": "2024-03-01 10:00:00",
    }
    for form, own in (("epoch_ms", "1709294400000"), ("dd/MM/yyyy HH:mm", "01/03/2024 21:00")):
        found = _arrivals(table, form, *said, own)
        assert found == [(when, []) for when in [*said.values(), "2024-03-01 12:00:00"]], form


def test_a_number_is_no_arrival_in_iso(table: Make) -> None:
    numbers = ("1709294400", "20240301", "202403", "2024")
    found = _arrivals(table, "dd/MM/yyyy HH:mm", *numbers)
    assert found == [(None, [f"arrival cannot be read: {number}"]) for number in numbers]


def test_a_price_or_quantity_that_is_no_number_is_refused(table: Make) -> None:
    found = _parsed(table, _config(), {"pieces": "NaN"}, {"pieces": "Infinity"}, {"price": "NaN"}, {"price": "inf"})
    assert [len(row["reasons"]) > 0 for row in found] == [True] * 4


def test_the_day_of_an_event_is_the_shops_and_the_sources_zone_reads_its_times(table: Make) -> None:
    said = [{"at": "2024-02-29 22:59:59"}, {"at": "2024-02-29 23:00:00"}, {"at": "2024-03-01 00:00:00+09:00"}]
    config = _config(shop={"time_zone": "Europe/Berlin"}, time={"time_zone": "UTC"})
    found = _parsed(table, config, *said)
    assert [str(row["event_date"]) for row in found] == ["2024-02-29", "2024-03-01", "2024-02-29"]
    at_home = _parsed(table, _config(shop={"time_zone": "Europe/Berlin"}), *said[:2])
    assert [str(row["event_date"]) for row in at_home] == ["2024-02-29", "2024-02-29"]


def test_a_return_is_counted_without_sign_and_an_unsaid_quantity_is_one(table: Make) -> None:
    found = _parsed(
        table,
        _config(),
        {"price": "2.50", "pieces": "2"},
        {"kind": "back", "price": "-2.50", "pieces": "-2"},
        {"pieces": None},
        {"kind": "basket", "pieces": ""},
        {"kind": "look", "pieces": None},
        {"price": None},
    )
    assert [(row["event"], row["price"], row["quantity"], row["amount"]) for row in found] == [
        ("purchase", 2.5, 2.0, 5.0),
        ("return", 2.5, 2.0, 5.0),
        ("purchase", 2.5, 1.0, 2.5),
        ("cart", 2.5, 1.0, 2.5),
        ("view", 2.5, None, 2.5),
        ("purchase", None, 2.0, None),
    ]
    assert [(row["_event"], row["_price"], row["_quantity"]) for row in found][1] == ("back", "-2.50", "-2")


def test_an_amount_that_the_shop_says_is_taken_instead_of_the_product(table: Make) -> None:
    config = _config(map={**SOURCE["map"], "amount": "= concat('1', pieces)"})
    assert [row["amount"] for row in _parsed(table, config, {"pieces": "4"})] == [14.0]


def test_what_a_log_books_below_nothing_is_no_purchase(table: Make) -> None:
    config = _config(map={**SOURCE["map"], "price": "", "quantity": "", "amount": "pieces"})
    found = _parsed(table, config, {"pieces": "-12.5"}, {"pieces": "-0"}, {"pieces": "-12.5", "kind": "back"}, {"pieces": "12.5"})
    assert [row["reasons"] for row in found] == [["amount is negative"], [], [], []]
    assert found[2]["amount"] == 12.5, "what came back has an amount of either sign"


def test_where_a_log_has_lines_amounts_alone_a_piece_costs_its_part(table: Make) -> None:
    config = _config(map={**SOURCE["map"], "price": "", "quantity": "pieces", "amount": "= '12.0'"})
    rows = _parsed(table, config, {"pieces": "4"}, {"pieces": ""}, {"pieces": "0"})
    assert [(row["price"], row["amount"]) for row in rows] == [(3.0, 12.0), (12.0, 12.0), (None, 12.0)]
    free = _config(map={**SOURCE["map"], "price": "", "quantity": "pieces", "amount": "= '0'"})
    assert [row["price"] for row in _parsed(table, free, {"pieces": "4"})] == [None], "nothing costs nothing"
    assert rows[0]["reasons"] == rows[1]["reasons"] == []


def test_an_amount_that_is_no_number_is_refused_and_a_blank_one_is_the_product(table: Make) -> None:
    config = _config(map={**SOURCE["map"], "quantity": "", "amount": "pieces"})
    texts = ("4", None, " ", "1,299.00", "NaN", "-Infinity")
    found = _parsed(table, config, *({"pieces": text} for text in texts))
    assert [(row["amount"], row["reasons"]) for row in found[:3]] == [(4.0, []), (2.5, []), (2.5, [])]
    infinite = ["amount is not a finite number"]
    assert [row["reasons"] for row in found[3:]] == [["amount cannot be read: 1,299.00"], infinite, infinite]


def test_one_event_for_all_rows_or_the_products_own_names(table: Make) -> None:
    alike = {key: value for key, value in SOURCE["map"].items() if key != "event"}
    assert [r["event"] for r in _parsed(table, _config(map=alike, event="view", event_types={}), {}, {"kind": None})] == [
        "view",
        "view",
    ]
    own = _parsed(table, _config(event_types={}), {"kind": "favourite"}, {"kind": "buy"})
    assert [row["event"] for row in own] == ["favourite", None]
    padded = _config(event_types={"buy  ": "purchase"})
    assert [row["event"] for row in _parsed(table, padded, {"kind": "buy       "}, {"kind": "buy"})] == ["purchase", "purchase"]


def test_a_part_may_be_an_expression_over_the_columns(table: Make) -> None:
    config = _config(map={**SOURCE["map"], "event": "= IF(pieces LIKE '-%', 'back', 'buy')"})
    assert [row["event"] for row in _parsed(table, config, {}, {"pieces": "-2"})] == ["purchase", "return"]


def test_a_mapping_that_does_not_fit_the_columns_is_told(table: Make) -> None:
    frame = _bronze(table, {})
    absent = _config(map={**SOURCE["map"], "user_id": "customer"})
    with pytest.raises(MissingColumns, match=r"sources\.log lacks \['customer'\]; it has \['at', 'item', 'kind', 'no',"):
        parse(frame, absent.sources[0], absent)
    for expression in ("= nowhere + 1", "= IF(("):
        wrong = _config(map={**SOURCE["map"], "price": expression})
        with pytest.raises(SourceError, match=r"^sources\.log: ") as told:
            parse(frame, wrong.sources[0], wrong)
        assert "\n" not in str(told.value)
    rule = _config(rules=[{"name": "x", "reject_when": "nowhere > 1"}])
    with pytest.raises(SourceError, match="nowhere"):
        parse(frame, rule.sources[0], rule)


def _identified(table: Make, *rows: dict[str, Any]) -> DataFrame:
    types = {"price": "DOUBLE", "quantity": "DOUBLE", "event_ts": "TIMESTAMP", "_amount_given": "DOUBLE"}
    numbers = {"price": 1.0, "quantity": 1.0, "_amount_given": None}
    same = dict.fromkeys(IDENTITY, "x") | {"event_ts": "2024-03-01 09:00:00"} | numbers
    ddl = ", ".join(f"{column} {types.get(column, 'STRING')}" for column in same)
    filled = [{**same, **row} for row in rows]
    frame = table(f"n INT, {ddl}, source_file STRING", *((n, *r.values()) for n, r in enumerate(filled)))
    never = F.lit(None).cast("timestamp")
    added = {"ingested_ts": never, "known_ts": F.col("event_ts"), "event_date": F.to_date("event_ts")}
    added |= {"source": F.lit("log"), "category": F.lit("x")}
    return visits.timed(with_id(frame).withColumns(added))


def test_rows_that_say_the_same_have_one_id_whichever_file_they_came_in(table: Make) -> None:
    changed: list[dict[str, Any]] = [
        {"event_ts": "2024-03-01 09:00:01"} if c == "event_ts" else {c: 2.0 if c in ("price", "quantity") else "y"}
        for c in IDENTITY
    ]
    nulls: list[dict[str, Any]] = [{c: None} for c in ("order_id", "price", "session_id")]
    rows = [{"source_file": f} for f in ("a.csv", "b.csv")] + [{"source_file": "a.csv", **c} for c in changed + nulls]
    said = _identified(table, *rows)
    ids = [row["event_id"] for row in said.orderBy("n").collect()]
    assert ids[0] == ids[1]
    assert len(set(ids)) == len(rows) - 1, "every part of the identity counts, and null is no text"
    assert visits.deduplicate(said).count() == len(rows) - 1


def test_lines_that_differ_in_the_amount_that_the_log_gives_are_two_events(table: Make) -> None:
    config = _config(map={**SOURCE["map"], "order_id": "", "quantity": "", "amount": "pieces"})
    said = ("20", "10", "20.00", "2.5", None)  # 2.5 is the price of the one piece
    rows = parse(_bronze(table, *({"pieces": amount} for amount in said)), config.sources[0], config)
    kept = visits.deduplicate(visits.timed(with_id(rows))).collect()
    assert sorted(row["amount"] for row in kept) == [2.5, 2.5, 10.0, 20.0]


def test_an_id_is_what_it_ever_was_where_the_log_gives_no_amount(table: Make) -> None:
    config = _config(map={**SOURCE["map"], "amount": "no"})
    (row,) = with_id(parse(_bronze(table, {"no": ""}), config.sources[0], config)).collect()
    said = "ann\1mug\1purchase\x012024-03-01 09:00:00\1\2\x012.5\x012.0\1\2"
    assert row["event_id"] == hashlib.md5(said.encode()).hexdigest()


def test_the_same_log_line_read_twice_is_one_event(table: Make, spark: SparkSession) -> None:
    config = _config()
    twice = parse(_bronze(table, {"no": "7"}, {"no": "7", "_source_file": "b.csv", "user": " ann"}), config.sources[0], config)
    assert [r["source_file"] for r in twice.orderBy("source_file").collect()] == ["a.csv", "b.csv"]
    assert visits.deduplicate(visits.timed(with_id(twice))).count() == 1


def test_every_part_of_a_row_comes_out_under_its_name(table: Make) -> None:
    config = _config()
    (row,) = _parsed(table, config, {"no": "12.0"})
    assert (row["user_id"], row["product_id"], row["order_id"]) == ("ann", "mug", "12")
    assert (row["source"], row["source_file"], row["_time"]) == ("log", "a.csv", "2024-03-01 09:00:00")
    assert (row["session_id"], row["category"], row["product_name"], row["ingested_ts"]) == (None, None, None, None)
    assert events.parse(_bronze(table, {}), config.sources[0], config).schema["event_ts"].dataType.typeName() == "timestamp"
