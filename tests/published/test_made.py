"""Every table and figure of docs/published.md is made, on tiny models: `make published`, some minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.published.page import RESULTS, Section, sections

pytestmark = [pytest.mark.published, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("section", sections().values(), ids=lambda section: section.title)
def test_everything_is_made(section: Section, tmp_path: Path, cache: Path) -> None:
    results = tmp_path / "results"
    done(section.run.words, results, cache)
    missing = []
    for command in dict.fromkeys(row.command for row in section.made):
        done(command, results, cache)
        files = [row.file for row in section.made if row.command == command]
        # Each file is there after its own command, whatever the others leave.
        missing += [f"{' '.join(command)}: {file}" for file in files if not any(map(is_written, results.glob(file)))]
    assert missing == []


def is_written(path: Path) -> bool:
    """A table has a row under its header, a picture is no stub."""
    if path.suffix == ".csv":
        return len(path.read_text("utf-8").splitlines()) > 1
    return path.stat().st_size > 1000


def done(command: tuple[str, ...], results: Path, cache: Path) -> None:
    """Run a command of the page, as it stands there."""
    words = [str(results) if word == RESULTS else word.replace(f"{RESULTS}/", f"{results}/") for word in command]
    start = [sys.executable, "-m", "grid.cli"] if words[0] == "finegrid" else [sys.executable]
    environment = os.environ | {"FINEGRID_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(start + words[1:], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
