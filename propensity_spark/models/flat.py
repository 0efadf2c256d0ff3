"""Spark ML's tree ensembles as flat arrays, walked by numpy for a whole batch at once."""

import json
from dataclasses import asdict, dataclass

import numpy as np

from propensity_spark.models.fast import Matrix

_CHUNK = 4096  # rows walked at a time: what all trees hold of them fits a cache


@dataclass(frozen=True, slots=True)
class Trees:
    """Nodes of all trees, one after another: a row goes left where its `feature` is at most `threshold`; a leaf leads to itself.

    `roots` are where the trees begin, `weights` what each counts, `depth` the most steps to a leaf.
    """

    feature: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]
    value: list[float]
    roots: list[int]
    weights: list[float]
    depth: int

    def to_json(self) -> str:
        """The trees as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Trees":
        """The trees that `to_json` wrote."""
        return cls(**json.loads(text))


def from_text(text: str, weights: list[float]) -> Trees:
    """The trees of an ensemble's toDebugString, which tells every number in full.

    A line is `Tree ...`, `If (feature 3 <= 0.5)`, then what lies left, `Else ...`, then what lies right, or `Predict: 0.25`.
    """
    nodes: list[list[float]] = []  # feature, threshold, left, right, value
    roots, opened, depths = list[int](), dict[int, int](), list[int]()
    waiting: tuple[int, int] | None = None  # the node, and which of its sides, that the next node belongs to
    for line in text.splitlines()[1:]:
        words, indent, place = line.split(), len(line) - len(line.lstrip()), len(nodes)
        if words[0] == "Else":
            waiting = (opened[indent], 3)
            continue
        if words[0] == "Tree":
            roots.append(place)
            waiting = None
            continue
        depths.append(depths[waiting[0]] + 1 if waiting else 0)
        if waiting:
            nodes[waiting[0]][waiting[1]] = place
        if words[0] == "If":
            nodes.append([int(words[2]), float(words[4].rstrip(")")), place, place, 0.0])
            opened[indent], waiting = place, (place, 2)
        else:
            nodes.append([0, 0.0, place, place, float(words[1])])
    feature, threshold, left, right, value = (list(column) for column in zip(*nodes, strict=True))
    whole = [[int(number) for number in column] for column in (feature, left, right)]
    return Trees(whole[0], threshold, whole[1], whole[2], value, roots, weights, max(depths))


class Walk:
    """The trees as arrays: called with a matrix without missing values, the weighted sum of each row's leaves."""

    def __init__(self, trees: Trees) -> None:
        self.feature, self.left, self.right, self.roots = map(np.array, (trees.feature, trees.left, trees.right, trees.roots))
        self.threshold, self.value, self.weights = map(np.array, (trees.threshold, trees.value, trees.weights))
        self.depth = trees.depth

    def __call__(self, matrix: Matrix) -> Matrix:
        """Row by row, for all trees side by side."""
        parts = [self._leaves(matrix[begin : begin + _CHUNK]) for begin in range(0, len(matrix), _CHUNK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _leaves(self, matrix: Matrix) -> Matrix:
        rows = np.arange(len(matrix))[:, None]
        at = np.broadcast_to(self.roots, (len(matrix), len(self.roots)))
        for _ in range(self.depth):
            at = np.where(matrix[rows, self.feature[at]] <= self.threshold[at], self.left[at], self.right[at])
        return np.asarray(self.value[at] @ self.weights, dtype=np.float64)
