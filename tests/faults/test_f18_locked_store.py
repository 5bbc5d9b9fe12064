"""F18: another program holds the index: waited for up to a limit, then named; the published result is not lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import armed, wait_until

pytestmark = pytest.mark.faults

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


@contextmanager
def locked(index: Path, seconds: float) -> Iterator[int]:
    """Another program holds the index; its pid."""
    command = [sys.executable, "-c", HOLD, str(index), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        try:
            yield holder.pid
        finally:
            holder.kill()


@pytest.mark.parametrize(("held_s", "code"), [(4.0, 0), (120.0, 5)])
def test_f18_a_short_lock_is_waited_for_a_long_one_named(
    make_toy: MakeToy, clean_dump: CleanDump, held_s: float, code: int
) -> None:
    toy = make_toy()
    running = toy.start(env=armed("start.committed", "sleep=4"))
    wait_until(lambda: toy.count("running"), what="the first cell")
    with locked(toy.layout.index, held_s) as holder:
        finished = running.wait(150)
        assert finished.returncode == code, finished.stderr
        if code:
            assert f"process {holder}, python" in finished.stdout + finished.stderr
    published = len(toy.result_folders())
    assert published == (2 if code == 0 else 1)
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)
    assert len(toy.result_folders()) == 2
