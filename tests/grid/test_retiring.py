"""What a changed config leaves behind is told: how many cells, and which settings differ."""

import json
from dataclasses import replace

import pytest

from grid.retiring import told_of_retiring
from grid.store import peek
from tests.grid.store.conftest import Bench
from tests.jobs.samples import cell


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "results")
    bench.cells = [cell(1), cell(2), cell(3)]
    bench.begin()
    for spec in bench.cells[:2]:
        bench.finish(spec)
    yield bench
    bench.store.close()


def told(bench, cells):
    return told_of_retiring(bench.root, cells, peek(bench.root)[0])


def test_nothing_is_said_while_finished_cells_stay_declared(bench):
    assert told(bench, bench.cells) is None
    assert told(bench, [*bench.cells[:2], cell(9)]) is None


def test_a_shorter_axis_gives_cells_up(bench):
    assert told(bench, [cell(1)]) == "1 finished cell is no longer declared: kept, out of figures"


def test_a_changed_file_and_a_changed_recipe_are_named(bench):
    def changed(spec):
        data = replace(spec.data, revision="b" * 64)
        return replace(spec, cell_id=spec.cell_id.replace("0", "f"), data=data, recipe=replace(spec.recipe, epochs=9))

    text = told(bench, [changed(spec) for spec in bench.cells])
    assert text.startswith("2 finished cells are no longer declared")
    assert "; 2 of the same title run anew, by other data.revision, the content (null -> bbbbbbbb)" in text
    before = json.dumps(bench.cells[0].recipe.epochs)
    assert f"recipe.epochs ({before} -> 9)" in text


def test_cells_whose_ids_are_provisional_may_be_the_finished_ones(bench):
    unresolved = [
        replace(spec, cell_id=f"{n:016x}", data=replace(spec.data, source="hub", id="a/b", revision=None))
        for n, spec in enumerate(bench.cells, start=100)
    ]
    assert told(bench, unresolved) is None


def test_once_retired_they_are_not_told_again(bench):
    bench.store.declare([cell(1)])
    assert told(bench, [cell(1)]) is None
