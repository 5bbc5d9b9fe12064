"""Stores of several machines in one: every finished cell once, byte for byte, nothing of the sources changed."""

import io
import shutil

import pytest
from rich.console import Console

from grid.merge import merge
from grid.store import Store
from grid.store.reading import read_states
from grid.store.schema import open_read_only
from jobs.errors import StoreBusy, UserError
from jobs.spec import FailureKind
from jobs.storage import Layout, results_of
from tests.grid.store.conftest import GRID, Bench

QUIET = Console(file=io.StringIO())


@pytest.fixture
def machines(tmp_path):
    """Two stores of one grid: cells 1 and 2 are done on the first, 2 and 3 on the second."""
    benches = []
    for name, done in (("a", (0, 1)), ("b", (1, 2))):
        bench = Bench(tmp_path / name)
        bench.begin()
        for number in done:
            bench.finish(bench.cells[number])
        bench.store.finish_run(1)
        bench.store.close()
        benches.append(bench)
    return benches


def states(root):
    engine = open_read_only(root)
    try:
        with engine.connect() as connection:
            return {row.cell_id: str(row.state) for row in read_states(connection).values()}
    finally:
        engine.dispose()


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_into_a_new_folder(machines, tmp_path):
    one, two = machines
    before = [content(bench.root / "cells") for bench in machines]
    report = merge([one.root, two.root], tmp_path / "all", QUIET)
    assert (report.copied, report.already_there, report.num_results, report.exit_code) == (3, 1, 3, 0)
    assert set(states(tmp_path / "all").values()) == {"done"}
    assert [content(bench.root / "cells") for bench in machines] == before
    merged = content(tmp_path / "all" / "cells")
    assert before[0].items() <= merged.items()
    # A run goes on from there.
    store = Store.open(tmp_path / "all", grid=GRID)
    store.claim("{}")
    store.declare(one.cells)
    assert {str(row.state) for row in store.states().values()} == {"done"}
    store.close()


def test_into_a_store_and_again(machines):
    one, two = machines
    assert merge([two.root], one.root, QUIET).copied == 1
    again = merge([two.root], one.root, QUIET)
    assert (again.copied, again.already_there) == (0, 2)


def test_what_one_machine_finished_counts_although_another_tried_it_later(machines):
    """Attempt numbers of two stores say nothing about each other."""
    one, two = machines
    spec = two.cells[2]
    for _ in range(2):
        one.begin()
        one.store.fail(spec.cell_id, *one.start(spec), FailureKind.TRANSIENT, "the worker died")
        one.store.close()
    report = merge([two.root], one.root, QUIET)
    assert (report.copied, report.num_results) == (1, 3)
    assert states(one.root)[spec.cell_id] == "done"
    one.begin()
    assert one.store.epoch == 4, "no number of the target's own attempts is handed out twice"
    assert one.state(spec) == "done"
    one.store.close()
    again = merge([two.root], one.root, QUIET)
    assert (again.copied, again.already_there, again.num_results) == (0, 2, 3)


def test_of_several_results_of_a_cell_the_one_of_its_index_is_brought(machines, tmp_path):
    """An attempt that was given up on may have published late: its own store refuses it, and so do others."""
    one, _ = machines
    spec = one.cells[2]
    one.begin()
    late = one.start(spec)
    counted = one.finish(spec, hashes={"weights": "1" * 64})
    one.publish(spec, *late, hashes={"weights": "2" * 64})
    one.store.close()
    report = merge([one.root], tmp_path / "all", QUIET)
    assert (report.copied, report.differing, report.num_results) == (3, [], 3)
    (brought,) = results_of(Layout(tmp_path / "all"), spec.cell_id)
    assert brought.name == counted.name


def test_what_its_own_store_refuses_is_not_brought(machines, tmp_path):
    one, _ = machines
    spec = one.cells[2]
    one.begin()
    late = one.start(spec)
    one.start(spec)
    one.publish(spec, *late)
    one.store.close()
    assert merge([one.root], tmp_path / "all", QUIET).num_results == 2


@pytest.mark.parametrize("is_same_attempt", [False, True])
def test_a_damaged_result_of_the_target_is_replaced_by_a_whole_one(machines, tmp_path, is_same_attempt):
    one, two = machines
    spec = one.cells[1]
    target = one
    if is_same_attempt:
        target = Bench(tmp_path / "copy")
        shutil.copytree(two.root, target.root)
    (folder,) = results_of(target.layout, spec.cell_id)
    (folder / "notes.txt").write_text("changed")
    report = merge([two.root], target.root, QUIET)
    assert (report.exit_code, len(report.set_aside)) == (0, 1)
    assert states(target.root)[spec.cell_id] == "done"
    (whole,) = results_of(target.layout, spec.cell_id)
    assert (whole / "notes.txt").read_text() == "the same every time"
    # Once more: what was set aside before is not in the way.
    (whole / "notes.txt").write_text("changed again")
    assert len(merge([two.root], target.root, QUIET).set_aside) == 1
    assert len(list((target.layout.quarantine / spec.cell_id).iterdir())) == 2


def test_a_damaged_source_stays_behind_and_is_named(machines, tmp_path):
    one, two = machines
    (folder,) = results_of(two.layout, two.cells[2].cell_id)
    (folder / "notes.txt").write_text("changed")
    report = merge([one.root, two.root], tmp_path / "all", QUIET)
    assert report.exit_code == 1 and len(report.damaged) == 1 and str(folder) in report.damaged[0]
    assert two.cells[2].cell_id not in states(tmp_path / "all")


def test_other_weights_of_a_cell_do_not_replace_those_there(machines):
    one, _ = machines
    again = Bench(one.root.parent / "c")
    again.begin()
    again.finish(again.cells[0], hashes={"weights": "0" * 64})
    again.store.close()
    before = content(one.root / "cells")
    report = merge([again.root], one.root, QUIET)
    assert report.exit_code == 1 and len(report.differing) == 1
    assert content(one.root / "cells") == before


def test_refusals(machines, tmp_path):
    one, two = machines
    with pytest.raises(UserError, match="named twice"):
        merge([one.root, one.root], tmp_path / "all", QUIET)
    other = Store.open(tmp_path / "other", grid="another")
    other.claim("{}")
    with pytest.raises(UserError, match="different grids"):
        merge([one.root], tmp_path / "other", QUIET)
    other.close()
    shutil.rmtree(tmp_path / "other")
    running = Store.open(two.root, grid=GRID)
    running.claim("{}")
    with pytest.raises(StoreBusy):
        merge([one.root], two.root, QUIET)
    running.close()
    assert not (tmp_path / "all").exists()
