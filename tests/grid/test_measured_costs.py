"""Finished cells of an index as measurements: whose pack they were in, and what packs took besides training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grid.devices import Devices
from grid.expectations import Expectations
from grid.measured_costs import learn, read_cost_model
from jobs.spec import CellSpec, dumps
from tests.grid.store.conftest import Bench
from tests.grid.test_cost_model import cell

EXPECTED = Expectations(devices=Devices(cpus=2), cpus=1)


def row(spec: CellSpec, *, pack: str = "p1", begun: int = 0, ended: int | None = 100, **values: Any) -> dict[str, Any]:
    def moment(seconds: int) -> str:
        return f"2026-11-22T10:{seconds // 60:02}:{seconds % 60:02}+00:00"

    return {
        "cell_id": spec.cell_id,
        "spec_json": dumps(spec),
        "epoch": 1,
        "device": "cpu",
        "costs_json": '{"train_seconds": 20.0}',
        "counts_json": "{}",
        "pack_id": pack,
        "host": "here",
        "pid": 7,
        "started_at": moment(begun),
        "ended_at": None if ended is None else moment(ended),
        **values,
    }


def test_what_a_pack_takes_besides_training() -> None:
    cells = [cell(1), cell(2)]
    (pack,) = learn([row(cells[0], ended=60), row(cells[1], ended=90)], EXPECTED).packs
    assert pack.overhead == pytest.approx(90 - 2 * 20.0)
    assert pack.expected == EXPECTED.overhead_seconds(cells, 40.0, is_fresh=True, has_spare=True)


def test_a_pack_that_was_handed_out_early_begins_when_the_one_before_it_ends() -> None:
    waits = row(cell(2), pack="p2", begun=5, ended=150)
    first, second = learn([row(cell(1), ended=100), waits], EXPECTED).packs
    assert (first.overhead, second.overhead) == (pytest.approx(80.0), pytest.approx(30.0))
    assert second.expected < first.expected  # libraries are there, and its kind has been probed
    other = learn([row(cell(1)), {**waits, "pid": 8}], EXPECTED).packs
    assert other[1].overhead == pytest.approx(145 - 20.0)


def test_packs_without_an_end_and_cells_of_other_versions_teach_nothing() -> None:
    assert learn([row(cell(1), ended=None)], EXPECTED).packs == ()
    strange = row(cell(1), spec_json='{"from": "the future"}')
    assert learn([strange], EXPECTED).measured == ()


def test_memory_is_expected_for_the_whole_pack() -> None:
    cells = [cell(number) for number in range(1, 5)]
    together = learn([row(one) for one in cells], EXPECTED).measured
    alone = learn([row(one, pack=f"p{one.seed}") for one in cells], EXPECTED).measured
    assert {one.expected_bytes for one in together} == {EXPECTED.memory_bytes(cells, True)}
    assert {one.expected_bytes for one in alone} == {EXPECTED.memory_bytes(cells[:1], True)}


def test_a_store_is_read_with_the_tries_that_finished_its_cells(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "results")
    bench.begin()
    spec = bench.cells[0]
    bench.finish(spec, costs={"train_seconds": 12.0, "peak_memory_bytes": 5e8})
    (found,) = read_cost_model(bench.root, EXPECTED).measured
    assert (found.seconds, found.memory_bytes) == (12.0, 500_000_000)
    assert read_cost_model(tmp_path / "nothing", EXPECTED).measured == ()
    bench.store.close()
