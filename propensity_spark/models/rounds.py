"""How LightGBM's native trees are grown: round after round, the last ones with thresholds drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rounds:
    """So many trees, of which the last `random_share` draw the threshold of each split at random."""

    number: int
    random_share: float = 0.0

    def train(self, parameters: Mapping[str, Any], data: Any, callbacks: Sequence[Any] = (), **more: Any) -> Any:
        """A booster of the data; see lightgbm.train for what more it takes."""
        import lightgbm

        exact, drawn = self.number - round(self.number * self.random_share), []
        if exact < self.number:
            drawn = [lightgbm.reset_parameter(extra_trees=[place >= exact for place in range(self.number)])]
        # Said from the start, else the first round sets it, and draws its rows anew.
        settings = {**parameters, "extra_trees": False}
        return lightgbm.train(settings, data, self.number, callbacks=[*drawn, *callbacks], **more)
