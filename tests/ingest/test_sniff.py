"""What `propensity init` sees in a sample: columns by their names in several languages, else by what they hold."""

import gzip
import json
import re
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import EntityConfig
from propensity_spark.errors import ConfigError, SourceError
from propensity_spark.ingest.sniff import sniff
from propensity_spark.ingest.timeforms import contradiction, misfit, recognise, swapped, undecided, unreadable
from propensity_spark.loading import load
from propensity_spark.pipeline import init


def _csv(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_columns_are_recognised_by_their_names_in_several_languages(tmp_path: Path) -> None:
    german = _csv(tmp_path / "a.csv", "BestellNr;Bestellzeit;Kunde;Artikel;Menge;Stückpreis;Status",
                  "1;05.05.2024 15:07;ann;mug;1;2.5;bezahlt", "2;06.05.2024 15:07;bob;mug;-1;2.5;storniert")  # fmt: skip
    found = sniff(german)
    assert found.delimiter == ";"
    assert found.parts == {
        "user_id": "Kunde",
        "product_id": "Artikel",
        "event_ts": "Bestellzeit",
        "event": "Status",
        "price": "Stückpreis",
        "quantity": "Menge",
        "order_id": "BestellNr",
    }
    assert found.events == {"bezahlt": "purchase", "storniert": "return"}
    assert found.time_format == "d.M.yyyy H:mm"
    french = sniff(_csv(tmp_path / "b.csv", "utilisateur,produit,horodatage,prix", "ann,mug,2024-03-01T09:00:00Z,1"))
    assert (french.missing, french.parts["price"], french.time_format) == ([], "prix", "iso")
    camel = sniff(_csv(tmp_path / "c.csv", "customerId,productCode,orderDate", "ann,mug,2024-03-01"))
    assert camel.parts == {"user_id": "customerId", "product_id": "productCode", "event_ts": "orderDate"}


def test_a_time_and_an_event_are_recognised_by_what_they_hold(tmp_path: Path) -> None:
    rows = [
        {"who": "ann", "what": "mug", "wann": "2024-03-01T09:00:00", "tat": tat} for tat in ("view", "add_to_cart", "hover", "view")
    ]
    file = _csv(tmp_path / "a.jsonl", *map(json.dumps, rows))
    found = sniff(file)
    assert found.parts == {"event_ts": "wann", "event": "tat"}
    assert found.events == {"add_to_cart": "cart", "hover": "", "view": "view"}
    for tat, event in (
        ("PageView", "view"),
        ("add to cart", "cart"),
        ("addToCart", "cart"),
        ("product-view", "view"),
        ("viewed", ""),
    ):
        assert sniff(_csv(tmp_path / "b.csv", "user,item,at,event", f"ann,mug,2024-03-01,{tat}")).events == {tat: event}
    padded = sniff(_csv(tmp_path / "padded.csv", "user,item,at,event", "ann,mug,2024-03-01,view  ", "ann,mug,2024-03-02,buy   "))
    assert padded.events == {"buy": "purchase", "view": "view"}
    assert found.missing == ["user_id", "product_id"]


def test_the_arrival_of_a_row_is_recognised_by_its_name_and_is_no_time_of_an_event(tmp_path: Path) -> None:
    for name in ("loaded_at", "receivedAt", "INGESTED_TS"):
        found = sniff(
            _csv(tmp_path / "a.csv", f"user,item,{name},at", "ann,mug,2024-03-02,2024-03-01", "bob,mug,2024-03-02,2024-03-01")
        )
        assert found.parts == {"user_id": "user", "product_id": "item", "event_ts": "at", "ingested_ts": name}


def test_the_only_time_of_a_log_is_that_of_its_events(tmp_path: Path) -> None:
    found = sniff(_csv(tmp_path / "a.csv", "user,item,received_at", "ann,mug,2024-03-01", "bob,mug,2024-03-02"))
    assert found.parts == {"user_id": "user", "product_id": "item", "event_ts": "received_at"}


def test_columns_of_one_name_are_told_apart_by_their_places(tmp_path: Path) -> None:
    found = sniff(_csv(tmp_path / "a.csv", "user;item;at;Price;price;;", "ann;mug;2024-03-01;1", "bob;mug;2024-03-01;1;2;;"))
    assert found.columns == ("user", "item", "at", "Price3", "price4")
    assert found.parts["price"] == "Price3"


def test_lines_of_json_need_not_all_have_the_same_keys(tmp_path: Path) -> None:
    rows = [{"who": "ann", "sku": "mug", "time": "2024-03-01", "what": what} for what in ("view", None, "order", "view")]
    rows[2] |= {"order_id": "o1", "price": 2.5}
    del rows[3]["what"], rows[3]["sku"]
    found = sniff(_csv(tmp_path / "a.jsonl", *map(json.dumps, [*rows, rows[0]])))
    assert found.columns == ("who", "sku", "time", "what", "order_id", "price")
    assert found.parts == {
        "product_id": "sku",
        "event_ts": "time",
        "event": "what",
        "order_id": "order_id",
        "price": "price",
    }
    assert found.events == {"order": "purchase", "view": "view"}, "nothing is no type of event"
    assert found.time_format == "iso"


def test_lines_of_json_that_are_no_objects_are_told_and_blank_ones_passed_over(tmp_path: Path) -> None:
    assert sniff(_csv(tmp_path / "a.jsonl", "", '{"who": "ann"}', "", '{"sku": 1}', "")).columns == ("who",)
    with pytest.raises(SourceError, match="each line must be one JSON object"):
        sniff(_csv(tmp_path / "a.jsonl", '{"who": "ann"}', "[3]", "{}"))


def test_a_null_of_parquet_says_nothing(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"user": ["ann", "bob"], "item": ["mug", None], "at": [None, "05.05.2024"], "event": ["view", None]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = sniff(tmp_path / "a.parquet")
    assert (found.parts["event_ts"], found.time_format, found.events) == ("at", "d.M.yyyy", {"view": "view"})
    pq.write_table(table.slice(0, 0), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match="holds a header and no rows"):
        sniff(tmp_path / "b.parquet")


def test_of_two_columns_that_could_be_the_time_none_is_taken(tmp_path: Path) -> None:
    file = _csv(tmp_path / "a.csv", "who,begun,ended", "ann,2024-03-01,2024-03-02")
    assert "event_ts" not in sniff(file).parts


def test_numbers_are_no_time_unless_their_column_says_so(tmp_path: Path) -> None:
    assert "event_ts" not in sniff(_csv(tmp_path / "a.csv", "who,code", "ann,1512345678")).parts
    assert "event_ts" not in sniff(_csv(tmp_path / "c.csv", "who,made", "ann,1999", "bob,2001")).parts
    assert "event_ts" not in sniff(_csv(tmp_path / "d.csv", "who,made", "ann,1999", "bob,2001-05-05")).parts
    assert sniff(_csv(tmp_path / "b.csv", "who,ts", "ann,1512345678")).time_format == "epoch_s"
    assert sniff(_csv(tmp_path / "e.csv", "who,ms", "ann,1512345678000")).time_format == "epoch_ms"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("1512345678", "epoch_s"),
        ("1512345678000", "epoch_ms"),
        ("2024-03-01", "iso"),
        ("2024-03-01 09:00:00.5+01:00", "iso"),
        ("05.05.2024 15:07:22", "d.M.yyyy H:mm:ss"),
        ("05.05.2024", "d.M.yyyy"),
        ("5.12.2024 9:07", "d.M.yyyy H:mm"),
        ("5.12.2024 9:07:01", "d.M.yyyy H:mm:ss"),
        ("5.5.2024", "d.M.yyyy"),
        ("2024/03/16 08:29:57", "yyyy/M/d H:mm:ss"),
        ("2024/3/16 8:29", "yyyy/M/d H:mm"),
        ("2024/03/16", "yyyy/M/d"),
        ("16-03-2024 08:29:57", "d-M-yyyy H:mm:ss"),
        ("03-16-2024 08:29", "M-d-yyyy H:mm"),
        ("16-03-2024", "d-M-yyyy"),
        ("20240301", "yyyyMMdd"),
        ("1/3/2024 9:07", "d/M/yyyy H:mm"),
        ("31/12/2024 9:07", "d/M/yyyy H:mm"),
        ("12/13/2010 8:26", "M/d/yyyy H:mm"),
        ("12/31/2010 8:26:00", "M/d/yyyy H:mm:ss"),
        ("12/31/2010 08:26:00", "M/d/yyyy H:mm:ss"),
        ("31/12/2010 08:26:00", "d/M/yyyy H:mm:ss"),
        ("12/31/2010", "M/d/yyyy"),
        ("31/12/2010", "d/M/yyyy"),
        ("12/31/2010 8:26:00 PM", "M/d/yyyy h:mm:ss a"),
        ("13/13/2010 8:26", ""),
        ("32/12/2010 8:26", ""),
        ("last week", ""),
        ("", ""),
    ],
)
def test_a_form_is_recognised_by_all_values_but_blanks(value: str, form: str) -> None:
    assert recognise([value, " "]) == form
    assert recognise([value, "-"]) == ""


def test_days_of_two_digits_alone_do_not_say_that_others_have_two() -> None:
    form = recognise([f"{day}.11.2023" for day in range(10, 31)])
    assert not misfit(form, ["1.12.2023"]), "a log that begins on a tenth goes on"


def test_a_form_misfits_only_where_no_value_fits_it() -> None:
    assert misfit("iso", ["05.05.2024", "06.05.2024"]) == "05.05.2024"
    assert misfit("iso", ["05.05.2024", "2024-03-01"]) == ""
    assert misfit("epoch_s", ["1512345678000"]) == "1512345678000"
    assert misfit("epoch_ms", ["1512345678"]) == "1512345678"
    assert misfit("epoch_s", ["1.512345678E9"]) == ""  # as a spreadsheet writes it, and Spark reads it
    assert misfit("epoch_s", ["yesterday"]) == "yesterday"
    assert misfit("iso", ["", " "]) == ""
    assert misfit("dd MMM yyyy", ["anything"]) == ""  # not known here: Spark will tell
    assert unreadable("iso", ["05.05.2024", "", "2024-03-01", " 6.5.2024 "]) == ["05.05.2024", "6.5.2024"]
    assert unreadable("dd MMM yyyy", ["anything"]) == unreadable("iso", ["2024-03-01"]) == []
    assert misfit("yyyy-MM-dd'T'HH:mm", ["anything"]) == ""
    assert misfit("yyyy-MM-dd HH:mm:ss", ["16.03.2024 08:29:57"]) == "16.03.2024 08:29:57"
    assert misfit("yyyy-MM-dd HH:mm:ss", ["2024-03-16 08:29:57"]) == ""
    assert misfit("d.M.yyyy H:mm", ["16.3.2024 8:29"]) == misfit("d.M.yyyy H:mm", ["6.12.2024 18:29"]) == ""
    assert misfit("yyyy/MM/dd HH:mm:ss.SSS", ["2024/03/16 08:29:57.5"]) == ""
    assert misfit("yyyy/MM/dd HH:mm:ss.SSS", ["2024/03/16 08:29:57"]) == "2024/03/16 08:29:57"
    assert misfit("d.M.yyyy H:mm", ["16.3.24 8:29"]) == "16.3.24 8:29"


MONTH_FIRST = ["12/1/2010 8:26", "12/2/2010 9:01", "12/13/2010 8:26"]


def test_one_day_above_12_tells_whether_it_or_the_month_comes_first() -> None:
    day_first = [re.sub(r"(\d+)/(\d+)", r"\2/\1", value) for value in MONTH_FIRST]
    for form, other, values in (
        ("d/M/yyyy H:mm", "M/d/yyyy H:mm", day_first),
        ("M/d/yyyy H:mm", "d/M/yyyy H:mm", MONTH_FIRST),
        ("dd-MM-yyyy", "MM-dd-yyyy", ["02-12-2010", "13-12-2010"]),
    ):
        assert swapped(form) == other
        assert contradiction(form, values) == undecided(form, values) == undecided(other, values) == ""
        assert contradiction(other, values) == values[-1]
        assert (undecided(form, values[:-1]), contradiction(other, values[:-1])) == (other, "")
    mixed = [*MONTH_FIRST, *day_first]
    assert recognise(mixed) == contradiction("d/M/yyyy H:mm", mixed) == undecided("d/M/yyyy H:mm", mixed) == ""
    assert undecided("d/M/yyyy H:mm", ["soon", ""]) == contradiction("d/M/yyyy H:mm", ["soon", ""]) == ""


@pytest.mark.parametrize("form", ["iso", "epoch_s", "yyyy-MM-dd", "d.M.yyyy", "d/MMM/yyyy", "d/M/yyyy VV"])
def test_other_forms_are_never_swapped(form: str) -> None:
    assert swapped(form) == undecided(form, MONTH_FIRST) == contradiction(form, MONTH_FIRST) == ""


def test_it_is_asked_whether_the_day_or_the_month_comes_first_where_the_sample_leaves_it_open(tmp_path: Path) -> None:
    rows = [f"ann,mug,{MONTH_FIRST[0]}"] * 2500
    out = tmp_path / "shop.yaml"

    def written(*more: str) -> str:
        out.unlink(missing_ok=True)
        init.write([str(_csv(tmp_path / "log.csv", "user,item,time", *rows, *more))], "shop", str(out))
        return next(line.strip() for line in out.read_text(encoding="utf-8").splitlines() if "yyyy" in line)

    assert written() == 'format: "d/M/yyyy H:mm"        # CHECK: the day first, or "M/d/yyyy H:mm"? No day here is above 12'
    assert yaml.safe_load(out.read_text(encoding="utf-8"))["sources"][0]["time"] == {"format": "d/M/yyyy H:mm"}
    assert written(f"ann,mug,{MONTH_FIRST[2]}", "", "ann,mu", 'ann,"') == 'format: "M/d/yyyy H:mm"'
    assert written("ann,mug,13/12/2010 8:26") == 'format: "d/M/yyyy H:mm"'


def test_what_is_written_loads_once_its_gaps_are_filled_and_not_before(tmp_path: Path) -> None:
    clicks = _csv(tmp_path / "web.csv", "user,item,time", "ann,mug,2024-03-01")
    orders = _csv(tmp_path / "orders.csv", "user,item,time,qty", "ann,mug,2024-03-01,1")
    out = tmp_path / "shop.yaml"
    assert init.write([str(clicks), str(orders)], "shop", str(out)) == 0
    written = yaml.safe_load(out.read_text(encoding="utf-8"))
    assert [source["event"] for source in written["sources"]] == ["", "purchase"]  # nothing says what they are
    with pytest.raises(ConfigError, match=r"sources\.web needs `event: purchase`"):
        load([out])
    out.write_text(out.read_text(encoding="utf-8").replace("event: ''", "event: view"), encoding="utf-8")
    assert [source.event for source in load([out]).sources] == ["view", "purchase"]
    text = out.read_text(encoding="utf-8")
    out.write_text(re.sub(r"^# (products:|  \w+:)", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    assert load([out]).products == EntityConfig(
        path=("products.csv",), id="sku", name="title", category="category", price="list_price"
    )


@pytest.mark.parametrize(
    ("name", "lines", "population"),
    [
        ("log.csv", ("user_id,product_id,event_time,event_type", "u,p,2024-01-01,view", "u,p,2024-01-01,purchase"), ("any", 90)),
        ("clicks.csv", ("user_id,product_id,event_time", "u,p,2024-01-01"), ("any", 90)),
        (
            "log.csv",
            ("user_id,product_id,event_time,event_type", "u,p,2024-01-01,refund", "u,p,2024-01-01,purchase"),
            ("purchase", 180),
        ),
        ("orders.csv", ("user_id,product_id,event_time", "u,p,2024-01-01"), ("purchase", 180)),
    ],
)
def test_who_looks_around_is_scored_too_where_a_log_tells_it(
    tmp_path: Path, name: str, lines: tuple[str, ...], population: tuple[str, int]
) -> None:
    """Of the buyers of a clickstream's next days a third had never bought there before."""
    out = tmp_path / "shop.yaml"
    init.write([str(_csv(tmp_path / name, *lines))], "shop", str(out))
    written = load([out]).population
    assert (written.event, written.days) == population


def test_tables_of_users_and_products_are_told_from_logs(tmp_path: Path) -> None:
    orders = _csv(tmp_path / "orders.csv", "customer,sku,created_at,qty", *(f"c{n % 3},p{n},2024-03-01,1" for n in range(8)))
    goods = _csv(tmp_path / "goods.csv", 'sku;title;"size ""EU""";list_price;made;no;status',
                 *(f"p{n};tea {n};{n % 2};{n}.5;2020-01-0{n + 1};{n % 3};{n % 2}" for n in range(8)))  # fmt: skip
    people = _csv(
        tmp_path / "people.csv", "customer,created_at,status,age", *(f"c{n},2024-03-0{n + 1},new,{n % 2}" for n in range(4))
    )
    assert [sniff(file).entity for file in (orders, goods, people)] == ["", "products", "users"]
    out = tmp_path / "shop.yaml"
    assert init.write([str(file) for file in (people, orders, goods)], "shop", str(out)) == 0
    found = load([out])
    assert [source.name for source in found.sources] == ["orders"]
    assert found.products == EntityConfig(
        path=(str(goods),), delimiter=";", id="sku", name="title", price="list_price", attributes=('size "EU"', "no", "status")
    )
    assert found.users == EntityConfig(path=(str(people),), id="customer", attributes=("age",))


@pytest.mark.parametrize(
    "lines",
    [
        ("customer,time", "ann,2024-03-01", "bob,2024-03-01", "ann,2024-03-02"),  # the same user again
        ("customer,order_id", "ann,1", "bob,2"),
        ("sku,time", "tea,2024-03-01", "tea,2024-03-02"),
        ("customer,time", "ann,2024-03-01"),  # one row says nothing
    ],
)
def test_what_may_be_a_log_is_taken_for_one(lines: tuple[str, ...], tmp_path: Path) -> None:
    assert not sniff(_csv(tmp_path / "a.csv", *lines)).entity


def test_where_no_sample_is_a_log_the_tables_are_asked_about_as_logs(tmp_path: Path) -> None:
    goods = _csv(tmp_path / "goods.csv", "sku,title", "p1,tea", "p2,mug")
    out = tmp_path / "shop.yaml"
    assert init.write([str(goods)], "shop", str(out)) == 0
    assert [source["name"] for source in yaml.safe_load(out.read_text(encoding="utf-8"))["sources"]] == ["goods"]


def test_patterns_are_read_as_spark_reads_them(spark: SparkSession) -> None:
    written = ["2024-03-16 08:29:57", "2024-3-16 8:29:57", "2024/03/16 08:29:57.5", "2024/03/16 08:29:57", "20240316082957"]
    written += ["16.3.2024 8:29", "16.03.2024 08:29", "06.03.2024", "6.3.2024", "06.03.24", "6.3.24", "24-03-16", "2024-03-16"]
    forms = ["yyyy-MM-dd HH:mm:ss", "yyyy/MM/dd HH:mm:ss.SSS", "yyyyMMddHHmmss", "d.M.yyyy H:mm", "dd.MM.yyyy HH:mm"]
    forms += [
        "yyyy/M/d H:mm:ss",
        "yyyy/M/d",
        "d-M-yyyy H:mm",
        "M-d-yyyy",
        "dd.MM.yyyy",
        "d.M.yyyy",
        "d.M.yy",
        "yy-MM-dd",
        "yyyy-MM-dd",
    ]
    forms += ["d/M/yyyy H:mm", "M/d/yyyy H:mm", "MM/dd/yyyy HH:mm:ss", "M/d/yyyy h:mm a", "d/M/yyyy h:mm:ss a", "M/d/yyyy"]
    written += ["2024/3/6 8:29:57", "2024/03/06", "16-03-2024 08:29", "3-16-2024", "16-3-2024"]
    written += ["12/13/2010 8:26", "13/12/2010 08:26", "012/3/2010 8:26", "12/13/2010", "13/13/2010", "0/1/2010", "1/32/2010"]
    written += ["12/13/2010 08:26:00", "12/13/2010 8:26 am", "12/13/2010 08:26 PM", "13/12/2010 8:26:05 Pm", "13/12/2010 8:26:05"]
    written += [
        "12/13/2010 13:26 PM",
        "12/13/2010 0:26 am",
        "16.3.2024 24:29",
        "16.3.2024 23:29",
        "16.03.2024 7:29",
        "1.1.2024 00:29",
    ]
    rows = spark.createDataFrame([(text,) for text in written], "text STRING")
    read = rows.select("text", *(F.to_timestamp("text", form).isNotNull().alias(str(place)) for place, form in enumerate(forms)))
    for row in read.collect():
        assert {form: not misfit(form, [row["text"]]) for form in forms} == dict(zip(forms, row[1:], strict=True)), row["text"]


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a folder; give one file of it"):
        sniff(tmp_path)


def test_a_lines_amount_is_recognised_and_marked_for_a_look(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("customer,sku,ordered_at,order_id,pieces,line_total\nann,mug,2024-03-01,o1,2,9.00\n", encoding="utf-8")
    assert sniff(file).parts["amount"] == "line_total"


def test_a_csv_of_excel_is_read_as_it_is_and_its_encoding_written(tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text(
        "Artikelnr;Bezeichnung;Kategorie\na1;Mütze;Hüte\na2;Hut;Hüte\na3;Schal;Tücher\na4;Tuch;Tücher\n", encoding="cp1252"
    )
    found = sniff(file)
    assert (found.encoding, found.delimiter, found.parts["product_name"]) == ("windows-1252", ";", "Bezeichnung")
    assert "encoding: windows-1252        # CHECK: the file is not UTF-8" in "\n".join(init._place(found, ""))
    file.write_text("Artikelnr;Bezeichnung\na1;Mütze\n", encoding="utf-8")
    assert sniff(file).encoding == "UTF-8"
    for text, encoding in (('{"user": "Jürgen"}\n', "cp1252"), ("user,item\nann,mug\n", "utf-16")):
        file.write_text(text, encoding=encoding)
        with pytest.raises(SourceError, match="it is not UTF-8 text; save it so"):
            sniff(file)


def test_numbers_with_a_comma_or_a_currency_are_read_by_an_expression(tmp_path: Path) -> None:
    file = _csv(
        tmp_path / "sales: 2024 #1.csv",
        "kunde;artikel;datum;preis;menge",
        "ann;mug;2024-03-01;12,50;2",
        "bob;mug;2024-03-02;1.200,00;1",
    )
    assert sniff(file).numbers == {"price": "replace(replace(preis, '.', ''), ',', '.')"}
    out = tmp_path / "shop.yaml"
    init.write([str(file)], "shop", str(out))
    (source,) = load([out]).sources
    assert source.map.price == "= replace(replace(preis, '.', ''), ',', '.')"
    assert source.map.quantity == "menge"
    assert source.path == (str(file),), "signs of YAML in a path are nothing to it"


def test_columns_of_objects_are_no_ids_and_arrays_are_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = json.dumps({"customer": {"id": 7}, "items": [{"sku": "mug"}], "ordered_at": "2024-03-01"})
    found = sniff(file := _csv(tmp_path / "orders.jsonl", order, order, order))
    assert (found.nested, found.missing) == (("customer", "items"), ["user_id", "product_id"])
    init.write([str(file)], "shop", str(tmp_path / "shop.yaml"))
    assert "objects or lists are in customer, items; a part of an object is named by SQL" in capsys.readouterr().err
    for lines in (("[", f"{order},", order, "]"), (f"[{order}, {order}]",)):
        with pytest.raises(SourceError, match="it is a JSON array; write one object a line"):
            sniff(_csv(tmp_path / "orders.json", *lines))


def test_files_of_one_make_are_one_log_and_others_have_names_of_their_own(tmp_path: Path) -> None:
    head = "user,item,time,event"
    samples = []
    for folder, header, event in (("jan", head, "view"), ("feb", head, "buy"), ("mar", f"{head},qty", "buy")):
        (tmp_path / folder).mkdir()
        samples.append(str(_csv(tmp_path / folder / "log.csv", header, *(f"u{n},p{n % 2},2024-03-01,{event},1" for n in range(3)))))
    out = tmp_path / "shop.yaml"
    init.write(samples, "shop", str(out))
    one, other = load([out]).sources
    assert (one.name, one.path, one.event_types) == ("log", tuple(samples[:2]), {"view": "view", "buy": "purchase"})
    assert (other.name, other.path) == ("log_2", (samples[2],))


def test_files_whose_rows_do_not_say_what_they_are_stay_apart_unless_their_names_are_a_count(tmp_path: Path) -> None:
    rows = ("user,item,time", "ann,mug,2024-03-01", "ann,cup,2024-03-02")
    samples = [str(_csv(tmp_path / name, *rows)) for name in ("views.csv", "orders_2024-01.csv", "orders_2024-02.csv")]
    text = _written(samples, tmp_path / "shop.yaml")
    assert text.count("- name:") == 2
    folders = [tmp_path / name for name in ("views", "orders")]
    apart = [str(_csv(_made(folder) / "2024-01.csv", *rows)) for folder in folders]
    assert _written(apart, tmp_path / "apart.yaml").count("- name:") == 2
    plain, comma = (("user;item;time;price", f"ann;mug;2024-03-01;{price}", "ann;cup;2024-03-02;3") for price in ("2.50", "2,50"))
    months = [str(_csv(tmp_path / f"sales{n}.csv", *lines)) for n, lines in enumerate((plain, comma, plain))]
    one, other = yaml.safe_load(_written(months, tmp_path / "sales.yaml"))["sources"]
    assert (one["path"], one["map"]["price"]) == ([months[0], months[2]], "price")
    assert (other["path"], other["map"]["price"]) == (months[1], "= replace(price, ',', '.')")


def test_a_sample_that_is_cut_off_is_told_as_that(tmp_path: Path) -> None:
    whole = gzip.compress(b"user,item,at\n" + b"".join(b"u%d,mug,2024-03-01\n" % n for n in range(5000)))
    (tmp_path / "log.csv.gz").write_bytes(whole[: len(whole) // 4])
    with pytest.raises(SourceError, match="cannot be read"):
        sniff(tmp_path / "log.csv.gz")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _written(samples: list[str], out: Path) -> str:
    init.write(samples, "shop", str(out))
    return out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("clicks.csv", "view"),
        ("basket_views-2024.csv", "view"),
        ("Aufrufe.csv", "view"),
        ("carts.csv", "cart"),
        ("order_returns.csv", "return"),
        ("log.csv", ""),
    ],
)
def test_a_log_that_does_not_say_what_its_rows_are_may_be_called_so(tmp_path: Path, name: str, event: str) -> None:
    """Columns of an order say purchase of a log alone that is called after nothing."""
    for columns, row, other in (("", "", ""), (",order_id,qty", ",o1,-1", "purchase")):
        file = _csv(tmp_path / name, f"user,item,time{columns}", f"ann,mug,2024-03-01{row}")
        (log,) = yaml.safe_load(_written([str(file)], tmp_path / f"{len(row)}.yaml"))["sources"]
        assert log.get("event", "purchase") == (event or other)
        assert ("event" in log["map"]) == (event == "" and bool(row))


def test_quantities_below_0_are_taken_for_returns_and_further_steps_of_an_order_marked(tmp_path: Path) -> None:
    head = "customer,sku,ordered_at,order_id,Menge Stk"
    plain = _csv(tmp_path / "a1.csv", head, "ann,mug,2024-03-01,o1,2", "ann,mug,2024-03-02,o2,0")
    assert "    event: purchase     # CHECK" in _written([str(plain)], tmp_path / "a.yaml")
    back = _csv(tmp_path / "a2.csv", head, "bob,mug,2024-03-01,o3,-1")
    for samples in ([plain, back], [back, plain]):
        text = _written([str(sample) for sample in samples], tmp_path / f"{samples[0].name}.yaml")
        (log,) = yaml.safe_load(text)["sources"]
        assert (log["map"]["event"], "event" in log) == ("= IF(CAST(`Menge Stk` AS DOUBLE) < 0, 'return', 'purchase')", False)
    steps = _csv(
        tmp_path / "steps.csv", "user,item,time,status", "a,m,2024-03-01,ordered", "a,m,2024-03-01,shipped", "a,m,2024-03-01,view"
    )
    text = _written([str(steps)], tmp_path / "steps.yaml")
    assert text.count("# CHECK: ignore, where it is a later step of an order") == 2
