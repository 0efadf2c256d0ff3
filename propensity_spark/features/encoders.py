"""Columns made fit for the models, learnt from the training dates alone and stored with the model.

What each kind does stands in its own file: `encoding.levels` (index, one_hot, frequency, target), `encoding.hashing`,
`encoding.scaling` (standard, min_max, robust, log, impute). Values never seen, and missing ones, never fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import LEVEL_ENCODERS, SCALERS, EncoderConfig
from propensity_spark.errors import ConfigError, InsufficientData, MissingColumns, PropensityError
from propensity_spark.features.encoding import counting, levels, scaling
from propensity_spark.features.encoding.hashing import Hashed
from propensity_spark.features.encoding.levels import Levels
from propensity_spark.features.encoding.scaling import Scaled
from propensity_spark.features.encoding.summary import summarise
from propensity_spark.features.encoding.values import Values, Vector
from propensity_spark.features.spec import Feature

FORMAT = 1  # of the stored text
Encoding = Levels | Hashed | Scaled
_KINDS: dict[str, type[Encoding]] = {"levels": Levels, "hashed": Hashed, "scaled": Scaled}
_TEXTS = ("string", "boolean", "tinyint", "smallint", "int", "bigint", "date")  # equal as text here and in plain Python
_NUMBERS = ("boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal")


@dataclass(frozen=True, slots=True)
class Fitted:
    """Encoders as they were learnt; without any, it changes nothing."""

    encodings: tuple[Encoding, ...] = ()

    @property
    def features(self) -> tuple[Feature, ...]:
        """The new columns, in order: inputs of a model."""
        return tuple(feature for encoding in self.encodings for feature in encoding.features)

    @property
    def together(self) -> list[tuple[str, ...]]:
        """The new columns that are one value in several columns: one level's, or one bucket's."""
        several = [e for e in self.encodings if isinstance(e, Hashed) or (isinstance(e, Levels) and e.how == "one_hot")]
        return [tuple(feature.name for feature in encoding.features) for encoding in several]

    def transform(self, frame: DataFrame) -> DataFrame:
        """The rows plus the new columns DOUBLE, never null or NaN; for all rows but those of the training.

        Raises MissingColumns where a column that they were learnt from is absent.
        """
        return self._apply(frame, out_of_fold=False)

    def out_of_fold(self, frame: DataFrame) -> DataFrame:
        """The same for the training rows: a target encoding has not seen the labels of the row's own user.

        Takes   the columns, and user_id. Raises PropensityError on encoders that come from storage.
        """
        if any(isinstance(e, Levels) and e.how == "target" and e.held_out is None for e in self.encodings):
            raise PropensityError("stored target encoders keep nothing per fold; fit them again to encode their training rows")
        return self._apply(frame, out_of_fold=True)

    def _apply(self, frame: DataFrame, out_of_fold: bool) -> DataFrame:
        if not self.encodings:
            return frame
        self._check(frame.columns)
        found = levels.look_up(frame, (e for e in self.encodings if isinstance(e, Levels)), out_of_fold)
        made = [column for encoding in self.encodings for column in encoding.columns()]
        return found.select(*frame.columns, *(c.alias(f.name) for c, f in zip(made, self.features, strict=True)))

    def transform_values(self, values: Mapping[str, Values]) -> dict[str, Vector]:
        """What `transform` gives, from plain values per column (all of one length) and without Spark.

        None and NaN are missing. Raises MissingColumns as `transform` does.
        """
        self._check(values)
        made = [vector for encoding in self.encodings for vector in encoding.encode(values[encoding.column])]
        return {feature.name: vector for feature, vector in zip(self.features, made, strict=True)}

    def _check(self, found: Sequence[str] | Mapping[str, Values]) -> None:
        missing = {encoding.column for encoding in self.encodings} - set(found)
        if missing:
            raise MissingColumns("what is to be encoded", missing, found, "Give the columns that the encoders were fitted on.")

    def to_plain(self) -> dict[str, Any]:
        """The encoders as plain values, fit for JSON."""
        return {"format": FORMAT, "encoders": [_plain(encoding) for encoding in self.encodings]}

    @classmethod
    def from_plain(cls, parts: Mapping[str, Any]) -> "Fitted":
        """The encoders that `to_plain` gave. Raises PropensityError where another format was stored."""
        if parts.get("format") != FORMAT:
            raise PropensityError(f"stored encoders have format {parts.get('format')!r}, known is {FORMAT}; train again")
        return cls(tuple(_KINDS[each["kind"]](**{k: v for k, v in each.items() if k != "kind"}) for each in parts["encoders"]))


def _plain(encoding: Encoding) -> dict[str, Any]:
    kind = next(name for name, made in _KINDS.items() if isinstance(encoding, made))
    stored = {field.name: getattr(encoding, field.name) for field in fields(encoding) if field.compare}
    return {"kind": kind, **stored}


def fit(rows: DataFrame, declared: Sequence[EncoderConfig], dates: Sequence[date], seed: int) -> Fitted:
    """Learn the declared encoders from the labelled rows of the training dates; three aggregations at most.

    Takes   joined rows: as_of, user_id, label (0, 1 or null), weight, the declared columns.
    Raises  ConfigError naming a column that is absent or of a type that the encoder cannot take, or a name that is taken;
            InsufficientData where the dates have no labelled rows.
    The overall rate that target encodings shrink to is one for all dates. The result depends on the rows alone.
    """
    if not declared:
        return Fitted()
    _check_columns(rows, declared)
    train = rows.where(F.col("as_of").isin(list(dates)) & F.col("label").isNotNull())
    counted = [encoder for encoder in declared if encoder.how in LEVEL_ENCODERS]
    scaled = [encoder for encoder in declared if encoder.how in SCALERS]
    tables = dict(zip(counted, counting.count(train, counted, seed), strict=True))
    if not all(table.weight.any() for table in tables.values()) or (not tables and train.isEmpty()):
        raise InsufficientData(f"encoders: no labelled rows as of {', '.join(map(str, dates))} to learn from")
    quartiles = {encoder.column for encoder in scaled if scaling.needs_quartiles(encoder)}
    seen = summarise(train, list(dict.fromkeys(encoder.column for encoder in scaled)), quartiles)

    def learn(encoder: EncoderConfig) -> Encoding:
        if encoder in tables:
            return levels.fit(encoder, tables[encoder], seed)
        if encoder.how in SCALERS:
            return scaling.fit(encoder, seen[encoder.column])
        return Hashed(encoder.column, encoder.how, encoder.title, encoder.buckets, encoder.signed)

    fitted = Fitted(tuple(map(learn, declared)))
    _check_names(rows, fitted)
    return fitted


def _check_columns(rows: DataFrame, declared: Sequence[EncoderConfig]) -> None:
    types = {field.name: field.dataType.simpleString().split("(")[0] for field in rows.schema}
    for encoder in declared:
        where = f"encoders: {encoder.how} of {encoder.column}"
        if encoder.column not in types:
            raise ConfigError(f"{where}: there is no such column among those of a pair: {', '.join(sorted(types))}")
        fit_for = _NUMBERS if encoder.how in SCALERS else _TEXTS
        if types[encoder.column] not in fit_for:
            kind = "a number" if encoder.how in SCALERS else "text, a whole number, true or false, or a date"
            raise ConfigError(f"{where} needs {kind}, but the column is {types[encoder.column].upper()}; choose another encoder")


def _check_names(rows: DataFrame, fitted: Fitted) -> None:
    taken = set(rows.columns)
    for feature in fitted.features:
        if feature.name in taken:
            raise ConfigError(f"encoders: two columns would be called {feature.name}; give one of the encoders another `name`")
        taken.add(feature.name)
