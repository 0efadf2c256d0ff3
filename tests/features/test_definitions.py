"""The declarations fit together for every shop: whatever it logs and whichever windows it chooses."""

import re
from dataclasses import fields, replace
from itertools import combinations

import pytest

from propensity_spark.config import FEATURE_GROUPS, FeatureConfig
from propensity_spark.features import lineage
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.series import declare
from propensity_spark.features.spec import Feature, FeatureSet, Measure, present
from propensity_spark.loading import from_mapping
from propensity_spark.schemas import EVENT_TYPES

ENTITIES = ("pair", "user", "product", "user_category", "category", "row", "candidate")
TABLES = ("pair", "user", "product", "user_category", "category", "segment_category", "shop")
EVERYTHING = frozenset(EVENT_TYPES)
SHOPS = [frozenset(some) for n in range(1, len(EVENT_TYPES) + 1) for some in combinations(EVENT_TYPES, n)]
WINDOWS = [(7,), (7, 28), (1, 7, 28), (1, 7, 28, 90)]
UNITS = {"count", "currency", "days", "minutes", "pieces", "rate", "ratio", "score", "share", "users"}


def _set(
    events: frozenset[str] = EVERYTHING,
    windows: tuple[int, ...] = (1, 7, 28, 90),
    groups: tuple[str, ...] = FEATURE_GROUPS,
    segment_by: str = "",
) -> FeatureSet:
    return feature_set(FeatureConfig(windows=windows, groups=groups, segment_by=segment_by), events, 28)


def _words(expression: str) -> set[str]:
    """What an expression names: its words less functions, literals and keywords."""
    bare = re.sub(r"'[^']*'|\b\d[\w.]*|\w+(?=\()", " ", expression)
    return set(re.findall(r"[A-Za-z_]\w*", bare)) - {"NULL", "AND", "OR", "IN"}


def _declared(declared: FeatureSet, *entities: str) -> set[str]:
    return {feature.name for entity in entities for feature in getattr(declared, entity)}


def _features(declared: FeatureSet) -> list[Feature]:
    return [feature for entity in ENTITIES for feature in getattr(declared, entity)]


@pytest.mark.parametrize("windows", WINDOWS)
def test_names_are_unique(windows: tuple[int, ...]) -> None:
    declared = _set(windows=windows)
    assert len(set(declared.columns)) == len(declared.columns)
    names = [measure.name for measure in declared.measures]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("events", SHOPS, ids=lambda events: "+".join(sorted(events)))
def test_whatever_a_shop_logs_every_feature_finds_what_it_reads(events: frozenset[str], windows: tuple[int, ...]) -> None:
    declared = _set(events, windows)
    measures = {measure.name for measure in declared.measures} | ({"views_taste", "user_taste"} if "view" in events else set())
    for entity in TABLES:
        above: set[str] = set()
        for feature in getattr(declared, entity):
            assert _words(feature.expression) <= (above if feature.derived else measures), feature.name
            above.add(feature.name)
    above = _declared(declared, *TABLES)
    for feature in (*declared.row, *declared.candidate):
        assert feature.derived, "a joined row has nothing left to aggregate"
        assert _words(feature.expression) <= above, feature.name
        above.add(feature.name)


def test_no_window_is_held_against_itself() -> None:
    rising = {"user_momentum", "product_momentum", "product_momentum_short"}
    told = {windows: _declared(_set(windows=windows), *TABLES) & rising for windows in WINDOWS}
    two = rising - {"product_momentum_short"}
    assert told == dict(zip(WINDOWS, (set(), two, two, rising), strict=True))
    same = re.compile(r"\((\w+) \+ 1\) / \(\1 \+ 1\)")
    assert not [f.name for windows in WINDOWS for f in _features(_set(windows=windows)) if same.search(f.expression)]


@pytest.mark.parametrize("absent", EVENT_TYPES)
def test_a_shop_without_an_event_has_no_feature_or_measure_of_it(absent: str) -> None:
    declared, every = _set(EVERYTHING - {absent}), _set()
    kept = [*_features(declared), *declared.measures]
    assert kept == [item for item in [*_features(every), *every.measures] if absent not in item.needs]
    assert not [item.name for item in kept if absent in item.needs]
    assert not [m.name for m in declared.measures if f"event = '{absent}'" in m.where]
    stem = {"view": "views", "cart": "carts", "favourite": "favourites", "purchase": "purchases", "return": "returns"}[absent]
    assert not [name for name in declared.columns if stem in name.split("_")]
    assert [name for name in every.columns if stem in name.split("_")], "the check must be able to fail"


def test_features_that_any_event_fills_need_none() -> None:
    bare = _set(frozenset())
    assert {"pair_seen_last", "user_visits", "user_tenure", "product_age", "ucat_seen_last"} <= set(bare.columns)
    assert present(_set().measures, frozenset()) == bare.measures


def test_every_feature_says_what_it_is_in_a_known_unit() -> None:
    declared = _set()
    for feature in _features(declared):
        assert feature.description.strip(), feature.name
        assert feature.unit in UNITS, feature.name
        assert set(feature.needs) <= EVERYTHING, feature.name


def test_every_measure_merges() -> None:
    assert {measure.op for measure in _set().measures} <= {"sum", "min", "max"}


def test_a_rollup_that_a_pair_takes_over_has_aggregates_of_one_measure_each() -> None:
    for feature in _set().pair:
        single = re.sub(r"\b(sum|min|max)\(\w+\)", "x", feature.expression)
        assert feature.derived or not re.search(r"\b(sum|min|max|count|count_if|avg)\(", single), feature.name


def test_ages_are_in_days_so_that_linear_models_scale_them_as_such() -> None:
    for feature in _features(_set()):
        if feature.name.endswith(("_last", "_first", "_gap", "_tenure", "_age")):
            assert feature.unit == "days", feature.name


def _changed(item: Feature | Measure, name: str) -> Feature | Measure:
    old = getattr(item, name)
    new = {str: lambda: f"{old}x", tuple: lambda: (*old, "x"), bool: lambda: not old}.get(type(old), lambda: 3650)()
    return replace(item, **{name: new})


SINGLE = ("history_days", "settings_version", "segment")


@pytest.mark.parametrize("part", [field.name for field in fields(FeatureSet) if field.name not in SINGLE])
def test_the_version_changes_with_any_definition(part: str) -> None:
    weather = from_mapping({"series": [{"name": "weather", "path": "w.csv", "day": "day", "values": ["warm"]}]}).series
    declared = replace(_set(), series=declare(weather))
    items = getattr(declared, part)
    item = items[-1]
    versions = {declared.version, replace(declared, **{part: items[:-1]}).version}
    meant = [f.name for f in fields(item) if f.name != "group"]
    versions |= {replace(declared, **{part: (*items[:-1], _changed(item, name))}).version for name in meant}
    assert len(versions) == 2 + len(meant)


def test_the_version_is_the_same_for_the_same_definitions_and_follows_the_settings() -> None:
    assert _set().version == _set().version
    config = FeatureConfig()
    others = [
        feature_set(FeatureConfig(half_life_days=30.0), EVERYTHING, 28),
        feature_set(FeatureConfig(history_days=300), EVERYTHING, 28),
        feature_set(FeatureConfig(version=2), EVERYTHING, 28),
        feature_set(FeatureConfig(windows=(1, 7, 28)), EVERYTHING, 28),
        feature_set(config, EVERYTHING, 14),
        feature_set(config, EVERYTHING - {"return"}, 28),
        *(feature_set(FeatureConfig(groups=(group,)), EVERYTHING, 28) for group in FEATURE_GROUPS),
        feature_set(FeatureConfig(groups=("profile",)), EVERYTHING, 28, "Asia/Shanghai"),
    ]
    assert len({feature_set(config, EVERYTHING, 28).version, *(other.version for other in others)}) == 1 + len(others)


def test_the_group_is_no_part_of_the_meaning() -> None:
    declared = _set()
    moved = tuple(replace(feature, group="elsewhere") for feature in declared.user)
    other = replace(declared, user=moved)
    assert other.version == declared.version
    assert [d.text for d in lineage.definitions(other)] == [d.text for d in lineage.definitions(declared)]
    assert lineage.definition(other, "user", moved[0]).group == "elsewhere"


@pytest.mark.parametrize("group", FEATURE_GROUPS)
def test_a_group_adds_its_own_features_and_the_rest_stays(group: str) -> None:
    first, chosen = _set(groups=()), _set(groups=(group,))
    assert {feature.group for feature in _features(first)} == {"first"}
    assert [feature for feature in _features(chosen) if feature.group == "first"] == _features(first)
    assert {feature.group for feature in _features(chosen)} == {"first", group}
    assert chosen.measures[: len(first.measures)] == first.measures
    every = {feature.name for feature in _features(_set()) if feature.group in ("first", group)}
    assert set(chosen.columns) == every, "a group needs no other"


def test_users_have_a_segment_where_the_shop_names_one_or_the_group_is_chosen() -> None:
    orders = _set(frozenset({"purchase", "return"}), groups=("segment",))
    assert replace(orders, segment="") == _set(frozenset({"purchase", "return"}), groups=()), "no rate can be held against it"
    assert orders.segment == _set(groups=("segment",)).segment
    assert orders.segment.startswith("concat_ws")
    for groups in ((), ("segment",), ("gaps",)):
        assert _set(groups=groups, segment_by="region").segment == "attribute region"


def test_the_first_set_is_the_one_that_tables_were_written_with() -> None:
    declared = _set(groups=())
    assert (declared.version, len(declared.columns)) == ("36b90c668029", 154)
    assert (declared.segment, declared.segment_category, declared.candidate) == ("", (), ())


def test_the_columns_are_those_of_every_entity_in_order() -> None:
    declared = _set()
    assert declared.columns == tuple(feature.name for feature in _features(declared))
