"""Copies and journal: what is in no result folder outlives the local disk of the machine that recorded it."""

import shutil

import pytest

from grid.store import Store, copies, journal, peek
from jobs.errors import DiskFull, StoreBusy
from jobs.spec import FailureKind
from tests.grid.store.conftest import GRID, Bench


@pytest.fixture
def bench(network):
    bench = Bench(network[0])
    bench.begin()
    yield bench
    bench.store.close()


def lose_the_machine(bench, cache):
    """As after a crash: nothing was closed, and the local disk is gone."""
    bench.store._books._ownership.release()
    bench.store._books.engine.dispose()
    shutil.rmtree(cache)


def test_failures_and_pins_outlive_the_local_disk(bench, network):
    first, second, third = bench.cells
    bench.store.pin("model:owner/name", "0" * 40)
    bench.start(first)
    bench.store.fail(first.cell_id, 1, 1, FailureKind.DIVERGED, "loss is nan at step 7", "logs/1-pack-1.jsonl")
    bench.store.fail(third.cell_id, 0, 0, FailureKind.ENVIRONMENT, "gated")
    bench.publish(second, *bench.start(second))
    assert bench.layout.journal.read_text().count("\n") == 3
    lose_the_machine(bench, network[1])
    bench.store = Store.open(bench.root, grid=GRID)
    assert bench.store.claim("{}") == 2
    assert bench.store.ingest_all() == 1
    rows = bench.store.states()
    row = rows[first.cell_id]
    assert (str(row.state), str(row.kind), row.reason) == ("failed", "diverged", "loss is nan at step 7")
    assert (row.epoch, row.attempt, row.log) == (1, 1, "logs/1-pack-1.jsonl")
    assert bench.state(second) == "done" and bench.state(third) == "failed"
    assert bench.store.pins() == {"model:owner/name": "0" * 40}
    assert not bench.layout.journal.exists()


def test_the_epoch_never_goes_back(bench, network):
    lose_the_machine(bench, network[1])
    bench.begin()
    assert bench.store.epoch == 2


def test_another_machine_reads_the_copy(bench, network, monkeypatch, tmp_path):
    bench.finish(bench.cells[0])
    bench.store.finish_run(5)
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "elsewhere"))
    states, _ = peek(bench.root)
    assert str(states[bench.cells[0].cell_id].state) == "done"
    assert not (tmp_path / "elsewhere").exists(), "reading makes nothing"


def test_a_line_that_was_cut_off_does_not_count_and_does_not_swallow_the_next(bench, network, caplog):
    bench.store.pin("a:x", "1")
    with bench.layout.journal.open("ab") as file:
        file.write(b'{"event": "pinned", "name": "b')
    bench.store.pin("c:x", "3")
    lose_the_machine(bench, network[1])
    bench.begin()
    assert bench.store.pins() == {"a:x": "1", "c:x": "3"}
    assert "line 2 was cut off" in caplog.text


def test_replaying_twice_changes_nothing(bench):
    first = bench.cells[0]
    bench.start(first)
    bench.store.fail(first.cell_id, 1, 1, FailureKind.TRANSIENT, "worker died")
    bench.start(first)
    before = bench.store.states()
    for _ in range(2):
        content = journal.read(bench.layout.journal)
        assert bench.store._books.write(lambda connection, c=content: journal.replay(connection, c, "journal")) == 1
    assert bench.store.states() == before


def test_a_copy_is_made_from_time_to_time(bench, monkeypatch):
    before = bench.layout.index.read_bytes()
    bench.finish(bench.cells[0])
    assert bench.layout.index.read_bytes() == before
    monkeypatch.setattr(bench.store._copies, "_next_at", 0.0)
    bench.finish(bench.cells[1])
    assert bench.layout.index.read_bytes() != before


def test_a_copy_that_cannot_be_written_leaves_the_one_before(bench, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    before = bench.layout.index.read_bytes()
    monkeypatch.setattr("grid.store.copies._copy_synced", full)
    with pytest.raises(DiskFull, match="No space left"):
        bench.store.finish_run(0)
    assert bench.layout.index.read_bytes() == before
    assert list(bench.layout.temporary.iterdir()) == []


def test_a_writer_that_was_taken_over_changes_nothing(bench):
    (bench.layout.lease / "2").write_text("{}")
    before = bench.store.states()
    with pytest.raises(StoreBusy, match="was taken over"):
        bench.store.fail(bench.cells[0].cell_id, 0, 0, FailureKind.USER, "x")
    assert bench.store.states() == before and not bench.layout.journal.exists()


def test_a_copy_that_took_longer_than_the_lease_replaces_nothing(bench, monkeypatch):
    """The network stood still while the copy was written; meanwhile another host went on with the store."""
    theirs = bench.layout.root / "theirs.db"
    shutil.copyfile(bench.layout.index, theirs)

    def slow(source, target):
        copy_synced(source, target)
        (bench.layout.lease / "2").write_text("{}")
        shutil.copyfile(theirs, bench.layout.index)
        bench.layout.journal.write_text("what the other host recorded since its copy")

    copy_synced = copies._copy_synced
    monkeypatch.setattr(copies, "_copy_synced", slow)
    with pytest.raises(StoreBusy, match="was taken over"):
        bench.store.finish_run(0)
    assert bench.layout.index.read_bytes() == theirs.read_bytes()
    assert bench.layout.journal.exists()
