"""Memory: what the machine has, what a process and its descendants hold, and the most that they held (Linux: from /proc)."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB, GIB = 1024**2, 1024**3
_PROC = Path("/proc")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # of a container
_EVERY = 0.2  # seconds between two looks


@dataclass(slots=True)
class Peak:
    """The most bytes seen so far; None where nobody can tell."""

    bytes: int | None = None

    @property
    def gib(self) -> float | None:
        """The same in GiB."""
        return None if self.bytes is None else self.bytes / GIB


def of_machine() -> int | None:
    """Bytes that this machine has, or its container may take. None where nobody can tell."""
    try:
        known = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, OSError, ValueError):  # not on this system
        known = []
    for limit in _LIMITS:
        try:
            known.append(int(limit.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(known, default=None)


def held(root: int) -> int | None:
    """Bytes resident in a process and all its descendants; what they share counts for each. None without /proc."""
    if not (_PROC / "self" / "statm").exists():
        return None
    return sum(map(_resident, _family(root)))


@contextmanager
def watched(root: int | None = None) -> Iterator[Peak]:
    """The peak of `root` (by default this process) and its descendants, looked at five times a second."""
    process, peak, done = root or os.getpid(), Peak(), threading.Event()

    def look() -> None:
        now = held(process)
        if now is not None:
            peak.bytes = max(peak.bytes or 0, now)

    def watch() -> None:
        while not done.wait(_EVERY):
            look()

    look()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _family(root: int) -> set[int]:
    parents = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1])
            except OSError:  # it has ended meanwhile
                continue
    family, size = {root}, 0
    while size != len(family):
        size = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    return family


def _resident(process: int) -> int:
    try:
        return int((_PROC / str(process) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
