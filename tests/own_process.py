"""Tests that must not share a process with others: a file of cases, run by a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def passed_in_own_process(cases: Path, cache: Path, *, timeout_s: float = 280.0) -> int:
    """Run a file of cases.

    Args:
        cases: a file whose name pytest does not collect by itself.
        cache: FineGrid's, so that tiny members are not built once more.
        timeout_s: for all of them.
    Returns:
        how many passed.
    Raises:
        AssertionError: a case failed; with what pytest printed.
    """
    options = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=short", "-o", "addopts=--strict-markers"]
    command = [sys.executable, "-m", "pytest", *options, str(cases)]
    environment = {**os.environ, "FINEGRID_CACHE": str(cache)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return int(re.findall(r"(\d+) passed", done.stdout)[-1])
