"""The harness itself: its oracle sees differences, its search finds what a test left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.conftest import CleanDump
from tests.faults.harness import Grid, armed, end, marked_processes


def test_an_undisturbed_toy_equals_its_clean_dump_and_a_failpoint_kills(toy: Grid, clean_dump: CleanDump) -> None:
    killed = toy.run(env=armed("db.inserted"))
    assert killed.returncode == -9
    assert toy.count("done") == 0 and toy.dump() != clean_dump(toy)
    toy.run_until_done()
    assert toy.dump() == clean_dump(toy)


def test_the_mark_finds_a_process_and_its_orphans(no_leftovers: str) -> None:
    code = "import subprocess as s; print(s.Popen(['sleep', '60'], stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
    orphan = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    found = marked_processes(no_leftovers)
    end(found)
    assert [process.pid for process in found] == [orphan]


@pytest.mark.faults
def test_real_cells_are_trained_and_repeat_bit_by_bit(tiny: Grid, clean_dump: CleanDump) -> None:
    finished = tiny.run()
    assert finished.returncode == 0, finished.stderr
    assert tiny.dump() == clean_dump(tiny)
