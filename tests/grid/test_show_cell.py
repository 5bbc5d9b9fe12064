"""What the store knows about one cell: shown whole, harmless on a terminal."""

import io
import json

import pytest
from rich.console import Console

from grid.show_cell import config_of_cell, show_cell
from jobs.errors import UserError
from jobs.spec import FailureKind
from tests.grid.store.conftest import Bench


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "results")
    bench.begin()
    yield bench
    bench.store.close()


def text(report, width=200):
    console = Console(file=io.StringIO(), width=width)
    report.render(console)
    return console.file.getvalue()


def test_a_finished_cell(bench):
    folder = bench.finish(bench.cells[0])
    report = show_cell(bench.root, bench.cells[0].cell_id)
    shown = text(report)
    assert f"{bench.cells[0].cell_id}  {bench.cells[0].title}: done" in shown
    assert str(folder) in shown
    assert "notes.txt" in report.files and "manifest.json" in report.files
    assert [one["state"] for one in report.attempts] == ["done"]
    values = {(row.split, row.name): row.value for row in report.metrics}
    assert values and all(f"{value:.4f}" in shown for value in values.values() if value is not None)
    json.dumps(report.to_json(), allow_nan=False)


def test_a_failed_cell_says_why_and_control_characters_are_shown(bench):
    spec = bench.cells[1]
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.DIVERGED, "loss \x1b[31mnan")
    shown = text(show_cell(bench.root, spec.cell_id))
    assert "diverged: loss" in shown and "\x1b" not in shown
    assert "attempt 1: failed, diverged" in shown


def test_a_cell_that_no_config_declares_any_more(bench):
    shown = text(show_cell(bench.root, bench.cells[2].cell_id))
    assert "pending" in shown and "no config of this store gives this cell any more" in shown
    with pytest.raises(UserError, match="no config of this store"):
        config_of_cell(bench.root, bench.cells[2].cell_id)


def test_names_are_not_cut_on_a_narrow_terminal_and_unused_settings_are_left_out(bench):
    bench.finish(bench.cells[0])
    report = show_cell(bench.root, bench.cells[0].cell_id)
    shown = text(report, width=40)
    assert all(row.name in shown for row in report.metrics if not row.label)
    assert "augment_copies" not in shown and "effective_beta" not in shown
    assert "augment_copies" in json.dumps(report.to_json())
