"""F26: what dead processes leave is swept or ignored, and what is not ours is left alone."""

from __future__ import annotations

import os

import pytest

from tests.faults.conftest import CleanDump
from tests.faults.harness import Grid, armed

pytestmark = pytest.mark.faults


def test_f26_leftovers_are_swept_and_cause_no_error(toy: Grid, clean_dump: CleanDump) -> None:
    killed = toy.run(env=armed("result.manifest_written"))
    assert killed.returncode == -9
    [stale] = toy.layout.temporary.iterdir()
    cell_id = next(row["cell_id"] for row in toy.attempts())
    half = toy.layout.cell(cell_id) / "1-1-00000000"
    half.mkdir(parents=True)
    (half / "result.json").write_text("{")
    foreign = toy.layout.temporary / "notes.tmp"
    foreign.mkdir()
    before_boot = toy.layout.temporary / stale.name.replace(stale.name.split("-")[2], "0" * 8)
    before_boot.mkdir()
    os.utime(before_boot, (0, 0))
    toy.layout.lock.write_text('{"host": "x"')
    (toy.folder / ".ballast.00000000.tmp").write_bytes(b"x")
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)
    assert [path.name for path in toy.layout.temporary.iterdir()] == ["notes.tmp"]
    assert not half.exists() and not list(toy.folder.glob(".*.tmp"))
    assert not toy.layout.ballast.exists()
