"""A feature's meaning is all that its values depend on, and a version keeps its meaning."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from propensity_spark.config import FEATURE_GROUPS, FeatureConfig
from propensity_spark.errors import ConfigError, DefinitionChanged
from propensity_spark.features import lineage
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.spec import FeatureSet
from propensity_spark.schemas import EVENT_TYPES

_KEPT = Path(__file__).with_name("meanings.txt")  # of all features with the usual settings, by entity, name and version


def _set(popular_days: int = 28, **settings: object) -> FeatureSet:
    return feature_set(FeatureConfig(**settings), frozenset(EVENT_TYPES), popular_days)


def _texts(declared: FeatureSet) -> dict[str, str]:
    return {d.name: d.text for d in lineage.definitions(declared)}


def _differing(one: FeatureSet, other: FeatureSet) -> set[str]:
    before, after = _texts(one), _texts(other)
    return {name for name in before.keys() & after.keys() if before[name] != after[name]}


def test_every_feature_has_one_definition_and_each_says_what_it_reads() -> None:
    declared = _set()
    every = lineage.definitions(declared)
    assert len({d.key for d in every}) == len(every) == len(declared.columns) + len(declared.shop)
    for d in every:
        assert re.search(r" = (sum|min|max) of .* where .* in \d+ days", d.text), f"{d.name} does not come down to events"


def test_no_version_means_anything_else_than_when_tables_were_first_written_by_it() -> None:
    """A shop's tables keep the meanings, and refuse others of the same version: all of them would have to be built anew."""
    kept = {key: digest for digest, key in (line.split("  ") for line in _KEPT.read_text(encoding="utf-8").splitlines())}
    now = {
        " ".join(d.key): hashlib.sha256(d.text.encode()).hexdigest()[:12]
        for groups in ((), FEATURE_GROUPS)
        for d in lineage.definitions(_set(groups=groups))
    }
    changed = [key for key, digest in now.items() if kept.get(key, digest) != digest]
    assert not changed, "raise the versions of these"
    added = [f"{digest}  {key}" for key, digest in now.items() if key not in kept]
    assert not added, f"add these lines to {_KEPT}"


def test_a_definition_goes_down_to_the_events() -> None:
    declared = _set()
    texts = _texts(declared)
    assert texts["user_views_28"] == "sum(views_28); views_28 = sum of 1.0D where event = 'view' in 28 days, as known at as_of"
    assert "user_purchases = sum(lines_ever)" in texts["user_basket"]
    assert "orders_ever = sum of order_first" in texts["user_basket"]
    assert "views_ever = sum of 1.0D where event = 'view' in 365 days, as known at as_of" in texts["ucat_taste"]
    assert "views_taste = " in texts["ucat_taste"]
    assert "views_taste = " in texts["browse_share"]


def test_only_what_depends_on_a_setting_changes_with_it() -> None:
    declared = _set()
    half_life = _differing(declared, _set(half_life_days=30.0))
    assert {"pair_orders_decayed", "pair_views_decayed", "ucat_orders_decayed", "product_orders_decayed"} == half_life
    assert _differing(declared, _set(popular_days=14)) == {"product_buyers_recent"}
    history = _differing(declared, _set(history_days=300))
    assert {"user_orders", "user_tenure", "ucat_taste", "forecast_orders"} <= history
    assert not {"user_views_28", "pair_carts_1", "category_orders_recent"} & history


def test_a_word_in_quotes_is_no_name() -> None:
    assert lineage.words("sum(IF(event = 'user_views', views_7, 0))") == {"sum", "IF", "event", "views_7"}


def test_another_meaning_under_the_same_version_is_refused_and_under_the_next_one_taken() -> None:
    kept = {d.key: d.text for d in lineage.definitions(_set())}
    lineage.check_unchanged(lineage.definitions(_set()), kept)
    with pytest.raises(DefinitionChanged, match=r"4 feature.*pair_views_decayed 2\.1: was .*Set features\.version to 2"):
        lineage.check_unchanged(lineage.definitions(_set(half_life_days=30.0)), kept)
    lineage.check_unchanged(lineage.definitions(_set(half_life_days=30.0, version=2)), kept)
    lineage.check_unchanged(lineage.definitions(_set(windows=(3, 9, 28, 90), version=2)), kept)


def test_a_higher_version_of_a_declaration_is_another_version() -> None:
    declared = _set()
    changed = replace(declared.user[0], expression="max(views_1)")
    kept = {d.key: d.text for d in lineage.definitions(declared)}
    with pytest.raises(DefinitionChanged, match="1 feature"):
        lineage.check_unchanged(lineage.definitions(replace(declared, user=(changed, *declared.user[1:]))), kept)
    raised = replace(declared, user=(replace(changed, version=3), *declared.user[1:]))
    lineage.check_unchanged(lineage.definitions(raised), kept)
    assert raised.version != declared.version


def test_a_difference_names_what_came_went_and_changed() -> None:
    before, after = lineage.definitions(_set()), lineage.definitions(_set(windows=(7, 28, 90), half_life_days=30.0, version=2))
    found = lineage.difference(before, after)
    assert not found.added
    assert {d.name for d in found.removed} == {"pair_purchases_7", "product_momentum_short"} | {
        d.name for d in before if d.name.endswith("_1")
    }
    changed = {old.name: (old.version, new.version) for old, new in found.changed}
    assert changed["pair_views_decayed"] == ("2.1", "2.2")
    assert "user_views_7" not in changed, "a new version alone changes no meaning"
    same = lineage.difference(before, before)
    assert (same.added, same.removed, same.changed) == ((), (), ())


def test_an_unknown_name_is_told_with_its_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"no feature is called 'user_view_28'.*user_views_28"):
        lineage.find(_set(), "user_view_28")
    assert lineage.find(_set(), "browse_share")[0] == "row"


def test_what_has_no_value_without_history_is_told_from_what_has() -> None:
    found = lineage.of_history(feature_set(FeatureConfig(), frozenset(EVENT_TYPES), 28))
    assert {"pair_orders", "ucat_seen_last", "pair_due_product", "pair_order_share"} <= found
    assert not {name for name in found if name.startswith(("user_", "product_", "category_"))} - {"user_view_to_order"}
    assert not found & {"price_to_user", "price_to_category", "user_orders", "product_gap"}
