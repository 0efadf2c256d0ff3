"""A trained multilayer perceptron as arrays: what it says of rows, and its text. It needs numpy alone.

Its inputs are those of the linear families (see vectors.scaler), each beside a flag where its value is missing, standardised; then
an embedding per key, a row of numbers by bucket.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from propensity_spark.models.fast import Matrix
from propensity_spark.models.vectors import scaler

Floats = npt.NDArray[np.float32]
FAR = 10.0  # standard deviations from the mean: what lies beyond is taken to lie there


@dataclass(frozen=True, slots=True)
class Standard:
    """How raw inputs of these units become a network's: of the scaled ones and the flags those that vary, at `places`."""

    units: tuple[str, ...]
    places: npt.NDArray[np.int64]
    centre: Matrix
    spread: Matrix

    def __call__(self, matrix: Matrix) -> Floats:
        """The standardised inputs of a matrix, NaN where a value is missing."""
        off = (whole(matrix, self.units)[:, self.places] - self.centre) / self.spread
        return np.clip(off, -FAR, FAR).astype(np.float32)

    @classmethod
    def of(cls, units: tuple[str, ...], mean: Matrix, deviation: Matrix) -> "Standard":
        """From the mean and standard deviation of the columns of `whole`."""
        places = np.flatnonzero(deviation > 1e-9)
        return cls(units, places, mean[places], deviation[places])


def whole(matrix: Matrix, units: Sequence[str]) -> Matrix:
    """The scaled inputs, and then for each a flag that is 1 where its value is missing."""
    return np.column_stack([scaler(units)(matrix), np.isnan(matrix)])


@dataclass(frozen=True, slots=True)
class Perceptron:
    """`tables`: embeddings by key and bucket. `layers`: weights (from x to) and biases; between two, what is below 0 is 0."""

    standard: Standard
    tables: tuple[Floats, ...]
    layers: tuple[tuple[Floats, Floats], ...]

    def margin(self, matrix: Matrix) -> Matrix:
        """The logit of each row of a matrix of raw inputs and, after them, buckets."""
        return np.asarray(self._run(self._first(matrix))[-1][:, 0], dtype=np.float64)

    def uses(self, matrix: Matrix) -> Matrix:
        """By input and then by key, how much of it the margin uses: the mean absolute slope along a standardised input (and its
        flag), and how far an embedding moves the margin, by its slope."""
        first, inputs, width = self._first(matrix), len(self.standard.units), len(self.standard.places)
        slopes = self._slopes(first)
        found = np.zeros(inputs + len(self.tables))
        np.add.at(found, self.standard.places % inputs, np.abs(slopes[:, :width]).mean(axis=0, dtype=np.float64))
        moved = np.split((slopes * first)[:, width:], max(len(self.tables), 1), axis=1)
        for place in range(len(self.tables)):
            found[inputs + place] = np.abs(moved[place].sum(axis=1)).mean(dtype=np.float64)
        return found

    def _first(self, matrix: Matrix) -> Floats:
        inputs = len(self.standard.units)
        buckets = matrix[:, inputs:].astype(np.int64)
        embedded = [table[buckets[:, place]] for place, table in enumerate(self.tables)]
        return np.concatenate([self.standard(matrix[:, :inputs]), *embedded], axis=1)

    def _run(self, first: Floats) -> list[Floats]:
        """What each layer gives, the margin last."""
        made = [first]
        for place, (weights, bias) in enumerate(self.layers):
            made.append((np.maximum(made[-1], 0) if place else made[-1]) @ weights + bias)
        return made[1:]

    def _slopes(self, first: Floats) -> Floats:
        """The margin's derivative by each number of the first layer's input, row by row."""
        slopes = np.ones((len(first), 1), dtype=np.float32)
        before = self._run(first)[:-1]
        for place in range(len(self.layers) - 1, -1, -1):
            slopes = slopes @ self.layers[place][0].T
            if place:
                slopes = slopes * (before[place - 1] > 0)
        return slopes

    def to_text(self) -> str:
        """The network as text; of the embeddings only the buckets that are not 0."""
        standard = self.standard
        parts = {
            "units": standard.units,
            "places": standard.places.tolist(),
            "centre": standard.centre.tolist(),
            "spread": standard.spread.tolist(),
            "tables": [_sparse(table) for table in self.tables],
            "layers": [[_packed(weights), _packed(bias)] for weights, bias in self.layers],
        }
        return json.dumps(parts)

    @classmethod
    def from_text(cls, text: str) -> "Perceptron":
        """The network that `to_text` wrote."""
        parts = json.loads(text)
        centre, spread = np.array(parts["centre"], dtype=np.float64), np.array(parts["spread"], dtype=np.float64)
        standard = Standard(tuple(parts["units"]), np.array(parts["places"], dtype=np.int64), centre, spread)
        layers = tuple((_unpacked(weights), _unpacked(bias)) for weights, bias in parts["layers"])
        return cls(standard, tuple(map(_dense, parts["tables"])), layers)


def _packed(values: Floats) -> dict[str, Any]:
    data = base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")
    return {"shape": list(values.shape), "float32": data}


def _unpacked(parts: Mapping[str, Any]) -> Floats:
    values = np.frombuffer(base64.b64decode(parts["float32"]), dtype="<f4")
    return values.reshape(parts["shape"]).astype(np.float32)


def _sparse(table: Floats) -> dict[str, Any]:
    rows = np.flatnonzero(table.any(axis=1))
    return {"buckets": len(table), "rows": rows.tolist(), "values": _packed(table[rows])}


def _dense(parts: Mapping[str, Any]) -> Floats:
    values = _unpacked(parts["values"])
    table = np.zeros((parts["buckets"], values.shape[1]), dtype=np.float32)
    table[parts["rows"]] = values
    return table
