"""What processes hold is seen while they hold it, with their children's, and the peak stays."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from propensity_spark import memory, session

pytestmark = pytest.mark.skipif(memory.held(1) is None, reason="needs /proc")
MIB = memory.MIB


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


def test_a_process_may_have_any_bytes_as_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for process, stat in (("7", b"7 (a shop) S 1 7"), ("8", b"8 (caf\xe9 \xff) S 7 8"), ("9", b"9 (other) S 1 9")):
        (tmp_path / process).mkdir()
        (tmp_path / process / "stat").write_bytes(stat)
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    assert memory._family(7) == {7, 8}


def test_nothing_is_known_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    with memory.watched() as peak:
        pass
    assert (peak.bytes, peak.gib) == (None, None)


def test_a_container_has_what_it_may_take_of_its_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits = tmp_path / "v2", tmp_path / "v1"
    monkeypatch.setattr(memory, "_LIMITS", limits)
    machine = memory.of_machine()
    assert machine == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits[0].write_text("max\n")
    limits[1].write_text(f"{2**63 - 4096}\n")
    assert memory.of_machine() == machine
    limits[0].write_text(f"{300 * MIB}\n")
    assert memory.of_machine() == 300 * MIB
    monkeypatch.delattr(os, "sysconf")
    assert memory.of_machine() == 300 * MIB
    limits[0].unlink()
    limits[1].unlink()
    assert memory.of_machine() is None


@pytest.mark.parametrize(
    ("machine", "heap"), [(None, "2400m"), (4 * memory.GIB, "2400m"), (24 * memory.GIB, "6144m"), (256 * memory.GIB, "8192m")]
)
def test_the_jvm_takes_a_quarter_of_the_machine_within_bounds(machine: int | None, heap: str) -> None:
    assert session.heap(machine) == heap
