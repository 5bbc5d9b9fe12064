"""F24: a store is copied while a run goes on: `cp` of the index misses rows, `finegrid export` to .db does not."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import armed, wait_until

pytestmark = pytest.mark.faults


def num_done(index: Path) -> int:
    """Done cells that a copy holds."""
    connection = sqlite3.connect(index)
    try:
        return int(connection.execute("SELECT count(*) FROM cells WHERE state = 'done'").fetchone()[0])
    finally:
        connection.close()


def test_f24_export_copies_every_committed_row(make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path) -> None:
    toy = make_toy(seeds=(0, 1))
    running = toy.start(env=armed("finish.committed", "sleep=30"))
    wait_until(lambda: toy.count("done") == 2, what="the last cell")
    shutil.copy(toy.layout.index, tmp_path / "cp.db")
    copied = toy.command("export", str(toy.folder), "--out", str(tmp_path / "whole.db"))
    assert copied.returncode == 0, copied.stderr
    table = toy.command("export", str(toy.folder), "--out", str(tmp_path / "cells.json"))
    assert table.returncode == 0
    running.kill()
    running.wait()
    assert num_done(tmp_path / "cp.db") < 2, "a plain copy is what the documentation warns of"
    assert num_done(tmp_path / "whole.db") == 2
    assert not (tmp_path / "whole.db-wal").exists()
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)
