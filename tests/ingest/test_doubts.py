"""What is perhaps not meant is told before a run, and nothing else is."""

from pathlib import Path
from typing import Any

import pytest

from propensity_spark.ingest.doubts import doubts
from propensity_spark.ingest.preflight import problems
from propensity_spark.loading import from_mapping

ROWS = "user,item,at,what\n" + "ann,mug,2024-03-01,pv\n" * 6 + "ann,mug,2024-03-01, buy \n" * 3 + "bob,mug,2024-03-02,fav\n"


def _doubts(file: Path, zone: str = "Europe/Paris", others: dict[str, Any] | None = None, **source: Any) -> list[str]:
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at", "event": "what"}
    told = {"name": "log", "path": str(file), "map": columns, **source}
    return doubts(from_mapping({"shop": {"time_zone": zone}, "sources": [told], **(others or {})}))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "log.csv"
    file.write_text(ROWS, encoding="utf-8")
    return file


def test_types_that_nothing_names_are_told_with_their_rows(log: Path) -> None:
    (told,) = _doubts(log, event_types={"buy": "purchase"})
    assert told == (
        f"sources.log.event_types: 7 of the first 10 rows of {log} are of types that it does not name: 'pv' (6), 'fav' (1); "
        "such rows are refused; say what they mean, or 'ignore' where they mean nothing"
    )
    (told,) = _doubts(log)
    assert "10 of the first 10" in told, "without a mapping the types must be those of the package"


def test_a_few_of_them_are_not_worth_a_word(log: Path) -> None:
    named = {"buy": "purchase", "pv": "view"}
    assert len(_doubts(log, event_types=named)) == 1
    assert _doubts(log, event_types={**named, "fav": "ignore"}) == []
    log.write_text(
        ROWS.replace("fav", "buy") + ROWS.partition("\n")[2].replace("fav", "buy") * 9 + "bob,mug,2024-03-02,fav\n",
        encoding="utf-8",
    )
    assert _doubts(log, event_types=named) == [], "1 of 101 rows"


def test_a_source_of_one_type_or_of_a_computed_one_or_without_rows_raises_no_doubt(log: Path) -> None:
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at"}
    assert _doubts(log, event="purchase", map=columns) == []
    assert _doubts(log, map={**columns, "event": "= lower(what)"}) == []
    assert _doubts(log.with_name("nowhere.csv")) == []
    log.write_text("user,item,at,what\n", encoding="utf-8")
    assert _doubts(log) == []


def test_sources_that_bring_nobody_or_nothing_to_predict_are_told(log: Path) -> None:
    types = {"buy": "purchase", "pv": "view", "fav": "ignore"}
    assert _doubts(log, event_types=types) == []
    assert _doubts(log, event_types=types, others={"population": {"event": "any"}}) == []
    (told,) = _doubts(log, event_types={**types, "buy": "cart"}, others={"population": {"event": "cart"}})
    assert told.startswith("no source brings an event of type purchase, and it is what is predicted: ")
    (told,) = _doubts(log, event_types=types, others={"population": {"event": "cart"}})
    assert told.startswith("no source brings an event of type cart, and population.event asks for it: ")


def test_a_population_from_before_what_is_seen_is_told(log: Path) -> None:
    types = {"event_types": {"buy": "purchase", "pv": "view", "fav": "ignore"}}
    for days, is_told in ((90, False), (91, True)):
        told = _doubts(log, others={"population": {"days": days}, "features": {"history_days": 90}}, **types)
        assert any(one.startswith(f"population.days ({days}) reaches back further than") for one in told) == is_told


def test_a_history_that_is_not_much_longer_than_the_horizon_is_told(log: Path) -> None:
    types = {"event_types": {"buy": "purchase", "pv": "view", "fav": "ignore"}}
    for days, is_told in ((180, False), (179, True), (90, True)):
        others = {"labels": {"horizon_days": 90}, "features": {"history_days": days}, "population": {"days": 90}}
        told = _doubts(log, others=others, **types)
        assert len(told) == is_told
        assert not told or told[0].startswith(f"features.history_days ({days}) is less than twice labels.horizon_days (90): ")
        assert not told or told[0].endswith("; set features.history_days to 180 or more")


def test_midnight_in_utc_is_told_since_few_shops_keep_it(log: Path) -> None:
    (told,) = _doubts(log, zone="UTC", event_types={"buy": "purchase", "pv": "view", "fav": "favourite"})
    assert told.startswith("shop.time_zone is UTC: days begin at its midnight")


def test_orders_that_two_logs_bring_are_told_since_they_would_count_twice(tmp_path: Path) -> None:
    shop, web = tmp_path / "shop.csv", tmp_path / "web.csv"
    shop.write_text("user,item,at,order\n" + "".join(f"ann,mug,2024-03-0{n},o{n}\n" for n in range(1, 8)), encoding="utf-8")
    lines = ["ann,mug,2024-03-01,look,", *(f"ann,mug,2024-03-0{n},paid, o{n}" for n in range(1, 4))]
    web.write_text("\n".join(["user,item,at,what,order", *lines]), encoding="utf-8")
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at", "order_id": "order"}

    def told(web_types: dict[str, str], **more: Any) -> list[str]:
        of_shop = {"name": "shop", "path": str(shop), "map": columns, "event": "purchase"}
        of_web = {"name": "web", "path": str(web), "map": {**columns, "event": "what", **more}, "event_types": web_types}
        return doubts(from_mapping({"shop": {"time_zone": "Europe/Paris"}, "sources": [of_shop, of_web]}))

    (doubt,) = told({"look": "view", "paid": "purchase"})
    assert doubt == (
        "sources.shop and sources.web both bring purchases, and 3 orders of their first rows stand in both, for one 'o1': unless "
        "their rows say the very same, all of it counts twice; map purchases in one"
    )
    assert told({"look": "view", "paid": "cart"}) == [], "it brings no purchases"
    assert told({"look": "view", "paid": "purchase"}, order_id="") == [], "nothing to know them by"
    web.write_text("\n".join(["user,item,at,what,order", *lines[:3]]), encoding="utf-8")
    assert told({"look": "view", "paid": "purchase"}) == [], "two may be chance"


def test_an_id_of_several_rows_is_told_where_nothing_dates_them(tmp_path: Path) -> None:
    table = tmp_path / "users.csv"
    table.write_text("id,consent,since\nann,yes,2024-01-01\nbob,yes,2024-01-01\nann,no,2024-02-01\n", encoding="utf-8")
    users = {"path": str(table), "id": "id", "attributes": ["consent"]}
    (told,) = doubts(from_mapping({"shop": {"time_zone": "Europe/Paris"}, "users": users}))
    assert told.startswith(f"users.id: 2 of the first 3 rows of {table} are of 'ann': one of them counts")
    assert doubts(from_mapping({"shop": {"time_zone": "Europe/Paris"}, "users": {**users, "valid_from": "since"}})) == []


@pytest.mark.parametrize(("rows", "others", "is_told"), [(60, 100, True), (60, 200, False), (49, 10, False), (60, 0, False)])
def test_one_who_has_many_of_the_rows_may_be_nobody(log: Path, rows: int, others: int, is_told: bool) -> None:
    lines = ["guest,mug,2024-03-01,buy"] * rows + [f"u{n},mug,2024-03-01,buy" for n in range(others)]
    log.write_text("\n".join(["user,item,at,what", *lines]), encoding="utf-8")
    told = _doubts(log, event_types={"buy": "purchase"})
    assert bool(told) == is_told
    if is_told:
        assert told[0].startswith(f"sources.log.map.user_id: 60 of the first 160 rows of {log} are of 'guest'")
        assert told[0].endswith("map user_id: \"= nullif(user, 'guest')\"")


@pytest.mark.parametrize(
    ("ids", "others", "is_told"),
    [
        (["00123", "00124", "00125"], ["123.0", "124.0", "125.0"], True),
        (["123", "124", "125"], ["123.0", "124.0", "125.0"], False),  # ingest takes them for the same
        (["A1", "A2", "A3"], ["a1", "a2", "a3"], True),
        (["00123", "00124", "00125", "7"], ["123", "124", "125", "7"], False),  # some meet
        (["123", "124", "125"], ["223", "224", "225"], False),
        (["00123", "00124"], ["123", "124"], False),  # may be chance
    ],
)
def test_ids_that_are_written_in_two_ways_are_told(tmp_path: Path, ids: list[str], others: list[str], is_told: bool) -> None:
    for name, mine in (("clicks", ids), ("orders", others)):
        (tmp_path / f"{name}.csv").write_text("user,item,at\n" + "".join(f"{i},mug,2024-03-01\n" for i in mine), encoding="utf-8")
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at"}
    events = {"clicks": "view", "orders": "purchase"}
    sources = [{"name": name, "path": f"{tmp_path}/{name}.csv", "map": columns, "event": events[name]} for name in events]
    told = doubts(from_mapping({"shop": {"time_zone": "Europe/Paris"}, "sources": sources}))
    assert bool(told) == is_told
    if is_told:
        assert told[0].startswith(
            f"sources.clicks.map.user_id and sources.orders.map.user_id write ids otherwise, for one {ids[0]!r}"
        )


def test_a_column_that_a_parquet_file_lacks_is_a_problem_and_no_doubt(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"user": ["ann"], "at": ["2024-03-01"]}), tmp_path / "log.parquet")
    columns = {"user_id": "usr", "product_id": "item", "event_ts": "at"}
    assert _doubts(tmp_path / "log.parquet", format="parquet", map=columns, event="purchase") == []


def test_times_of_which_some_do_not_read_are_told(tmp_path: Path) -> None:
    file, form = (
        tmp_path / "log.csv",
        {"time": {"format": "dd/MM/yyyy hh:mm a"}, "event_types": {"buy": "purchase", "no": "ignore"}},
    )
    rows = ["ann,mug,01/03/2024 09:05 AM,buy"] * 90 + ["ann,mug,01/03/2024 13:05 PM,buy"] * 10
    file.write_text("\n".join(["user,item,at,what", *rows, "ann,mug,nothing,no"]), encoding="utf-8")
    (told,) = _doubts(file, **form)
    assert told == (
        f"sources.log.time.format: 10 of the first 100 times of {file} do not read as 'dd/MM/yyyy hh:mm a', for one "
        "'01/03/2024 13:05 PM' of at; such rows are refused"
    )
    file.write_text("\n".join(["user,item,at,what", *rows[:91]]), encoding="utf-8")
    assert len(_doubts(file, **form)) == 1
    file.write_text("\n".join(["user,item,at,what", *rows[:90] * 2, rows[-1]]), encoding="utf-8")
    assert _doubts(file, **form) == [], "1 of 181"


def test_times_of_rows_that_are_ignored_prove_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user,item,at,what\nann,mug,2024-03-01,ping\nann,mug,01.03.2024,buy\n", encoding="utf-8")
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at", "event": "what"}
    log = {"name": "log", "path": str(file), "map": columns, "event_types": {"buy": "purchase", "ping": "ignore"}}
    (told,) = problems(from_mapping({"sources": [log]}))
    assert told.endswith("for one '01.03.2024' of at; set time.format to 'd.M.yyyy'")


def test_an_order_that_has_a_row_for_each_of_its_steps_is_told(tmp_path: Path) -> None:
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at", "event": "what", "order_id": "order"}
    types = {"ordered": "purchase", "paid": "purchase", "look": "view"}
    steps = [f"u,{item},2024-03-0{day},{what},o1" for item in "abc" for day, what in ((1, "ordered"), (2, " paid "))]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(["user,item,at,what,order", "u,a,2024-03-01,look,", *steps]), encoding="utf-8")
    (told,) = _doubts(file, map=columns, event_types=types)
    assert "event_types: 3 products of orders in the first rows" in told
    assert "for one 'ordered' and 'paid': each counts as one more" in told
    assert _doubts(file, map=columns, event_types={**types, "paid": "ignore"}) == []
    file.write_text("\n".join(["user,item,at,what,order", *steps[:5], "u,c,2024-03-02,paid,o2"]), encoding="utf-8")
    assert _doubts(file, map=columns, event_types=types) == [], "of another order; and two may be chance"


def test_quantities_below_0_are_told_where_nothing_says_that_they_are_returns(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text(
        "user,item,at,what,n\nann,mug,2024-03-01,buy,2\nann,mug,2024-03-02,buy,-2\nann,mug,2024-03-02,buy,-0\n", encoding="utf-8"
    )
    columns = {"user_id": "user", "product_id": "item", "event_ts": "at", "quantity": "n"}
    (told,) = _doubts(file, map=columns, event="purchase")
    assert "map.quantity: 1 of the first 3 values" in told
    assert told.endswith("(in place of event) to \"= IF(CAST(n AS DOUBLE) < 0, 'return', 'purchase')\"")
    by_type = {**columns, "event": "what"}
    (told,) = _doubts(file, map=by_type, event_types={"buy": "purchase"})
    assert told.endswith("(with return: return in event_types) to \"= IF(CAST(n AS DOUBLE) < 0, 'return', what)\"")
    for known in ({"map": by_type, "event_types": {"buy": "purchase", "back": "return"}}, {"map": columns, "event": "cart"}):
        assert not any("quantity" in told for told in _doubts(file, **known))
    assert _doubts(file, map={**columns, "event": "= IF(CAST(n AS DOUBLE) < 0, 'return', 'purchase')"}) == []


def test_truth_values_are_looked_for_as_spark_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "log.json"
    file.write_text('{"user": "ann", "item": "mug", "at": "2024-03-01", "what": true}\n' * 9, encoding="utf-8")
    assert _doubts(file, format="json", event_types={"true": "purchase"}) == []
