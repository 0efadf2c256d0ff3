"""YAML files, --set and the environment become one Config, or one clear complaint."""

from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest
import yaml

from propensity_spark.config import Config, EncoderConfig, QualityConfig, SeriesConfig, SourceConfig
from propensity_spark.errors import ConfigError
from propensity_spark.loading import _plain, _Yaml, from_mapping, load, to_mapping

CONF = Path(__file__).parents[2] / "conf"


def _yaml(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_configuration_loads(file: Path) -> None:
    assert load([file]).shop.name


@pytest.mark.parametrize(
    ("section", "of", "own"),
    [
        ("sources", SourceConfig, {"name": "orders"}),
        ("series", SeriesConfig, {"name": "weather"}),
        ("encoders", EncoderConfig, {"column": "category", "how": "one_hot"}),
    ],
)
def test_base_yaml_shows_every_key_of_a_lists_item_with_its_default(section: str, of: type, own: dict[str, str]) -> None:
    before = (CONF / "base.yaml").read_text(encoding="utf-8").split(f"\n{section}: []")[0]
    shown = before[before.rindex("\n#  - ") :].replace("\n#", "\n")
    (item,) = yaml.safe_load(shown)
    defaults = {part.name: part.default_factory() if callable(part.default_factory) else part.default for part in fields(of)}
    assert item == {name: own.get(name, _plain(default)) for name, default in defaults.items()}


def test_base_yaml_spells_out_every_default() -> None:
    written = yaml.safe_load((CONF / "base.yaml").read_text(encoding="utf-8"))
    assert from_mapping(written) == Config()
    assert {key: set(value) for key, value in written.items() if isinstance(value, dict)} == {
        key: set(value) for key, value in to_mapping(Config()).items() if isinstance(value, dict)
    }


def test_nothing_said_means_the_defaults(tmp_path: Path) -> None:
    assert load([_yaml(tmp_path, "empty.yaml", "# nothing\n")]) == load([]) == Config()
    assert load([_yaml(tmp_path, "section.yaml", "shop:\n")]) == Config()


def test_a_later_file_wins_key_by_key(tmp_path: Path) -> None:
    first = _yaml(tmp_path, "1.yaml", "labels: {horizon_days: 7}\ntrain: {dates: 5, seed: 1}\n")
    second = _yaml(tmp_path, "2.yaml", "train: {seed: 2}\nfeatures: {windows: [1, 2]}\n")
    config = load([first, second])
    assert (config.labels.horizon_days, config.train.dates, config.train.seed) == (7, 5, 2)
    assert load([second, first]).train.seed == 1


def test_a_later_list_replaces_the_earlier_one_whole(tmp_path: Path) -> None:
    first = _yaml(tmp_path, "1.yaml", "features: {windows: [1, 7, 28]}\n")
    second = _yaml(tmp_path, "2.yaml", "features: {windows: [3]}\n")
    assert load([first, second]).features.windows == (3,)


def test_set_wins_over_every_file_and_the_last_set_over_the_first(tmp_path: Path) -> None:
    file = _yaml(tmp_path, "shop.yaml", "labels: {horizon_days: 7}\ntrain: {dates: 5}\n")
    config = load([file], ["labels.horizon_days=14", "labels.horizon_days=21", "score.as_of=2024-03-01"])
    assert (config.labels.horizon_days, config.train.dates) == (21, 5)
    assert config.score.as_of == date(2024, 3, 1)


def test_set_reads_values_as_yaml_and_reaches_any_depth() -> None:
    config = load([], ["models.lightgbm.rounds=9", "features.windows=[1, 2]", "shop.name=a", "shop.currency="])
    assert (config.models.lightgbm.rounds, config.features.windows) == (9, (1, 2))
    assert (config.shop.name, config.shop.currency) == ("a", "")


def test_a_set_value_keeps_its_further_equals_signs() -> None:
    assert load([], ["spark.conf={a: b=c}"]).spark.conf == {"a": "b=c"}


def test_a_spark_setting_is_named_with_its_dots_nested_or_by_set(tmp_path: Path) -> None:
    memory, cores = "spark.executor.memory", "spark.executor.cores"
    nested = _yaml(tmp_path, "nested.yaml", "spark: {conf: {spark: {executor: {memory: 2g, cores: 2}}}}\n")
    dotted = _yaml(tmp_path, "dotted.yaml", f"spark: {{conf: {{{memory}: 3g}}}}\n")
    assert load([], [f"spark.conf.{memory}=1g"]).spark.conf == {memory: "1g"}
    assert load([], [f"spark.conf={{{memory}: 1g}}"]).spark.conf == {memory: "1g"}
    assert load([dotted, nested]).spark.conf == {memory: "2g", cores: "2"}
    assert load([dotted, nested, dotted]).spark.conf == {memory: "3g", cores: "2"}
    assert load([dotted, nested], [f"spark.conf.{memory}=4g"]).spark.conf == {memory: "4g", cores: "2"}
    assert from_mapping({"spark": {"conf": {"spark": {"executor": {"cores": 2}}}}}).spark.conf == {cores: "2"}


@pytest.mark.parametrize("setting", ["labels.horizon_days", "=3", " =3", "features.windows=[1, 2", "shop.name={a"])
def test_a_set_that_cannot_be_read_is_a_config_error(setting: str) -> None:
    with pytest.raises(ConfigError):
        load([], [setting])


@pytest.mark.parametrize(
    ("values", "place", "meant"),
    [
        ({"lables": {}}, "lables", "labels"),
        ({"labels": {"horizon_day": 3}}, "labels.horizon_day", "horizon_days"),
        ({"models": {"lightgbm": {"leafs": 3}}}, "models.lightgbm.leafs", "leaves"),
        ({"sources": [{"nam": "x"}]}, "sources[0].nam", "name"),
    ],
)
def test_an_unknown_key_is_named_with_what_was_probably_meant(values: dict, place: str, meant: str) -> None:
    with pytest.raises(ConfigError) as told:
        from_mapping(values)
    assert f"unknown key {place};" in str(told.value)
    assert f"did you mean {meant!r}?" in str(told.value)


def test_an_unknown_key_like_no_other_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown key labels\.zzz .*Known here: horizon_days") as told:
        from_mapping({"labels": {"zzz": 1}})
    assert "did you mean" not in str(told.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels": {"horizon_days": "many"}}, r"labels\.horizon_days must be int, got 'many'"),
        ({"labels": {"horizon_days": 1.5}}, r"labels\.horizon_days must be int, got 1\.5"),
        ({"labels": {"horizon_days": True}}, r"labels\.horizon_days must be int, got True"),
        ({"labels": {"horizon_days": None}}, r"labels\.horizon_days must be int, got None"),
        ({"labels": 28}, "labels must be a mapping of keys, got 28"),
        ({"train": {"negative_rate": "some"}}, r"train\.negative_rate must be float, got 'some'"),
        ({"train": {"negative_rate": True}}, r"train\.negative_rate must be float, got True"),
        ({"features": {"windows": [1, "x"]}}, r"features\.windows\[1\] must be int, got 'x'"),
        ({"features": {"windows": {"a": 1}}}, r"features\.windows must be a list of int"),
        ({"shop": {"name": ["a"]}}, r"shop\.name must be str, got \['a'\]"),
        ({"spark": {"conf": "x"}}, r"spark\.conf must be a mapping, got 'x'"),
        ({"score": {"as_of": "soon"}}, r"score\.as_of must be a date such as 2024-03-01, got 'soon'"),
        ({"sources": [{"name": "x", "header": "perhaps"}]}, r"sources\[0\]\.header must be bool, got 'perhaps'"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_key(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(values)


def test_numbers_are_taken_as_a_person_means_them() -> None:
    config = from_mapping(
        {"models": {"logistic": {"regularisation": "1e-4"}}, "train": {"negative_rate": 1}, "shop": {"currency": 7}}
    )
    assert config.models.logistic.regularisation == 0.0001
    assert type(config.train.negative_rate) is float
    assert config.shop.currency == "7"


def test_one_value_may_stand_for_a_list() -> None:
    source = {
        "name": "x",
        "path": "a.csv",
        "map": {"user_id": "u", "product_id": "p", "event_ts": "t"},
        "event": "view",
    }
    config = from_mapping({"sources": source, "features": {"windows": 7}})
    assert config.sources[0].path == ("a.csv",)
    assert config.features.windows == (7,)


def test_a_section_without_a_required_key_says_which() -> None:
    with pytest.raises(ConfigError, match=r"sources\[0\] lacks name"):
        from_mapping({"sources": [{"path": "a.csv"}]})


def test_a_variable_is_taken_from_the_environment_else_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"storage": {"warehouse": "${SHOP_ROOT:/a:b}/w", "report": "${SHOP_ROOT:}"}}
    monkeypatch.delenv("SHOP_ROOT", raising=False)
    unset = from_mapping(values).storage
    assert (unset.warehouse, unset.report) == ("/a:b/w", "")
    monkeypatch.setenv("SHOP_ROOT", "")
    assert from_mapping(values).storage == unset
    monkeypatch.setenv("SHOP_ROOT", "/x")
    assert (from_mapping(values).storage.warehouse, from_mapping(values).storage.report) == ("/x/w", "/x")


def test_a_variable_is_expanded_inside_lists_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_COLUMN", "age")
    users = {"path": "users.csv", "id": "id", "attributes": ["${SHOP_COLUMN}"]}
    assert from_mapping({"users": users}).users.attributes == ("age",)


def test_a_variable_without_value_and_default_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_ROOT", raising=False)
    with pytest.raises(ConfigError, match="SHOP_ROOT is not set"):
        from_mapping({"storage": {"warehouse": "${SHOP_ROOT}"}})


def test_a_variable_may_stand_for_a_number_or_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_DAYS", raising=False)
    source = {"name": "x", "path": "a", "map": {"user_id": "u", "product_id": "p", "event_ts": "t"}, "event": "view"}
    values = {
        "labels": {"horizon_days": "${SHOP_DAYS:7}"},
        "train": {"negative_rate": "${SHOP_RATE:0.5}"},
        "sources": [{**source, "header": "${SHOP_HEADER:false}", "columns": ["u", "p", "t"]}],
    }
    config = from_mapping(values)
    assert (config.labels.horizon_days, config.train.negative_rate, config.sources[0].header) == (7, 0.5, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [("shop: [", "is not valid YAML"), ("- a\n- b\n", "must hold sections"), ("just words", "must hold sections")],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"broken\.yaml {message}"):
        load([_yaml(tmp_path, "broken.yaml", text)])


def test_a_date_that_the_calendar_has_not_is_named(tmp_path: Path) -> None:
    impossible = _yaml(tmp_path, "broken.yaml", "score:\n  as_of: 2024-02-30\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml is not valid YAML: 2024-02-30: day is out of range for month"):
        load([impossible])
    for setting in ("score.as_of=2024-02-30", "score={as_of: 2024-02-30}"):
        with pytest.raises(ConfigError, match=r"--set score\S* cannot be read: 2024-02-30: day is out of range for month"):
            load([], [setting])
    assert load([], ["score.as_of=2024-02-29"]).score.as_of == date(2024, 2, 29)


def test_signs_in_a_set_need_quotes_and_it_is_told_how() -> None:
    with pytest.raises(ConfigError, match=r"--set products\.delimiter: ',' is not a YAML value; .*: 'products\.delimiter=\",\"'"):
        load([], ["products.delimiter=,"])
    assert load([], ['products.delimiter=","']).products.delimiter == ","


def test_a_mistake_is_told_with_the_file_or_the_setting_that_holds_it(tmp_path: Path) -> None:
    right = _yaml(tmp_path, "right.yaml", "labels: {horizon_days: 7}\n")
    wrong = _yaml(tmp_path, "wrong.yaml", "lables: {horizon_days: 7}\n")
    for files in ([right, wrong], [wrong, right]):
        with pytest.raises(ConfigError, match=rf"^{wrong}: unknown key lables"):
            load(files, ["train.dates=3"])
    with pytest.raises(ConfigError, match=r"^--set train\.dates=some: train\.dates must be int"):
        load([right], ["train.dates=some", "labels.horizon_days=3"])
    with pytest.raises(ConfigError, match=rf"^{wrong}, {wrong}: unknown key lables"):
        load([wrong, wrong])


def test_an_absent_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        load([tmp_path / "nowhere.yaml"])
    with pytest.raises(ConfigError, match="cannot be read"):
        load([tmp_path])
    (tmp_path / "latin.yaml").write_bytes(b"shop: {currency: \xa3}")
    with pytest.raises(ConfigError, match=r"latin\.yaml cannot be read"):
        load([tmp_path / "latin.yaml"])


def test_a_config_survives_the_way_to_plain_values_and_back() -> None:
    config = load([CONF / "taobao.yaml"], ["score.as_of=2017-12-02"])
    plain = to_mapping(config)
    assert plain["sources"][0]["columns"] == ["user", "item", "category", "behaviour", "ts"]
    assert from_mapping(plain) == config
    assert to_mapping(QualityConfig())["earliest"] == date(2000, 1, 1)


def test_a_key_that_stands_twice_is_refused_since_the_later_would_win_without_a_word(tmp_path: Path) -> None:
    wish = "population: {where: \"consent = 'yes'\"}\nlabels: {horizon_days: 7}\npopulation:\n  event: any\n"
    twice = _yaml(tmp_path, "twice.yaml", wish)
    with pytest.raises(
        ConfigError, match=r"twice\.yaml is not valid YAML: population stands in line 1 and again in line 3; join them"
    ):
        load([twice])
    inside = _yaml(tmp_path, "inside.yaml", "sources:\n- name: log\n  path: a\n  path: b\n")
    with pytest.raises(ConfigError, match="path stands in line 3 and again in line 4"):
        load([inside])
    with pytest.raises(ConfigError, match=r"--set labels: .* is not a YAML value"):
        load([], ["labels={horizon_days: 7, horizon_days: 8}"])
    again = _yaml(tmp_path, "again.yaml", "labels: &of {horizon_days: 7}\nspark: {conf: {<<: *of, horizon_days: 8}}\n")
    assert load([again]).spark.conf == {"horizon_days": "8"}, "what << brings may be said otherwise"
    both = "a: &a {a: 1}\nb: &b {b: 2}\nconf: {<<: *a, <<: *b}\n"
    assert yaml.load(both, _Yaml)["conf"] == {"a": 1, "b": 2}


@pytest.mark.parametrize("key", ["true", "No", "on", "~", "01", "1_000", "1.10", "1:30", "2024-01-01"])
def test_a_value_of_the_data_that_stands_as_a_key_is_read_as_it_is_written(tmp_path: Path, key: str) -> None:
    log = "sources: [{name: log, path: a, map: {user_id: u, product_id: p, event_ts: t, event: e}, event_types: {KEY: purchase}}]\n"
    for written in (key, f'"{key}"'):
        found = load([_yaml(tmp_path, "log.yaml", log.replace("KEY", written))]).sources[0].event_types
        assert found == {key: "purchase"}
        assert load([], [f"spark.conf={{{written}: a}}"]).spark.conf == {key: "a"}
