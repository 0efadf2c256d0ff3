"""What is wrong with the sources is said in one line each, before Spark starts."""

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from propensity_spark import cli
from propensity_spark.config import Config
from propensity_spark.config.places import is_remote
from propensity_spark.errors import SourceError
from propensity_spark.ingest import samples
from propensity_spark.ingest.doubts import doubts
from propensity_spark.ingest.heads import expand, head
from propensity_spark.ingest.preflight import check, problems
from propensity_spark.ingest.sniff import sniff
from propensity_spark.loading import from_mapping

MAP = {"user_id": "user", "product_id": "item", "event_ts": "at"}


def _config(path: Path | str | list[str], **source: Any) -> Config:
    return from_mapping({"sources": [{"name": "log", "path": str(path) if isinstance(path, Path) else path, "map": MAP,
                                      "event": "purchase", **source}]})  # fmt: skip


def _write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def _only(config: Config) -> str:
    found = problems(config)
    assert len(found) == 1, found
    assert "\n" not in found[0]
    return found[0]


def test_sources_in_order_have_no_problem(tmp_path: Path) -> None:
    plain = _write(tmp_path / "a.csv", '"user","item",at,more\nann,mug,2024-03-01,1\n')
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, tmp_path / "b.csv.gz", tmp_path / "*.csv*", tmp_path):
        assert problems(_config(path)) == []
        check(_config(path))


@pytest.mark.parametrize("table", ["bronze.log", "main.bronze.log", "silver.events", "main.gold.propensity"])
def test_a_table_that_ingest_writes_is_no_source(tmp_path: Path, table: str) -> None:
    source = {"name": "log", "table": table, "map": {"user_id": "u", "product_id": "p", "event_ts": "t"}, "event": "view"}
    config = from_mapping({"sources": [source], "storage": {"catalog": "main"}, "tracking": {"uri": "databricks"}})
    assert _only(config).startswith(f"sources.log.table: {table} is a table that ingest writes itself")
    other = from_mapping(
        {"sources": [{**source, "table": table.replace("main.", "raw.").replace("silver.events", "silver.clicks")}]}
    )
    assert (problems(other) == []) == (table in ("main.bronze.log", "silver.events", "main.gold.propensity"))


def test_no_sources_at_all_is_a_problem() -> None:
    assert "add a `sources:` list" in _only(from_mapping({}))


def test_a_file_that_is_not_there_is_told_with_where_it_was_looked_for(tmp_path: Path) -> None:
    told = _only(_config(tmp_path / "*.csv"))
    assert told.startswith(f"sources.log.path: nothing matches {tmp_path}/*.csv")
    assert str(Path.cwd()) in told
    assert problems(_config(tmp_path / "*.csv", gone="keep")) == [], "a folder that was emptied after it was read"


def test_every_pattern_is_looked_at(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", "user,item,at\n")
    assert "nothing matches" in _only(_config([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]))


def test_one_empty_file_among_others_is_told(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", "user,item,at\n")
    _write(tmp_path / "b.csv", "")
    assert f"{tmp_path / 'b.csv'} is empty" in _only(_config(tmp_path))


@pytest.mark.parametrize("held", [b"", b"\n", b"\xef\xbb\xbf", b"\r\n \r\n"])
def test_a_file_of_nothing_is_told(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(held))
    assert "it holds no rows" in _only(_config(tmp_path / "a.csv.gz"))
    _write(tmp_path / "a.csv", "\n \nuser,item,at\n")
    assert problems(_config(tmp_path / "a.csv")) == []


@pytest.mark.parametrize(("separator", "said"), [(";", "';'"), ("\t", "'\\t'"), ("|", "'|'")])
def test_another_separator_is_recognised(tmp_path: Path, separator: str, said: str) -> None:
    file = _write(tmp_path / "a.csv", separator.join(MAP.values()) + "\n")
    assert f"sources.log.delimiter: {file} seems to be separated by {said}, not ','" in _only(_config(file))
    assert problems(_config(file, delimiter=separator)) == []


def test_a_missing_column_is_told_with_what_was_probably_meant(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.csv", "usr,item,at\n")
    told = _only(_config(file))
    assert told == f"sources.log.map.user_id: {file} has no column 'user'; did you mean 'usr'? It has: usr, item, at"


def test_every_missing_column_is_told_once_and_expressions_are_not_columns(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.csv", "item,stamp\n")
    mapped = {**MAP, "session_id": "user", "order_id": "= concat(item, stamp)"}
    found = problems(_config(file, map=mapped))
    assert [re.findall(r"no column '(\w+)'", told) for told in found] == [["user"], ["at"]]
    assert "did you mean" not in found[0]


def test_of_columns_of_one_name_a_mapped_one_must_be_told_and_no_other(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.csv", "user,item,Price,price,at,x,x,,\nann,mug,1,2,05.05.2024,,,,\n")
    form = {"time": {"format": "dd.MM.yyyy"}}
    assert problems(_config(file, **form)) == []
    told = _only(_config(file, map={**MAP, "price": "price"}, **form))
    assert told == (
        f"sources.log.map.price: {file} has 2 columns 'price', case aside; "
        "rename them there, or map the one that is meant: Price2 or price3"
    )
    assert problems(_config(file, map={**MAP, "price": "price3"}, **form)) == []
    assert "reads as 'iso'" in _only(_config(file)), "places are those of the file"
    columns = ["user", "item", "no", "no", "at", "x", "x", "y", "z"]
    assert "2 columns 'no'" in _only(_config(file, header=False, columns=columns, map={**MAP, "price": "no"}, **form))


def test_a_file_without_header_must_have_as_many_fields_as_columns(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.csv", 'ann,"a, b",2024-03-01\n')
    assert problems(_config(file, header=False, columns=["user", "item", "at"])) == []
    told = _only(_config(file, header=False, columns=["user", "item", "at", "price"]))
    assert "its first row has 3 fields, `columns` names 4" in told
    assert "no column 'at'" in _only(_config(file, header=False, columns=["user", "item", "when"]))


def _damaged(kind: str) -> bytes:
    rows = "".join(f"user{n},item{n * 7919 % 1000},2024-03-01\n" for n in range(2000))
    packed = gzip.compress(f"user,item,at\n{rows}".encode())
    if kind == "body":
        return packed[:10] + b"\xff" * 40 + packed[50:]
    return {"cut off": packed[:40], "not gzip": b"user,item,at\nann,mug,1\n", "header": b"\x1f\x8b\x07" + packed[3:]}[kind]


@pytest.mark.parametrize("kind", ["cut off", "not gzip", "header", "body"])
def test_a_damaged_gz_is_told(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.csv.gz").write_bytes(_damaged(kind))
    assert f"{tmp_path / 'a.csv.gz'} cannot be read as csv" in _only(_config(tmp_path))


def test_the_damage_is_what_it_is_called() -> None:
    with pytest.raises(zlib.error):
        gzip.decompress(_damaged("body"))
    with pytest.raises(EOFError):
        gzip.decompress(_damaged("cut off"))


def test_a_text_of_another_encoding_is_told_and_right_once_it_is_set(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("user,item,at,name\nann,mug,2024-03-01,caf\xe9\n".encode("latin-1"))
    assert "it is not UTF-8 text; set encoding" in _only(_config(tmp_path))
    assert problems(_config(tmp_path, encoding="ISO-8859-1")) == []


def test_so_is_a_table_of_products_in_another_encoding(tmp_path: Path) -> None:
    _write(tmp_path / "log.csv", "user,item,at\n")
    (tmp_path / "goods.csv").write_bytes("sku,name\nmug,caf\xe9\n".encode("latin-1"))
    log = {"sources": [{"name": "log", "path": f"{tmp_path}/log.csv", "map": MAP, "event": "purchase"}]}
    goods = {"path": f"{tmp_path}/goods.csv", "id": "sku", "name": "name"}
    assert _only(from_mapping({**log, "products": goods})).endswith("it is not UTF-8 text; set encoding")
    assert problems(from_mapping({**log, "products": {**goods, "encoding": "ISO-8859-1"}})) == []


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfuser,item,at\r\nann,mug,2024-03-01\r\n")
    assert problems(_config(tmp_path)) == []
    assert head(tmp_path / "a.csv", 1) == ["user,item,at"]


def test_json_lines_are_looked_at_together(tmp_path: Path) -> None:
    _write(tmp_path / "a.json", '{"user": 1, "item": 2}\n{"user": 1, "at": "2024-03-01"}\n{"item": 2}\n')
    assert problems(_config(tmp_path, format="json")) == []
    _write(tmp_path / "a.json", '{"user": 1, "item": 2}\n')
    assert "no column 'at'" in _only(_config(tmp_path, format="json"))


def test_keys_that_come_late_in_json_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view, order = '{"user": 1, "item": 2, "at": "2024-03-01"}\n', '{"user": 1, "item": 2, "at": "2024-03-01", "price": 3}\n'
    shop = _config(tmp_path / "*.json*", format="json", map={**MAP, "price": "price"})
    _write(tmp_path / "a.json", view * 2500 + "\n{ no\n" + order)
    assert problems(shop) == []
    _write(tmp_path / "a.json", view * 2500)
    (tmp_path / "b.json.gz").write_bytes(gzip.compress((view * 99 + order).encode()))
    assert problems(shop) == []
    (tmp_path / "b.json.gz").write_bytes(gzip.compress((view * 99).encode()))
    assert _only(shop) == f"sources.log.map.price: {tmp_path}/a.json has no column 'price'. It has: user, item, at"
    (tmp_path / "b.json.gz").write_bytes(gzip.compress((view * 100 + order).encode()))
    for bound in ("_OF_A_FILE", "_OF_ALL_FILES"):  # a log without end is not read to its end
        with monkeypatch.context() as less:
            less.setattr(samples, bound, 100 * (len(view) - 1))
            assert "'price', as far as it was read (does it come later? say '= price'). It has" in _only(shop)
            less.setattr(samples, "_OF_A_FILE", 100 * len(view))
            less.setattr(samples, "_OF_ALL_FILES", 3 * 100 * len(view))
            assert problems(shop) == []


@pytest.mark.parametrize("text", ['{"user": 1, "ite', '[{"user": 1, "item": 2, "at": 3}]\n', "3\n", "user,item,at\n"])
def test_json_that_is_not_one_object_a_line_is_told(tmp_path: Path, text: str) -> None:
    _write(tmp_path / "a.json", text)
    assert "cannot be read as json" in _only(_config(tmp_path, format="json"))


def test_parquet_is_read_for_its_columns(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"user": ["a"], "item": ["b"]}), tmp_path / "a.parquet")
    assert "no column 'at'" in _only(_config(tmp_path, format="parquet"))
    _write(tmp_path / "a.parquet", "PAR0 no")
    assert "cannot be read as parquet" in _only(_config(tmp_path, format="parquet"))


def test_users_and_products_are_checked_as_sources_are(tmp_path: Path) -> None:
    _write(tmp_path / "log.csv", "user,item,at\n")
    _write(tmp_path / "users.csv", "id;age\n")
    plain = {"sources": [{"name": "log", "path": f"{tmp_path}/log.csv", "map": MAP, "event": "purchase"}]}
    users = {"path": f"{tmp_path}/users.csv", "id": "id", "delimiter": ";", "attributes": ["age", "towm"]}
    products = {"path": f"{tmp_path}/products.csv", "id": "sku"}
    found = problems(from_mapping({**plain, "users": users, "products": products}))
    assert len(found) == 2
    assert found[0].startswith("users.attributes: ")
    assert "no column 'towm'" in found[0]
    assert found[1].startswith("products.path: nothing matches")


def _goods(tmp_path: Path, *prices: str, **more: Any) -> Config:
    _write(tmp_path / "log.csv", "user,item,at\n")
    _write(tmp_path / "goods.csv", "\n".join(["sku;cost;since", *(f"p{n};{price};2024-03-01" for n, price in enumerate(prices))]))
    log = {"name": "log", "path": f"{tmp_path}/log.csv", "map": MAP, "event": "purchase"}
    goods = {"path": f"{tmp_path}/goods.csv", "id": "sku", "price": "cost", "delimiter": ";"}
    return from_mapping({"shop": {"time_zone": "Europe/Paris"}, "sources": [log], "products": {**goods, **more}})


def test_prices_of_which_none_is_a_number_are_told(tmp_path: Path) -> None:
    told = _only(_goods(tmp_path, "12,50", "", "n/a"))
    assert told == (
        f"products.price: no cost in {tmp_path}/goods.csv is a number, for one '12,50'; "
        "write 12.50 for 12,50, or map price: \"= replace(cost, ',', '.')\""
    )
    assert problems(_goods(tmp_path, "12,50", price="= replace(cost, ',', '.')")) == []
    for prices in (("12,50", "12.5"), (" 1e3 ",), ("",), ()):
        assert problems(_goods(tmp_path, *prices)) == []


def test_a_table_of_products_may_have_no_header(tmp_path: Path) -> None:
    bare = {"header": False, "id": "_c0"}
    assert "no _c2 in" in _only(_goods(tmp_path, "12.50", **bare, price="_c2"))
    assert problems(_goods(tmp_path, "12.50", **bare, price="_c1")) == []
    assert "no column '_c3'" in _only(_goods(tmp_path, "12.50", **bare, price="_c3"))


def test_a_price_that_is_no_number_is_a_doubt_where_no_row_is_refused_for_it(tmp_path: Path) -> None:
    (doubt,) = doubts(_goods(tmp_path, "1", "1_000", "", "12,50"))
    told = "products.price: 2 of the first 3 values of .*/goods.csv are no numbers, for one '1_000' in cost; will be left out; "
    assert re.match(told, doubt)
    assert doubts(_goods(tmp_path, "12,50")) == [], "a problem, and told as one"
    assert doubts(_goods(tmp_path, "1", "2.50", "")) == doubts(_goods(tmp_path, "1", "x", valid_from="since")) == []


def test_remote_paths_and_tables_are_left_to_spark() -> None:
    assert is_remote("s3://b/a")
    assert is_remote("dbfs:/a")
    assert not is_remote("a/b.csv")
    assert problems(_config("s3://bucket/*.csv")) == []
    assert problems(_config([], table="raw.log")) == []


def test_the_first_problem_is_raised_with_how_many_more_there_are(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.csv", "user,stuff\n")
    with pytest.raises(SourceError, match=r"no column 'item'.* \(1 more: see `propensity check`\)$"):
        check(_config(file))
    _write(tmp_path / "a.csv", "user,item\n")
    with pytest.raises(SourceError) as told:
        check(_config(file))
    assert "more" not in str(told.value)


@pytest.mark.parametrize("delimiter", ["||", r"\t"])
def test_a_separator_of_two_characters_is_a_mistake_not_a_bug(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], delimiter: str
) -> None:
    _write(tmp_path / "a.csv", "user,item,at\n")
    columns = ", ".join(f"{part}: {column}" for part, column in MAP.items())
    source = f"name: log, path: {tmp_path}/a.csv, event: view, delimiter: '{delimiter}', map: {{{columns}}}"
    shop = _write(tmp_path / "shop.yaml", f"sources: [{{{source}}}]")
    assert cli.main(["check", "--config", str(shop)]) == 2
    said = capsys.readouterr()
    assert "delimiter" in said.out + said.err


def test_a_folder_stands_for_its_files_but_not_for_marks_and_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "_SUCCESS", ".a.csv.crc", "day=1/c.csv", "_delta_log/0.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        _write(tmp_path / name, "x")
    assert expand((str(tmp_path),)) == [tmp_path / name for name in ("a.csv", "b.csv", "day=1/c.csv")]
    assert expand((f"{tmp_path}/b.csv", f"{tmp_path}/a*")) == [tmp_path / "b.csv", tmp_path / "a.csv"]
    assert expand((f"{tmp_path}/z*",)) == []


def test_two_stars_stand_for_any_depth_and_folders_of_marks_hold_nothing(tmp_path: Path) -> None:
    shop = tmp_path / "_shop"
    for name in ("a.csv", "2024/b.csv", "2024/01/c.csv", "_temporary/0/d.csv", "2024/.ipynb_checkpoints/e.csv", "2024/_SUCCESS"):
        (shop / name).parent.mkdir(parents=True, exist_ok=True)
        _write(shop / name, "x")
    every = {shop / name for name in ("a.csv", "2024/b.csv", "2024/01/c.csv")}
    assert set(expand((f"{shop}/**/*.csv",))) == every
    assert set(expand((f"{shop}/**",))) == every, "each once, though the folder's files stand for themselves too"
    assert set(expand((f"{shop}",))) == set(expand((f"{tmp_path}/_shop/*",))) == every, "a folder that is named counts"
    assert expand((f"{shop}/2024/*.csv",)) == [shop / "2024/b.csv"]


def test_a_delta_table_is_not_read_as_its_files(tmp_path: Path) -> None:
    for name in ("orders/_delta_log/0.json", "orders/day=1/a.csv", "plain/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        _write(tmp_path / name, "user,item,at\nann,mug,2024-03-01\n")
    told = _only(_config(tmp_path / "orders"))
    assert told.startswith(f"sources.log.path: {tmp_path}/orders is a Delta table")
    assert problems(_config(tmp_path / "plain")) == []
    assert problems(_config(tmp_path / "orders", format="delta")) == []


def test_an_encoding_that_nobody_knows_is_told(tmp_path: Path) -> None:
    told = _only(_config(_write(tmp_path / "a.csv", "user,item,at\nann,mug,2024-03-01\n"), encoding="klingon"))
    assert told.endswith("cannot be read as csv: there is no encoding 'klingon'")


def test_times_of_which_none_reads_are_told_with_the_form_that_does(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.csv", "user,item,at\nann,mug,05.05.2024 15:07\nbob,mug,\n")
    told = _only(_config(file))
    assert told.startswith(f"sources.log.time.format: no time in {file} reads as 'iso', for one '05.05.2024 15:07' of at;")
    assert told.endswith("set time.format to 'd.M.yyyy H:mm'")
    assert problems(_config(file, time={"format": "dd.MM.yyyy HH:mm"})) == []
    _write(file, "user,item,at\nann,mug,05.05.2024 15:07\nbob,mug,2024-03-01\n")
    assert problems(_config(file)) == []  # one that reads is enough: the others are for quarantine


def test_days_that_would_be_read_as_months_are_told(tmp_path: Path) -> None:
    rows = "ann,mug,12/1/2010 8:26\n" * 2500
    day_first, month_first = ({"time": {"format": form}} for form in ("d/M/yyyy H:mm", "M/d/yyyy H:mm"))
    _write(tmp_path / "a.csv", f"user,item,at\n{rows}")
    assert problems(_config(tmp_path / "a.csv", **day_first)) == problems(_config(tmp_path / "a.csv", **month_first)) == []
    told = "sources.log.time.format: '12/13/2010 8:26' of at is no 'd/M/yyyy H:mm': day and month are the other way round; "
    told += "set time.format to 'M/d/yyyy H:mm'"
    for file, text in (
        ("a.csv", "ann,mug,12/2/2010 8:26\nann,mug,12/13/2010 8:26\n"),
        ("b.csv", f"{rows}ann,mug,12/13/2010 8:26\n"),
    ):
        _write(tmp_path / file, f"user,item,at\n{text}")
        assert _only(_config(tmp_path / "*.csv", **day_first)) == told
        assert problems(_config(tmp_path / "*.csv", **month_first)) == []
        _write(tmp_path / "a.csv", f"user,item,at\n{rows}")


def test_times_are_looked_at_in_json_and_parquet_too(tmp_path: Path) -> None:
    lines = _write(tmp_path / "a.jsonl", '{"user": "ann", "item": "mug", "at": 1512345678000}\n' * 2)
    assert "'epoch_ms'" in _only(_config(lines, format="json", time={"format": "epoch_s"}))
    assert problems(_config(lines, format="json", time={"format": "epoch_ms"})) == []
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"user": ["ann"], "item": ["mug"], "at": ["5 May"]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert "the pattern in which they are written" in _only(_config(tmp_path / "a.parquet", format="parquet"))


def test_numbers_of_a_log_that_are_none_are_a_problem_and_some_of_them_a_doubt(tmp_path: Path) -> None:
    priced = {"delimiter": ";", "map": {**MAP, "price": "cost", "quantity": "= pieces"}}

    def log(*prices: str, **more: Any) -> Config:
        rows = "\n".join(f"u{n};p{n};2024-03-01;{price}" for n, price in enumerate(prices))
        return _config(_write(tmp_path / "log.csv", f"user;item;at;cost\n{rows}\n"), **priced, **more)

    assert _only(log(*["12,50"] * 20, "")) == (
        f"sources.log.map.price: no cost in {tmp_path}/log.csv is a number, for one '12,50'; "
        "write 12.50 for 12,50, or map price: \"= replace(cost, ',', '.')\""
    )
    assert problems(log("12.50", "3")) == problems(log("", "")) == problems(log("12,50", "3")) == []
    assert problems(log(*["NULL"] * 19, "", "")) == [], "a few odd ones among blanks are of views, perhaps"
    (doubt,) = (one for one in doubts(log("12,50", "3", "")) if "price" in one)
    assert "1 of the first 2 values" in doubt
    assert "such rows are refused; write 12.50 for 12,50" in doubt
    assert not any("price" in one for one in doubts(log("12.50", "3")))
    (doubt,) = (one for one in doubts(log(*["NULL"] * 19, "")) if "price" in one)
    assert "19 of the first 19 values" in doubt


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_numbers_of_rows_that_are_ignored_are_nobodys(tmp_path: Path, form: str) -> None:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    def log(dear: str) -> Config:
        kinds = [("look", "NULL"), ("buy", dear), ("buy", None)]
        rows = [
            {"user": f"u{n}", "item": "mug", "at": "2024-03-01", "what": what, "cost": cost}
            for n in range(30)
            for what, cost in kinds
        ]
        file, table = tmp_path / f"log.{form}", pa.Table.from_pylist(rows)
        if form == "json":
            _write(file, "".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
        else:
            pc.write_csv(table, file) if form == "csv" else pq.write_table(table, file)
        told = {"event": "", "event_types": {"look": "ignore", "buy": "purchase"}, "map": {**MAP, "event": "what", "price": "cost"}}
        return _config(file, format=form, **told)

    assert problems(log("2.50")) == [one for one in doubts(log("2.50")) if "price" in one] == []
    assert "no cost in" in _only(log("2,50"))


def test_a_column_of_objects_or_lists_plays_no_part(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"user": None, "item": "mug", "at": "2024-03-01", "tags": ["a"]},
        {"user": {"no": 7}, "item": ["mug"], "at": "2024-03-02"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in (*rows, rows[0]))
    pq.write_table(pa.Table.from_pylist([{**rows[1], "tags": ["a"]}]), tmp_path / "a.parquet")
    for file in (_write(tmp_path / "a.json", lines), tmp_path / "a.parquet"):
        mapped = {**MAP, "product_name": "tags", "category": "tags", "order_id": "user"}
        assert problems(_config(file, format=file.suffix[1:], map=mapped)) == [
            f"sources.log.map.user_id: user of {file} holds objects; say which part is meant, such as "
            "\"= get_json_object(user, '$.no')\"",
            f"sources.log.map.product_id: item of {file} holds lists; a log has a row for each product of an order: "
            "write these first",
        ]
    array = _write(tmp_path / "b.json", "[\n" + lines.replace("\n", ",\n") + "]")
    assert "it is a JSON array; write one object a line" in _only(_config(array, format="json"))


def test_a_date_that_python_does_not_have_is_no_bug(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    far = pa.array([2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"user": ["ann"], "item": ["mug"], "at": ["2024-03-01"], "until": far}), tmp_path / "a.parquet")
    for mapped in (MAP, {**MAP, "session_id": "until"}):
        assert problems(_config(tmp_path / "a.parquet", format="parquet", map=mapped)) == []
    with pytest.raises(SourceError, match="cannot be read"):
        sniff(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["orders[1].csv", "2024-03-01T10:00:00.csv", "a{b}.csv", "what?.csv", "by hand [new]/a.csv"])
def test_a_file_whose_name_says_something_to_spark_is_told(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "right.csv", "user,item,at\nann,mug,2024-03-01\n")
    assert problems(_config(tmp_path)) == []
    (tmp_path / name).parent.mkdir(exist_ok=True)
    _write(tmp_path / name, "user,item,at\nann,mug,2024-03-01\n")
    assert f"{name}: Spark takes * : ? [ \\ ] {{ }} in a path for signs; rename the file or folder" in _only(_config(tmp_path))
