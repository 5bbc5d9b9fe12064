"""Status: every unfinished cell with its reason, retired ones apart, harmless on a terminal."""

import io
import json

import pytest
from rich.console import Console

from grid.status import status
from jobs.errors import EnvironmentProblem, UserError
from jobs.spec import FailureKind
from tests.grid.store.conftest import Bench
from tests.jobs.samples import cell


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "results")
    bench.begin()
    yield bench
    bench.store.close()


@pytest.fixture
def mixed(bench):
    """Done, failed (two kinds), running, interrupted, pending and retired."""
    bench.cells = [cell(number) for number in range(1, 8)]
    bench.store.declare(bench.cells)
    bench.finish(bench.cells[0])
    bench.start(bench.cells[1])
    bench.store.fail(bench.cells[1].cell_id, 1, 1, FailureKind.DIVERGED, "loss is nan at step 7")
    bench.store.fail(bench.cells[2].cell_id, 0, 0, FailureKind.ENVIRONMENT, "gated")
    bench.start(bench.cells[3])
    bench.start(bench.cells[4])
    bench.store.interrupt(bench.cells[4].cell_id, 1, 1)
    bench.finish(bench.cells[6])
    bench.store.declare(bench.cells[:6])
    return bench


def text(report, width=60):
    console = Console(file=io.StringIO(), width=width)
    report.render(console)
    return console.file.getvalue()


def test_counts_and_reasons_as_json(mixed):
    report = json.loads(json.dumps(status(mixed.root).to_json(), allow_nan=False))
    assert report["counts"] == {"done": 1, "running": 1, "interrupted": 1, "pending": 1, "failed": 2}
    assert (report["total"], report["retired"], report["grid"]) == (6, {"done": 1}, "sample")
    assert [(row["cell_id"][-1], row["state"], row["kind"], row["reason"]) for row in report["unfinished"]] == [
        ("2", "failed", "diverged", "loss is nan at step 7"),
        ("3", "failed", "environment", "gated"),
        ("4", "running", None, None),
        ("5", "interrupted", None, "stopped before it was finished"),
        ("6", "pending", None, None),
    ]
    assert report["last_run"]["epoch"] == 1
    assert report["in_use_by"]["pid"] > 0


def test_every_unfinished_cell_is_a_line_for_people(mixed):
    lines = text(status(mixed.root)).splitlines()
    assert lines[1] == "1 done, 1 running, 1 interrupted, 1 pending, 2 failed, 6 in all"
    assert lines[2] == "no longer declared: 1 done, 1 in all"
    assert lines[3] == (
        f"failed      {cell(2).cell_id}  {cell(2).title}: diverged: loss is nan at step 7  (logs/1-pack-1.jsonl)"
    )
    assert lines[7] == f"pending     {cell(6).cell_id}  {cell(6).title}: not started yet"
    assert lines[-1] == "Failed as diverged: waits for a changed recipe, or --retry-failed."


def test_a_running_store_names_its_holder_and_a_closed_one_its_end(mixed):
    assert "in use by process" in text(status(mixed.root), width=300)
    mixed.store.finish_run(1)
    mixed.store.close()
    report = text(status(mixed.root), width=300)
    assert "run 1 ended" in report
    assert "exit code 1" in report
    assert "The same command runs 4 of them." in report


def test_a_killed_run_is_told_apart(bench):
    bench.start(bench.cells[0])
    bench.store.close()
    report = text(status(bench.root), width=300)
    assert "its end is not recorded" in report
    assert "no run of this machine holds the store now" in report


def test_a_finished_grid_is_short(bench):
    for spec in bench.cells:
        bench.finish(spec)
    bench.store.finish_run(0)
    bench.store.close()
    lines = text(status(bench.root), width=300).splitlines()
    assert lines[1:] == ["3 done, 3 in all"]


def test_status_changes_nothing(mixed):
    mixed.store.close()
    before = {path: path.read_bytes() for path in mixed.root.rglob("*") if path.is_file()}
    status(mixed.root)
    assert {path: path.read_bytes() for path in mixed.root.rglob("*") if path.is_file()} == before


def test_control_characters_in_names_are_shown(bench):
    bench.store.declare([cell(1, variant="\x1b[2J[bold]\nforged")])
    shown = text(status(bench.root), width=300)
    assert "\x1b" not in shown
    assert r"\x1b[2J[bold]\nforged" in shown


def test_not_a_results_folder(tmp_path):
    with pytest.raises(UserError, match="not a results folder"):
        status(tmp_path)


def test_a_file_is_no_results_folder_and_nobody_is_told_to_remove_anything(tmp_path):
    (tmp_path / "mails.csv").write_text("text,label\n")
    with pytest.raises(UserError, match="is a file; a results folder is expected"):
        status(tmp_path / "mails.csv")


def test_a_damaged_index_is_explained(bench):
    bench.store.close()
    bench.layout.index.write_bytes(b"x" * 8192)
    with pytest.raises(EnvironmentProblem, match=r"doctor .* --rebuild"):
        status(bench.root)
