"""What a person sees while it works: the stage, rows in and out, the time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stage:
    """What one stage says when it is done."""

    rows_in: int | None = None
    rows_out: int | None = None
    note: str = ""


@dataclass(slots=True)
class Progress:
    """Prints a line a stage to standard error, and remembers the seconds of each."""

    quiet: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time a stage; the caller fills in rows and a note."""
        stage, began = Stage(), time.monotonic()
        yield stage
        took = time.monotonic() - began
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        self.say(f"  {name:<22}{_rows(stage):>24}  {took:6.1f} s  {stage.note}".rstrip())

    def say(self, line: str) -> None:
        """Print a line, unless quiet."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    @property
    def total(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started


def _rows(stage: Stage) -> str:
    if stage.rows_in is None:
        return f"{stage.rows_out:,} rows" if stage.rows_out is not None else ""
    return f"{stage.rows_in:,} -> {stage.rows_out or 0:,} rows"
