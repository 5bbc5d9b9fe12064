"""Attempts: handed out in order, taken back with a reason, never twice, and never after the cell is done."""

import pytest

from grid.store.states import IllegalStep
from jobs.errors import BugError
from jobs.spec import CellState, FailureKind, PackedCell
from tests.grid.store.conftest import BOTH, index_on, query
from tests.jobs.samples import cell


@pytest.fixture(params=BOTH)
def index(request):
    """Every test of this file holds for both kinds of index."""
    return index_on(request)


def test_attempts_count_within_the_epoch(bench):
    spec = bench.cells[0]
    assert bench.start(spec) == (1, 1)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "worker died")
    assert bench.start(spec) == (1, 2)
    bench.store.close()
    bench.begin()
    assert bench.start(spec) == (2, 1)
    found = query(bench.root, "SELECT epoch, attempt, state, kind, pack_id, log FROM attempts ORDER BY 1, 2")
    assert found == [
        (1, 1, "failed", "transient", "pack-1", "logs/1-pack-1.jsonl"),
        (1, 2, "interrupted", None, "pack-1", "logs/1-pack-1.jsonl"),
        (2, 1, "running", None, "pack-1", "logs/2-pack-1.jsonl"),
    ]


def test_a_failure_has_kind_reason_and_log_and_stays_on_one_line(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.DIVERGED, "loss is nan\n2025 done\x1b[2J", "logs/1-pack-1.jsonl")
    row = bench.store.states()[spec.cell_id]
    assert (row.state, row.kind, row.log) == (CellState.FAILED, FailureKind.DIVERGED, "logs/1-pack-1.jsonl")
    assert row.reason == "loss is nan 2025 done [2J"


def test_starting_again_clears_the_failure(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "worker died")
    bench.start(spec)
    row = bench.store.states()[spec.cell_id]
    assert (row.state, row.kind, row.reason, row.attempt) == (CellState.RUNNING, None, None, 2)


def test_preflight_fails_a_cell_that_never_started(bench):
    spec = bench.cells[0]
    bench.store.fail(spec.cell_id, 0, 0, FailureKind.ENVIRONMENT, "gated")
    assert bench.state(spec) == "failed"
    assert query(bench.root, "SELECT count(*) FROM attempts") == [(0,)]
    assert bench.start(spec) == (1, 1)


def test_an_interrupted_cell_says_so(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.interrupt(spec.cell_id, 1, 1)
    bench.store.interrupt(spec.cell_id, 1, 1)
    assert bench.state(spec) == "interrupted"


def test_a_late_report_changes_only_its_own_attempt(bench, caplog):
    spec = bench.cells[0]
    bench.start(spec)
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "timeout")
    assert bench.state(spec) == "running"
    assert "late report" in caplog.text
    assert query(bench.root, "SELECT attempt, state FROM attempts ORDER BY 1") == [(1, "failed"), (2, "running")]


@pytest.mark.parametrize("attempt", [1, 0])
def test_an_attempt_that_is_not_newer_is_a_bug(bench, attempt):
    spec = bench.cells[0]
    bench.start(spec)
    with pytest.raises(BugError, match="cannot follow"):
        bench.store.start([PackedCell(cell=spec, epoch=1, attempt=attempt)], "p", "l")


def test_another_epoch_or_an_unknown_cell_is_a_bug_and_nothing_is_started(bench):
    good = PackedCell(cell=bench.cells[0], epoch=1, attempt=1)
    for wrong in (PackedCell(cell=bench.cells[1], epoch=2, attempt=1), PackedCell(cell=cell(9), epoch=1, attempt=1)):
        with pytest.raises(BugError):
            bench.store.start([good, wrong], "p", "l")
    assert bench.state(bench.cells[0]) == "pending"
    assert query(bench.root, "SELECT count(*) FROM attempts") == [(0,)]


def test_a_done_cell_is_never_started_again(bench):
    spec = bench.cells[0]
    bench.finish(spec)
    with pytest.raises(IllegalStep, match="done cannot become running"):
        bench.start(spec)


def test_what_an_earlier_run_left_running_is_interrupted(bench):
    bench.start(bench.cells[0])
    bench.finish(bench.cells[1])
    bench.store.close()
    bench.begin()
    row = bench.store.states()[bench.cells[0].cell_id]
    assert (row.state, row.reason) == (CellState.INTERRUPTED, "the run ended before the cell did")
    assert bench.state(bench.cells[1]) == "done"
