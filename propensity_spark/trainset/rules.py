"""Rules of a shop's own, in SQL: which users are scored, and which products are no candidates."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import Config
from propensity_spark.errors import ConfigError
from propensity_spark.features.attributes import Known

_PLACE = re.compile(r"(; line \d+ pos \d+|\(line \d+, pos \d+\)).*")  # within a text that is not the user's
_PLAIN = {
    "user_id": {"user_id": "STRING"},
    "product_id": {"product_id": "STRING", "name": "STRING", "category": "STRING", "price": "DOUBLE"},
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on users or products that reads their id, a product's name, category and price as the shop last told them, and
    attributes (STRING; null: unknown) as they were known at the midnight that begins as_of, but those called like the key or as_of.

    `setting` is where it is configured, `key` user_id or product_id. A condition that is null does not hold.
    """

    setting: str
    condition: str
    key: str
    attributes: tuple[str, ...]
    time_zone: str

    @property
    def columns(self) -> dict[str, str]:
        """What the condition may read, with its SQL type; an attribute goes before what the catalogue calls alike."""
        return self._plain | dict.fromkeys(self.attributes, "STRING")

    @property
    def _plain(self) -> dict[str, str]:
        """What else than attributes it may read; Spark tells no capitals apart."""
        called = {attribute.lower() for attribute in self.attributes}
        return {column: kind for column, kind in _PLAIN[self.key].items() if column not in called}

    @property
    def _holds(self) -> Column:
        return F.expr(f"(\n{self.condition}\n)")  # in brackets, for "a = 1 AND" alone would be a = 1 under the name AND

    def holds(self, asked: DataFrame, listed: DataFrame | None, versions: DataFrame | None) -> DataFrame:
        """Of which of the asked it holds: as_of and the key.

        Takes   asked: as_of DATE and the key, distinct; listed: silver.products (None: of users nothing is listed but the id);
                versions: the dated users or products (None: the shop keeps no attributes of them).
        """
        told = asked.select("as_of", self.key)
        if listed is not None:
            told = told.join(listed.select(*self._plain), self.key, "left")
        if versions is not None:
            columns = {attribute: (attribute, "STRING") for attribute in self.attributes}
            told = Known(self.key, columns, self.time_zone).add_to(told, versions)
        return told.where(self._holds).select("as_of", self.key)

    def check(self, spark: SparkSession) -> None:
        """Raises ConfigError where the condition is none, or reads what there is not."""
        ddl = ", ".join(f"`{column}` {kind}" for column, kind in self.columns.items())
        try:
            spark.createDataFrame([], ddl).where(self._holds)
        except AnalysisException as problem:
            said = _PLACE.sub("", str(problem).strip().splitlines()[0]).rstrip(". ")
            raise ConfigError(f"{self.setting}: {said}. It must be a condition in SQL on {', '.join(self.columns)}") from None


def scored(config: Config) -> Rule | None:
    """Who is scored (population.where); None: everybody."""
    return _rule("population.where", config.population.where, "user_id", config.users.attributes, config)


def excluded(config: Config) -> Rule | None:
    """What is no candidate (candidates.exclude); None: nothing."""
    return _rule("candidates.exclude", config.candidates.exclude, "product_id", config.products.attributes, config)


def check(spark: SparkSession, config: Config) -> None:
    """Raises ConfigError where a rule cannot be meant."""
    for rule in (scored(config), excluded(config)):
        if rule:
            rule.check(spark)


def _rule(setting: str, condition: str, key: str, attributes: Sequence[str], config: Config) -> Rule | None:
    if not condition.strip():
        return None
    taken = (key, "as_of")  # Spark tells no capitals apart: the id is the key itself, and nobody's date is asked for
    told = tuple(attribute for attribute in attributes if attribute.lower() not in taken)
    return Rule(setting, condition, key, told, config.shop.time_zone)
