"""A new index from the result folders, with or without an old one."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from grid.store import Store, schema
from grid.store.canonical import canonical_dump
from grid.store.rebuild import rebuild
from grid.store.rows import CellRow
from grid.store.schema import open_read_only
from jobs.errors import StoreBusy, UserError
from jobs.spec import DataSpec, FailureKind, ModelSpec
from jobs.storage import publish
from tests.grid.store.conftest import GRID
from tests.jobs.samples import cell, result


@pytest.fixture
def worked(bench):
    """One done, one failed, one pending cell; closed."""
    bench.finish(bench.cells[0])
    bench.start(bench.cells[1])
    bench.store.fail(bench.cells[1].cell_id, 1, 1, FailureKind.DIVERGED, "loss is nan")
    bench.store.pin("model:a/b", "abc")
    bench.store.close()
    return bench


def damage(index):
    data = bytearray(index.read_bytes())
    data[100:4096] = b"\xa5" * 3996
    index.write_bytes(data)


def states(root):
    with Store.open(root, grid=GRID) as store:
        return {row.cell_id[-1]: str(row.state) for row in store.states().values()}


def test_a_sound_store_stays_the_same(worked):
    before = canonical_dump(worked.root)
    report = rebuild(worked.root)
    assert canonical_dump(worked.root) == before
    assert (report.num_results, report.num_other_cells, report.quarantined, report.lost) == (1, 2, (), ())
    assert (worked.root / report.backup).is_file()


def test_runs_and_attempts_are_carried_over(worked):
    rebuild(worked.root)
    with Store.open(worked.root, grid=GRID) as store:
        assert store.claim("{}") == 2
        row = store.states()[worked.cells[1].cell_id]
    assert isinstance(row, CellRow)
    assert (row.kind, row.reason, row.epoch, row.attempt) == (FailureKind.DIVERGED, "loss is nan", 1, 1)


def test_an_unreadable_index_is_made_again_from_the_folders(worked):
    damage(worked.layout.index)
    report = rebuild(worked.root)
    assert report.num_results == 1
    assert report.lost
    assert states(worked.root) == {"1": "done"}
    worked.begin()
    assert worked.state(worked.cells[0]) == "done"
    worked.store.close()


@pytest.mark.parametrize(
    "change",
    [
        "state = 'fbiled'",
        "retired = 7",
        "retired = 'x'",
        "attempt = 'x'",
        "epoch = 'x'",
        "kind = NULL",
        "title = CAST(X'ff616263' AS TEXT)",
        "reason = X'ff'",
    ],
)
def test_a_row_that_makes_no_sense_costs_itself_alone(worked, change):
    """A flipped byte inside a value leaves the structure whole: SQLite's own check says ok."""
    done, failed, pending = worked.cells
    spoil(worked.layout.index, f"UPDATE cells SET {change} WHERE cell_id = '{failed.cell_id}'")
    report = rebuild(worked.root)
    assert report.num_results == 1
    found = states(worked.root)
    assert found["1"] == "done" and found["3"] == "pending", (report.lost, pending)
    # Either the row came over as far as it could be read, or its loss is named.
    assert found.get("2") == "failed" or any("row of cells" in line for line in report.lost)
    worked.begin()
    assert worked.state(failed) in ("failed", "pending")
    assert worked.state(done) == "done"
    worked.finish(failed)
    worked.store.close()


def spoil(index, statement):
    """Write what no program of ours would, as damage does: with the checks off."""
    connection = sqlite3.connect(index)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_when_an_attempt_ended_stays_known(worked):
    """Hours of devices are counted from it."""

    def ends():
        engine = open_read_only(worked.root)
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(sa.select(schema.attempts.c.ended_at))]
        finally:
            engine.dispose()

    before = ends()
    time.sleep(0.01)
    rebuild(worked.root)
    assert ends() == before


def test_a_missing_index_is_made_from_the_folders(worked):
    worked.layout.index.unlink()
    report = rebuild(worked.root)
    assert (report.num_results, report.backup) == (1, None)
    assert states(worked.root) == {"1": "done"}


def test_damaged_folders_are_set_aside_and_their_cells_run_again(worked):
    [folder] = (worked.layout.cells / worked.cells[0].cell_id).iterdir()
    (folder / "notes.txt").write_text("changed")
    report = rebuild(worked.root)
    assert len(report.quarantined) == 1
    assert "notes.txt" in report.quarantined[0]
    assert (worked.layout.quarantine / folder.parent.name / folder.name / "notes.txt").read_text() == "changed"
    assert not folder.exists()
    assert states(worked.root) == {"1": "pending", "2": "failed", "3": "pending"}
    worked.begin()
    worked.finish(worked.cells[0])


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("result.json", "version", 2),
        ("result.json", "carbon", 1),
        ("result.json", "metrics", None),
        ("manifest.json", "version", 2),
    ],
)
def test_what_a_newer_finegrid_wrote_is_no_damage(worked, name, field, value):
    """Its bytes are what its manifest says: it is left alone, and the way on is named."""
    [folder] = (worked.layout.cells / worked.cells[0].cell_id).iterdir()
    data = json.loads((folder / name).read_text())
    text = json.dumps(data | {field: value}).encode()
    (folder / name).write_bytes(text)
    if name == "result.json":
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"][name] = {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    before = worked.layout.index.read_bytes()
    with pytest.raises(UserError, match="update FineGrid"):
        rebuild(worked.root)
    assert folder.is_dir() and worked.layout.index.read_bytes() == before
    assert not worked.layout.quarantine.exists()


def test_fenced_results_stay_fenced(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.start(spec)
    bench.publish(spec, 1, 1, accuracy=0.1)
    bench.store.close()
    assert rebuild(bench.root).num_results == 0
    assert states(bench.root)["1"] == "running"


@pytest.mark.parametrize("which", [0, -1])
def test_of_two_results_of_one_attempt_the_one_in_the_index_stays(bench, which):
    """A batch system may start the task of a pack a second time while the first still runs."""

    def in_index():
        engine = open_read_only(bench.root)
        try:
            with engine.connect() as connection:
                return connection.execute(sa.select(schema.results.c.folder)).scalar_one()
        finally:
            engine.dispose()

    spec = bench.cells[0]
    key = bench.start(spec)
    folders = sorted(bench.publish(spec, *key, accuracy=accuracy) for accuracy in (0.1, 0.2, 0.3))
    assert bench.store.ingest(folders[which])
    bench.store.close()
    before, content = in_index(), canonical_dump(bench.root)
    rebuild(bench.root)
    assert in_index() == before and canonical_dump(bench.root) == content
    # Without any index, the same one as a run would take in.
    bench.layout.index.unlink()
    rebuild(bench.root)
    assert in_index() == bench.layout.relative(folders[-1])


def test_pins_come_back_from_the_results(bench):
    model = ModelSpec(name="bert", source="hub", location="owner/bert", revision="abc")
    data = DataSpec(source="hub", id="owner/data", revision="def", num_labels=2, num_samples=100)
    bench.cells = [cell(1, model=model, data=data)]
    bench.store.declare(bench.cells)
    bench.finish(bench.cells[0])
    bench.store.close()
    bench.layout.index.unlink()
    rebuild(bench.root)
    with Store.open(bench.root, grid=GRID) as store:
        assert store.pins() == {"model:owner/bert": "abc", "dataset:owner/data": "def"}


def test_a_store_in_use_is_left_alone(bench):
    before = bench.layout.index.read_bytes()
    with pytest.raises(StoreBusy):
        rebuild(bench.root)
    assert bench.layout.index.read_bytes() == before


def test_nothing_to_rebuild_from(tmp_path):
    with pytest.raises(UserError, match="not a results folder"):
        rebuild(tmp_path)
    (tmp_path / "cells").mkdir()
    with pytest.raises(UserError, match="no result folder that can be read"):
        rebuild(tmp_path)
    assert not (tmp_path / "grid.db").exists()


def test_results_of_two_grids_are_refused(bench):
    bench.finish(bench.cells[0])
    bench.store.close()
    publish(bench.layout, result(cell(8, grid="other")), {})
    bench.layout.index.unlink()
    with pytest.raises(UserError, match=r"several grids \(other, sample\)"):
        rebuild(bench.root)


def test_a_crashed_drivers_side_file_is_kept_with_the_old_index(worked):
    """Committed rows may stand only in the write-ahead log."""
    script = (
        "import os, signal, sys; from pathlib import Path; from tests.grid.store.conftest import Bench;"
        "bench = Bench(Path(sys.argv[1])); bench.begin(); bench.finish(bench.cells[2]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", script, str(worked.root)]
    ended = subprocess.run(command, env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (worked.root / "grid.db-wal").stat().st_size > 0
    report = rebuild(worked.root)
    assert report.num_results == 2
    assert not (worked.root / "grid.db-wal").exists()
    assert (worked.root / f"{report.backup}-wal").exists()
    assert states(worked.root) == {"1": "done", "2": "failed", "3": "done"}


def test_killed_before_the_swap_it_can_be_repeated(worked):
    # What the last run knew stands in the log of a crashed driver alone.
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.grid.store.conftest import Bench;"
        "from jobs.spec import FailureKind; bench = Bench(Path(sys.argv[1])); bench.begin();"
        "bench.store.fail(bench.cells[2].cell_id, *bench.start(bench.cells[2]), FailureKind.USER, 'no such column');"
        "bench.store.pin('model:c/d', 'def'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", code, str(worked.root)], env=environment, timeout=60, check=False)
    before = canonical_dump(worked.root)
    assert '"model:c/d": "def"' in before
    code = "import sys; from pathlib import Path; from grid.store.rebuild import rebuild; rebuild(Path(sys.argv[1]))"
    environment = {**os.environ, "FINEGRID_FAILPOINTS": "1", "GRID_FAILPOINT": "rebuild.before_rename"}
    command = [sys.executable, "-c", code, str(worked.root)]
    ended = subprocess.run(command, env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert canonical_dump(worked.root) == before
    rebuild(worked.root)
    assert canonical_dump(worked.root) == before
