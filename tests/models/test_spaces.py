"""The settings that are searched are settings that there are, within what the configuration allows."""

from dataclasses import replace

import pytest

from propensity_spark.config import LightGBMConfig, ModelsConfig
from propensity_spark.errors import ConfigError
from propensity_spark.models.spaces import SPACES, present, space, with_values


@pytest.mark.parametrize("family", SPACES)
@pytest.mark.parametrize("end", ["low", "high"])
def test_every_bound_is_allowed(family: str, end: str) -> None:
    values = {p.name: (int if p.whole else float)(getattr(p, end)) for p in SPACES[family]}
    changed = with_values(ModelsConfig(), family, values)
    assert {name: getattr(getattr(changed, family), name) for name in values} == values


def test_a_search_may_be_narrowed_to_settings_that_there_are() -> None:
    assert [p.name for p in space(ModelsConfig(), "logistic", ["elastic_net"])] == ["elastic_net"]
    with pytest.raises(ConfigError, match="logistic has no depth to search; it has regularisation, elastic_net"):
        space(ModelsConfig(), "logistic", ["depth"])


def test_the_present_settings_are_offered_where_they_lie_within_the_bounds() -> None:
    searched = space(ModelsConfig(), "lightgbm", ["leaves", "rounds"])
    assert present(ModelsConfig(), "lightgbm", searched) is None  # leaves 0: by size
    unnamed = space(ModelsConfig(), "lightgbm", [])
    assert {p.name for p in SPACES["lightgbm"]} - {p.name for p in unnamed} == {"leaves"}, "left to the size of the rows"
    assert present(ModelsConfig(), "lightgbm", unnamed) is not None
    chosen = replace(ModelsConfig(), lightgbm=LightGBMConfig(leaves=31))
    assert present(chosen, "lightgbm", searched) == {"leaves": 31, "rounds": 200}
