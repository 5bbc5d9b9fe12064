"""F17: a results folder that cannot be written: a run refuses before its first trial, reading goes on working."""

from __future__ import annotations

import pytest

from grid.store import schema
from tests.faults.conftest import MakeToy
from tests.faults.harness import armed
from tests.faults.places import in_own_mounts, mounted, remount

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("ended", ["closed", "killed"])
def test_f17_run_names_the_path_and_status_export_and_dump_work(
    make_toy: MakeToy, request: pytest.FixtureRequest, ended: str
) -> None:
    if not in_own_mounts(request):
        return
    toy = make_toy()
    disk = toy.folder
    with mounted(disk, "-t", "tmpfs", "-o", "size=400m", "tmpfs"):
        # A kill leaves the log beside the index; the last run below leaves one file.
        toy.run("--set", "axes.seed=[0]", env=armed("db.committed") if ended == "killed" else None)
        assert toy.layout.index.with_name("grid.db-wal").exists() is (ended == "killed")
        before = toy.dump()
        remount(disk, "ro")
        refused = toy.run()
        assert refused.returncode == 3, refused.stderr
        assert str(toy.folder) in refused.stderr and "Without Ray" not in refused.stderr
        status = toy.command("status", str(toy.folder), "--json")
        assert status.json["counts"]["done"] == 1
        out = toy.folder.parent / "cells.csv"
        assert toy.command("export", str(toy.folder), "--out", str(out)).returncode == 0
        assert out.read_text().count("\n") == 2
        assert toy.dump() == before and len(toy.rows(schema.results)) == 1
        assert toy.command("doctor", str(toy.folder)).returncode == 0
        remount(disk, "rw")
        toy.run_until_done(1)
