"""What doctor says of checkpoints, leftovers, leases and network folders, and what it mends."""

import json

import pytest

from grid.doctor import doctor
from jobs.checkpoints import CheckpointName, save_checkpoint
from jobs.errors import StoreBusy
from tests.grid.store.conftest import Bench, as_network
from tests.grid.store.test_lease import ELSEWHERE


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "results")
    bench.begin()
    bench.finish(bench.cells[0])
    yield bench
    bench.store.close()


def checkpoint(bench, spec, step):
    name = CheckpointName.new(1, 1, step)
    return save_checkpoint(bench.layout, spec.cell_id, name, {"state.bin": lambda path: path.write_bytes(b"state")})


def test_a_damaged_checkpoint_is_a_note_and_set_aside_on_request(bench):
    sound, damaged = checkpoint(bench, bench.cells[1], 1), checkpoint(bench, bench.cells[1], 2)
    (damaged / "state.bin").write_bytes(b"stale")
    bench.store.close()
    report = doctor(bench.root)
    assert report.is_healthy
    [note] = [note for note in report.notes if "checkpoint" in note]
    assert damaged.name in note and "passed over" in note
    mended = doctor(bench.root, rebuild_index=True)
    assert len(mended.set_aside) == 1 and damaged.name in mended.set_aside[0]
    assert sound.is_dir() and not damaged.exists()
    assert any("1 damaged checkpoints were set aside" in note for note in doctor(bench.root).notes)


def test_half_folders_and_temporary_files_go(bench):
    half = bench.layout.cell(bench.cells[1].cell_id) / "1-1-00000000"
    half.mkdir(parents=True)
    bench.store.close()
    assert any("has no manifest" in note for note in doctor(bench.root).notes)
    doctor(bench.root, rebuild_index=True)
    assert not half.exists()


def test_a_store_in_use_says_so_and_is_not_mended(bench):
    assert any(note.startswith("in use by process") for note in doctor(bench.root).notes)
    with pytest.raises(StoreBusy):
        doctor(bench.root, rebuild_index=True)


def test_a_log_that_was_taken_away_is_a_problem_until_the_index_is_made_anew(bench):
    bench.store._books.engine.dispose()
    bench.store._books._ownership.release()
    bench.layout.index.with_name("grid.db-shm").write_bytes(b"\0" * 32768)
    bench.layout.index.with_name("grid.db-wal").unlink(missing_ok=True)
    [problem] = doctor(bench.root).problems
    assert "its log grid.db-wal is gone" in problem
    assert doctor(bench.root, rebuild_index=True).is_healthy


def test_a_network_folder_names_its_index_and_a_lease_of_another_host(tmp_path, monkeypatch):

    root, cache = as_network(tmp_path, monkeypatch.setenv)
    bench = Bench(root)
    bench.begin()
    bench.finish(bench.cells[0])
    bench.store.finish_run(5)
    bench.store.close()
    record = {"holder": ELSEWHERE, "beat": 1, "released": False}
    (bench.layout.lease / "2").write_text(json.dumps(record))
    report = doctor(root)
    assert report.is_healthy
    assert any("lies on a network" in note and str(cache) in note for note in report.notes)
    assert any("in use by process 7 on elsewhere" in note for note in report.notes)
    assert doctor(root, rebuild_index=True).is_healthy, "taken over once it was silent for long enough"
