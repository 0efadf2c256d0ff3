"""How late purchases are known: labels are complete that much later than their horizon ends."""

import math
from dataclasses import dataclass
from datetime import timedelta

_DAY = timedelta(days=1)
_BEARABLE = 0.01  # of a horizon's purchases unknown when it ends


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long after purchases they are known: on average, and at most for 95 of 100."""

    mean: timedelta = timedelta()
    most: timedelta = timedelta()

    def days(self, horizon: timedelta) -> int:
        """By how many days labels end before the moment at which they are learnt from: none where next to none would be lacking."""
        return math.ceil(self.most / _DAY) if self.mean > _BEARABLE * horizon else 0


AT_ONCE = Lateness()
