"""How a network learns: epochs of mini-batches, until the loss of the validation rows no longer falls.

It imports torch, which only a fit needs: it is imported where one runs. The same code learns in one process and in several that
share the rows (torch.distributed): their gradients are averaged, and sums over the rows are over all of them.
"""

import json
import math
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.distributed as peers
from torch.nn.functional import binary_cross_entropy_with_logits

from propensity_spark.config import NetworkConfig
from propensity_spark.models.fast import Matrix
from propensity_spark.models.handover import Plan, Rows
from propensity_spark.models.perceptron import Perceptron, Standard, whole

_CHUNK = 65_536  # rows that are scaled, or judged, at once
_ROUNDING = 1e-4
_LOOKED_AT = 20_000  # rows that tell what the network uses, at most


class Net(torch.nn.Module):  # type: ignore[misc]
    """Embeddings beside the dense inputs, hidden layers, and the margin."""

    def __init__(self, width: int, buckets: Iterable[int], settings: NetworkConfig, begin: float) -> None:
        super().__init__()
        size, keys = settings.embeddings.size, list(buckets)
        tables = [torch.nn.Embedding(count + 1, size, padding_idx=0) for count in keys]  # no key: stays 0
        self.tables, self.hide = torch.nn.ModuleList(tables), settings.embeddings.hidden
        for table in self.tables:
            torch.nn.init.zeros_(table.weight)
        widths = [width + size * len(keys), *settings.layers, 1]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(before, after) for before, after in pairwise(widths))
        torch.nn.init.constant_(self.layers[-1].bias, begin)
        self.dropout = torch.nn.Dropout(settings.dropout)

    def forward(self, dense: Any, buckets: Any) -> Any:
        """The margins."""
        if self.training and self.hide:
            buckets = buckets * (torch.rand(buckets.shape) >= self.hide)
        given = torch.cat([dense, *(table(buckets[:, place]) for place, table in enumerate(self.tables))], dim=1)
        for layer in self.layers[:-1]:
            given = self.dropout(torch.relu(layer(given)))
        return self.layers[-1](given)[:, 0]


@dataclass(frozen=True, slots=True)
class Batches:
    """Rows as tensors."""

    dense: Any
    buckets: Any
    target: Any
    counts: Any

    def __len__(self) -> int:
        return len(self.target)

    def at(self, places: Any) -> "Batches":
        """The rows at these places."""
        return Batches(self.dense[places], self.buckets[places], self.target[places], self.counts[places])

    def loss(self, net: Any) -> tuple[Any, Any]:
        """The sum of the rows' losses, and what they count together."""
        each = binary_cross_entropy_with_logits(net(self.dense, self.buckets), self.target, reduction="none")
        return (each * self.counts).sum(), self.counts.sum()


@dataclass(slots=True)
class Best:
    """The network of the epoch with the least loss, and the losses of all."""

    state: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)


def learn(rows: Rows, plan: Plan) -> str:
    """The network, what it uses and its losses by epoch as JSON; or the `problem` for which there is none."""
    torch.set_num_threads(plan.threads)
    learnt, held = rows.where(~rows.held), rows.where(rows.held)
    bought, count = _over_all([learnt.counts @ learnt.target, learnt.counts.sum()])
    if not _range(len(learnt))[0]:
        return _problem("a worker has no rows to learn from. Bring more rows, or set models.network.workers lower.")
    if not 0 < bought < count:
        return _problem("the rows to learn from are all bought, or all not. Bring more rows.")
    standard = _standard(learnt, plan)
    torch.manual_seed(plan.seed)
    net = Net(len(standard.places), plan.buckets, plan.settings, math.log(bought / (count - bought)))
    best = _epochs(net, _batches(learnt, standard), _batches(held, standard), plan)
    if not math.isfinite(sum(best.train + best.validation)):
        return _problem("the loss grew beyond all bounds. Set models.network.learning_rate lower.")
    net.load_state_dict(best.state)
    if _drifted(net):
        return _problem("the workers learnt apart from one another. Set models.network.workers: 1, or try again.")
    return _told(_as_arrays(net, standard), best, held if len(held) else learnt)


def _problem(what: str) -> str:
    return json.dumps({"problem": what})


def _workers() -> int:
    return int(peers.get_world_size()) if peers.is_initialized() else 1


def _over_all(values: Any, how: Any = None) -> Matrix:
    """The sums of numbers over all workers."""
    total = torch.as_tensor(np.asarray(values, dtype=np.float64))
    if peers.is_initialized():
        peers.all_reduce(total, op=how or peers.ReduceOp.SUM)
    return np.asarray(total.numpy(), dtype=np.float64)


def _range(value: float) -> tuple[float, float]:
    """The least and the most of a number among all workers."""
    return float(_over_all([value], peers.ReduceOp.MIN)[0]), float(_over_all([value], peers.ReduceOp.MAX)[0])


def _drifted(net: Net) -> bool:
    """Whether the workers' networks are others than rounding may make them."""
    least, most = _range(float(sum(weights.detach().double().abs().sum() for weights in net.parameters())))
    return most - least > _ROUNDING * most


def _standard(learnt: Rows, plan: Plan) -> Standard:
    """Mean 0 and standard deviation 1 of all workers' rows."""
    count = _over_all([len(learnt)])[0]
    zero = np.zeros(2 * len(plan.units))
    mean = _over_all(sum((part.sum(axis=0) for part in _parts(learnt, plan)), zero)) / count
    squares = _over_all(sum((((part - mean) ** 2).sum(axis=0) for part in _parts(learnt, plan)), zero)) / count
    return Standard.of(plan.units, mean, np.sqrt(squares))


def _parts(rows: Rows, plan: Plan) -> Iterator[Matrix]:
    for start in range(0, len(rows), _CHUNK):
        yield whole(rows.numbers[start : start + _CHUNK].astype(np.float64), plan.units)


def _batches(rows: Rows, standard: Standard) -> Batches:
    made = [standard(rows.numbers[start : start + _CHUNK].astype(np.float64)) for start in range(0, len(rows), _CHUNK)]
    dense = np.concatenate(made) if made else np.zeros((0, len(standard.places)), dtype=np.float32)
    return Batches(*map(torch.from_numpy, (dense, rows.buckets, rows.target, rows.counts)))


def _epochs(net: Net, learnt: Batches, held: Batches, plan: Plan) -> Best:
    settings, best = plan.settings, Best()
    workers, rank = _workers(), peers.get_rank() if peers.is_initialized() else 0
    shared = torch.nn.parallel.DistributedDataParallel(net) if workers > 1 else net
    optimiser, validated = _optimiser(net, settings), bool(_over_all([len(held)])[0])
    torch.manual_seed(plan.seed + rank)  # each its own order, and its own dropout
    rows = max(settings.batch_rows // workers, 1)
    steps = int(_range(-(-len(learnt) // rows))[1])
    for epoch in range(settings.epochs):
        best.train.append(_epoch(shared, optimiser, learnt, rows, steps))
        if validated:
            best.validation.append(_loss(net, held))
        losses = best.validation or [0.0]  # nothing to compare: the latest is best
        if losses[-1] < min(losses[:-1], default=math.inf):
            best.state, best.epoch = deepcopy(net.state_dict()), epoch
        if not math.isfinite(best.train[-1] + losses[-1]) or epoch - best.epoch >= settings.patience:
            break
    return best


def _optimiser(net: Net, settings: NetworkConfig) -> Any:
    """AdamW; biases do not decay, and embeddings have a decay of their own."""
    weights = [layer.weight for layer in net.layers]
    biases = [layer.bias for layer in net.layers]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    if len(net.tables):
        groups.append({"params": list(net.tables.parameters()), "weight_decay": settings.embeddings.weight_decay})
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _epoch(net: Any, optimiser: Any, learnt: Batches, rows: int, steps: int) -> float:
    """One pass over the rows in random order; who has fewer than others begins anew. Returns the mean loss of the batches' rows."""
    net.train()
    order = torch.randperm(len(learnt)).repeat(-(-steps * rows // len(learnt)))
    sums = np.zeros(2)
    for step in range(steps):
        places = order[step * rows : (step + 1) * rows]
        total, count = learnt.at(places).loss(net)
        optimiser.zero_grad()
        (total / count).backward()
        optimiser.step()
        sums += (float(total.detach()), float(count))
    total, count = _over_all(sums)
    return float(total / count)


def _loss(net: Net, held: Batches) -> float:
    """The mean loss of all workers' rows, nothing dropped."""
    net.eval()
    sums = np.zeros(2)
    with torch.no_grad():
        for start in range(0, len(held), _CHUNK):
            sums += [float(value) for value in held.at(slice(start, start + _CHUNK)).loss(net)]
    total, count = _over_all(sums)
    return float(total / count)


def _as_arrays(net: Net, standard: Standard) -> Perceptron:
    tables = tuple(table.weight.detach().numpy() for table in net.tables)
    layers = tuple((layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy()) for layer in net.layers)
    return Perceptron(standard, tables, layers)


def _told(network: Perceptron, best: Best, rows: Rows) -> str:
    some = rows.where(slice(None, None, -(-len(rows) // _LOOKED_AT)))
    curves = {"train": best.train, "validation": best.validation}
    parts = {
        "network": network.to_text(),
        "uses": network.uses(np.column_stack([some.numbers, some.buckets]).astype(np.float64)).tolist(),
        "best": best.epoch + 1,
        "curves": {name: losses for name, losses in curves.items() if losses},
    }
    return json.dumps(parts)
