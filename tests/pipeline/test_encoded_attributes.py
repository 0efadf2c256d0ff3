"""Which attributes the joined rows carry: those that encoders name, and never in the place of another column."""

from typing import Any

import pytest

from propensity_spark.errors import ConfigError
from propensity_spark.features.attributes import Known
from propensity_spark.features.definitions import feature_set
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline.build_features import attributes
from propensity_spark.schemas import EVENT_TYPES


def _asked(*encoders: dict[str, Any], users: tuple[str, ...] = (), products: tuple[str, ...] = ()) -> tuple[Known, ...]:
    listed = {"users": ("id", users), "products": ("sku", products)}
    tables = {name: {"path": f"{name}.csv", "id": key, "attributes": list(kept)} for name, (key, kept) in listed.items()}
    config = from_mapping({"shop": {"time_zone": "Europe/Berlin"}, "encoders": list(encoders), **tables})
    return attributes(config, feature_set(config.features, frozenset(EVENT_TYPES), 28))


def test_rows_carry_what_encoders_name_scaled_as_numbers() -> None:
    target, scaled = {"column": "user_region", "how": "target"}, {"column": "product_weight", "how": "standard"}
    assert _asked(target, scaled, users=("region", "tier"), products=("weight",)) == (
        Known("user_id", {"user_region": ("region", "STRING")}, "Europe/Berlin"),
        Known("product_id", {"product_weight": ("weight", "DOUBLE")}, "Europe/Berlin"),
    )
    assert _asked(users=("region",)) == ()


@pytest.mark.parametrize("column", ["user_tenure", "product_id", "category", "together_score"])
def test_a_joined_column_goes_before_an_attribute_of_its_name(column: str) -> None:
    named = {"column": column, "how": "impute" if column in ("user_tenure", "together_score") else "target"}
    assert _asked(named, users=("tenure",), products=("id",)) == ()


def test_a_column_that_no_row_has_is_refused_before_anything_is_made() -> None:
    with pytest.raises(ConfigError, match=r"no user_colour can be read\. .* or an attribute \(user_region\)"):
        _asked({"column": "user_colour", "how": "index"}, users=("region",))
    with pytest.raises(ConfigError, match="users and products keep none"):
        _asked({"column": "user_colour", "how": "index"})


@pytest.mark.parametrize("column", ["label", "weight", "as_of"])
def test_what_tells_the_label_is_read_by_no_encoder(column: str) -> None:
    with pytest.raises(ConfigError, match=f"no {column} can be read"):
        _asked({"column": column, "how": "standard"}, products=("weight",))


def test_an_attribute_is_a_number_or_text_to_all_its_encoders() -> None:
    scaled, target = {"column": "user_age", "how": "standard"}, {"column": "user_age", "how": "target"}
    assert len(_asked(target, {"column": "user_age", "how": "index"}, users=("age",))) == 1
    for both in ((scaled, target), (target, scaled)):
        with pytest.raises(ConfigError, match="user_age is read as a number by one and as text by another"):
            _asked(*both, users=("age",))
