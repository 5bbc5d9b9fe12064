"""Taking in results: whole, once, fenced by attempt and epoch; damaged and foreign folders stay outside."""

import pytest

from jobs.spec import CellState, FailureKind
from jobs.storage import DamagedResult, publish
from tests.grid.store.conftest import BOTH, index_on, only_sqlite, query
from tests.jobs.samples import cell, result


@pytest.fixture(params=BOTH)
def index(request):
    """Every test of this file holds for both kinds of index."""
    return index_on(request)


def test_a_result_arrives_whole(bench):
    folder = bench.finish(bench.cells[0])
    row = bench.store.states()[bench.cells[0].cell_id]
    assert (row.state, row.epoch, row.attempt) == (CellState.DONE, 1, 1)
    assert query(bench.root, "SELECT folder, num_train, best_step, epochs, device, num_classes FROM results") == [
        (f"cells/{folder.parent.name}/{folder.name}", 100, 50, 5.0, "cpu", 2)
    ]
    metrics = query(bench.root, "SELECT split, name, label, value, undefined FROM metrics ORDER BY 1, 2, 3")
    assert metrics == [
        ("test", "accuracy", "", 0.75, None),
        ("test", "f1", "anger", 1 / 3, None),
        ("test", "f1", "joy", None, "class joy is not in the split"),
        ("test", "f1_macro", "", None, "class joy is not in the split"),
        ("validation", "loss", "", 0.1 + 0.2, None),
    ]
    assert query(bench.root, "SELECT state, host, pid, ended_at IS NOT NULL FROM attempts") == [
        ("done", "node-7", 4321, 1)
    ]


def test_ingest_is_idempotent(bench):
    folder = bench.finish(bench.cells[0])
    assert not bench.store.ingest(folder)
    assert bench.store.ingest_all() == 0
    assert query(bench.root, "SELECT count(*) FROM results") == [(1,)]


def test_the_folder_may_be_seen_under_another_mount_point(bench, tmp_path):
    folder = bench.publish(bench.cells[0], *bench.start(bench.cells[0]))
    elsewhere = tmp_path / "mnt"
    elsewhere.symlink_to(bench.root)
    assert bench.store.ingest(elsewhere / folder.relative_to(bench.root))


def test_a_result_of_an_older_attempt_is_refused_and_logged(bench, caplog):
    spec = bench.cells[0]
    bench.start(spec)
    bench.start(spec)
    assert not bench.store.ingest(bench.publish(spec, 1, 1))
    assert "attempt 2 was handed out after it" in caplog.text
    assert bench.state(spec) == "running"
    assert bench.store.ingest(bench.publish(spec, 1, 2))


def test_a_result_of_an_older_epoch_is_refused_once_a_newer_one_began(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.close()
    bench.begin()
    bench.start(spec)
    assert not bench.store.ingest(bench.publish(spec, 1, 1))
    assert bench.store.ingest_all() == 0


def test_a_result_found_before_a_newer_attempt_is_accepted(bench):
    """The driver died between the trial's publishing and its own ingest."""
    spec = bench.cells[0]
    folder = bench.publish(spec, *bench.start(spec))
    bench.store.close()
    bench.begin()
    assert bench.state(spec) == "interrupted"
    assert bench.store.ingest_all() == 1
    assert bench.state(spec) == "done"
    assert not bench.store.ingest(folder)


def test_a_complete_result_wins_over_the_report_of_its_failure(bench):
    spec = bench.cells[0]
    bench.publish(spec, *bench.start(spec))
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "worker died")
    assert bench.state(spec) == "done"
    assert query(bench.root, "SELECT state, kind FROM attempts") == [("done", None)]


def test_a_result_of_the_last_attempt_wins_over_its_recorded_failure(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "silent for 60 s")
    assert bench.store.ingest(bench.publish(spec, 1, 1))
    assert bench.state(spec) == "done"
    assert query(bench.root, "SELECT state, kind, reason FROM attempts") == [("done", None, None)]


def test_a_done_cell_ignores_failures_and_other_results(bench, caplog):
    spec = bench.cells[0]
    bench.finish(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.BUG, "too late")
    bench.store.interrupt(spec.cell_id, 1, 1)
    assert not bench.store.ingest(bench.publish(spec, 1, 2))
    assert bench.state(spec) == "done"
    assert query(bench.root, "SELECT state, kind FROM attempts") == [("done", None)]
    assert "refused, the cell is done" in caplog.text


def test_a_damaged_result_is_raised_and_nothing_is_stored(bench):
    spec = bench.cells[0]
    folder = bench.publish(spec, *bench.start(spec))
    (folder / "notes.txt").write_text("changed")
    with pytest.raises(DamagedResult, match=r"notes\.txt"):
        bench.store.ingest(folder)
    assert bench.state(spec) == "running"
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.ENVIRONMENT, "damaged")
    assert bench.state(spec) == "failed"


def test_ingest_all_passes_over_damaged_folders(bench, caplog):
    good, bad = bench.cells[:2]
    bench.publish(good, *bench.start(good))
    (bench.publish(bad, *bench.start(bad)) / "notes.txt").unlink()
    assert bench.store.ingest_all() == 1
    assert "doctor --rebuild" in caplog.text
    assert bench.state(bad) == "running"


def test_of_two_complete_results_the_later_attempt_counts(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.start(spec)
    bench.publish(spec, 1, 1, accuracy=0.1)
    bench.publish(spec, 1, 2, accuracy=0.2)
    assert bench.store.ingest_all() == 1
    assert query(bench.root, "SELECT value FROM metrics WHERE name = 'accuracy'") == [(0.2,)]


def test_results_of_another_grid_are_refused(bench, caplog):
    folder = publish(bench.layout, result(cell(8, grid="other")), {})
    assert not bench.store.ingest(folder)
    assert "'other'" in caplog.text


@only_sqlite
def test_a_lost_index_comes_back_from_the_folders(bench):
    bench.finish(bench.cells[0])
    bench.finish(bench.cells[1])
    bench.store.close()
    bench.layout.index.unlink()
    bench.cells = bench.cells[1:]
    bench.begin()
    assert bench.store.epoch == 2
    assert bench.store.ingest_all() == 2
    rows = bench.store.states()
    assert [(row.cell_id[-1], str(row.state), row.retired) for row in rows.values()] == [
        ("2", "done", False),
        ("3", "pending", False),
        ("1", "done", True),
    ]
