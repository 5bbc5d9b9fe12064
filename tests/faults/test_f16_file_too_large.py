"""F16: a limit on the size of files: the run stops in order and says so, and goes on once the limit is gone."""

from __future__ import annotations

import shutil
import sqlite3
import sys

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import Grid, Running

pytestmark = pytest.mark.faults

TRIAL_LIMIT_BYTES, INDEX_LIMIT_BYTES = 2_000, 120_000
"""Less than a result.json of the fake trial; less than the index and its log become."""


@pytest.mark.parametrize("limit_bytes", [TRIAL_LIMIT_BYTES, INDEX_LIMIT_BYTES])
def test_f16_sigxfsz_kills_nobody_and_the_run_can_be_resumed(
    make_toy: MakeToy, clean_dump: CleanDump, limit_bytes: int
) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit (util-linux) is not installed")
    toy = make_toy(seeds=tuple(range(40)))
    toy.run("--set", "axes.seed=[0]")  # the index exists, as on a machine that met the limit later
    limited = _run_limited(toy, limit_bytes)
    assert limited.returncode in (3, 5), limited.stderr
    told = limited.stdout + limited.stderr
    assert "File too large" in told or "disk I/O error" in told or "is full" in told
    assert "Traceback" not in told and "bug" not in told
    connection = sqlite3.connect(toy.layout.index)
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)


def _run_limited(toy: Grid, limit_bytes: int):
    driver = [sys.executable, "-m", "tests.faults.driver", "run", str(toy.config), "--results", str(toy.folder)]
    command = ["prlimit", f"--fsize={limit_bytes}", *driver, "--local"]
    return Running(command, toy.environment(), toy.folder.parent / "output").wait(120)
