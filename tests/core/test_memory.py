"""What processes hold is seen while they hold it, with their children's, and the peak stays."""

import os
import subprocess
import sys
import time

import pytest

from propensity_spark import memory

pytestmark = pytest.mark.skipif(memory.held(1) is None, reason="needs /proc")
MIB = 2**20


def test_the_peak_counts_what_a_child_held_for_a_while() -> None:
    child = "import time; held = bytearray(200 * 2**20); held[::4096] = b'x' * len(held[::4096]); time.sleep(0.7)"
    with memory.watched() as before:
        pass
    with memory.watched() as peak:
        subprocess.run([sys.executable, "-c", child], check=True, timeout=30)
    assert before.bytes is not None
    assert peak.bytes is not None
    assert 200 * MIB < peak.bytes - before.bytes < 300 * MIB
    assert peak.gib == pytest.approx(peak.bytes / 2**30)


def test_a_peak_outlives_what_made_it() -> None:
    with memory.watched() as peak:
        held = b"x" * (200 * MIB)
        time.sleep(0.5)
        del held
    now = memory.held(os.getpid())
    assert peak.bytes is not None
    assert now is not None
    assert peak.bytes - now > 150 * MIB


def test_nothing_is_known_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    with memory.watched() as peak:
        pass
    assert (peak.bytes, peak.gib) == (None, None)
