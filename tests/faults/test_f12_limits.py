"""F12: too few open files or processes allowed: a clear refusal before anything starts, exit 3."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys

import pytest

from tests.faults.harness import ROOT, Grid

pytestmark = pytest.mark.faults


def limited(grid: Grid, kind: int, count: int, *, as_user: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the grid through Ray in a process that has a hard limit."""
    command = [sys.executable, "-m", "tests.faults.driver", "run", str(grid.config), "--results", str(grid.folder)]
    prlimit = shutil.which("prlimit")
    assert prlimit is not None
    name = {resource.RLIMIT_NOFILE: "--nofile", resource.RLIMIT_NPROC: "--nproc"}[kind]
    return subprocess.run(
        [prlimit, f"{name}={count}:{count}", *command],
        cwd=ROOT,
        env=grid.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        user=as_user,
    )


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit (util-linux)")
def test_f12_few_open_files(toy: Grid) -> None:
    refused = limited(toy, resource.RLIMIT_NOFILE, 64)
    assert refused.returncode == 3, refused.stderr
    assert "may open 64 files" in refused.stderr and "ulimit -n" in refused.stderr
    assert not toy.folder.exists()


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit (util-linux)")
@pytest.mark.skipif(os.geteuid() == 0, reason="root is not limited in processes; tests/grid/test_limits.py checks it")
def test_f12_few_processes(toy: Grid) -> None:
    refused = limited(toy, resource.RLIMIT_NPROC, 400)
    assert refused.returncode == 3, refused.stderr
    assert "processes and threads" in refused.stderr and not toy.folder.exists()
