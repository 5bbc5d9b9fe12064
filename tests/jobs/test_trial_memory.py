"""Running out of memory in a whole pack: rungs in results and log, cells that wait, commands meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jobs.spec import Command, CommandKind, ComputeSpec, Event, EventKind, PackedCell, Resources, Strategy
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.trial import Workshop
from tests.jobs.test_trial import cell, kinds, pack, result_of, run

EXACT = ComputeSpec(precision="fp32", numerics="exact", reload_check=False, cost_probe=False, slots=8)
FAST = replace(EXACT, numerics="fast")


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[list[CellRun]], bool]], None]:
    """Lets training steps fail whose cells are too many, or the wrong ones."""

    def limit(is_too_much: Callable[[list[CellRun]], bool]) -> None:
        run_base = PackEngine._run_base

        def checked(self: PackEngine, batch, parts, training):  # type: ignore[no-untyped-def]
            runs = [run for part in parts for run in part.runs]
            if training and is_too_much(runs):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return run_base(self, batch, parts, training)

        monkeypatch.setattr(PackEngine, "_run_base", checked)

    return limit


def log_of(workshop: Workshop) -> list[dict[str, object]]:
    lines = workshop.layout.pack_log(1, "p1").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == "out_of_memory"]


def weights(events: list[Event], cells: list[PackedCell]) -> list[str]:
    return [result_of(events, packed).hashes["weights"] for packed in cells]


@pytest.mark.parametrize("cpus", [1, 2])
def test_fewer_cells_at_a_time_and_the_same_weights(
    workshop: Workshop, tmp_path: Path, cache: Path, cpus: int, memory_for: Callable[..., None]
) -> None:
    cells = [cell(seed, compute=EXACT) for seed in range(1, 7)]
    spec = replace(pack(*cells), resources=Resources(cpus=cpus))
    undisturbed = weights(run(spec, Workshop(tmp_path / "undisturbed", cache)), cells)
    memory_for(lambda runs: len(runs) > 1 and max(run.step for run in runs) >= 2)
    events = run(spec, workshop)
    assert weights(events, cells) == undisturbed
    marks = [mark for packed in cells for mark in result_of(events, packed).marks]
    assert any("slots halved" in mark and "after running out of memory at step 3" in mark for mark in marks)
    assert all(kinds(events, packed.cell.cell_id).count(EventKind.CELL_STARTED) == 1 for packed in cells)
    lines = log_of(workshop)
    assert {line["level"] for line in lines} == {"warning"}
    assert str(lines[0]["message"]).startswith("slots halved from")
    assert "CUDA out of memory" in str(lines[0]["reason"])


def test_a_cell_that_never_fits_fails_alone_and_says_what_was_tried(
    workshop: Workshop, memory_for: Callable[..., None]
) -> None:
    cells = [cell(seed, compute=FAST) for seed in range(1, 5)]
    memory_for(lambda runs: any(run.packed.cell.seed == 2 for run in runs))
    events = run(pack(*cells), workshop)
    (failed,) = [event for event in events if event.kind is EventKind.CELL_FAILED]
    assert failed.cell_id == cells[1].cell.cell_id
    assert failed.data["kind"] == "out_of_memory"
    assert str(failed.data["reason"]).startswith(
        "out of memory at step 1. Tried: fewer cells at a time; micro-batch reduced from 8 to 1; "
        "gradient checkpointing. "
        "OutOfMemoryError: CUDA out of memory."
    )
    for packed in (cells[0], *cells[2:]):
        assert kinds(events, packed.cell.cell_id)[-1] is EventKind.CELL_FINISHED


def test_a_smaller_micro_batch_is_a_mark_and_the_recipe_stays(
    workshop: Workshop, memory_for: Callable[..., None]
) -> None:
    packed = cell(1, strategy=Strategy.FULL, compute=FAST)
    memory_for(lambda runs: runs[0].micro_batch > 4)
    result = result_of(run(pack(packed), workshop), packed)
    assert result.marks == (
        "micro-batch reduced from 8 to 4, accumulation raised from 1 to 2 after running out of memory at step 1",
    )
    assert result.cell == packed.cell
    assert result.counts["effective_batch_size"] == 8
    assert result.counts["stopped_step"] == 6


@pytest.mark.parametrize("kind", [CommandKind.STOP, CommandKind.GIVE_UP_CELLS])
def test_cells_that_were_set_aside_are_given_back(
    workshop: Workshop, kind: CommandKind, memory_for: Callable[..., None]
) -> None:
    cells = [cell(seed, compute=FAST) for seed in range(1, 5)]
    memory_for(lambda runs: len(runs) > 2)
    aside: list[str] = []

    def command_at(event: Event) -> Command | None:
        if event.kind is not EventKind.HEARTBEAT or aside or event.data["waiting"] != 2 or event.data["live"] != 2:
            return None
        aside.extend(packed.cell.cell_id for packed in cells)
        return Command(kind=kind, cell_ids=tuple(aside))

    events = run(pack(*cells), workshop, command_at)
    assert aside, "no heartbeat told of cells that wait"
    assert [kinds(events, cell_id)[-1] for cell_id in aside] == [EventKind.CELL_INTERRUPTED] * 4


def test_a_cell_without_memory_to_enter_waits_for_another_to_end(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [cell(seed, compute=FAST) for seed in range(1, 4)]
    admit = PackEngine.admit

    def limited(self: PackEngine, entering: CellRun, state: object = None) -> None:
        if len(self.live) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        admit(self, entering, state)  # type: ignore[arg-type]

    monkeypatch.setattr(PackEngine, "admit", limited)
    events = run(pack(*cells), workshop)
    marks = result_of(events, cells[2]).marks
    assert marks == ("slots limited to 2 after running out of memory when the cell was admitted",)
    assert all(kinds(events, packed.cell.cell_id)[-1] is EventKind.CELL_FINISHED for packed in cells)


def test_slots_are_measured_before_anything_trains_and_stand_in_the_results(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run finds them in the cache; in `exact` no number depends on them."""
    own_cache = tmp_path / "cache"
    own_cache.mkdir()
    for entry in cache.iterdir():
        if entry.name != "slots":
            (own_cache / entry.name).symlink_to(entry)
    open_slots = [cell(seed, compute=replace(EXACT, slots=None)) for seed in range(1, 5)]
    declared = [cell(seed, compute=replace(EXACT, slots=1)) for seed in range(1, 5)]
    found = []
    for name, cells in (("first", open_slots), ("second", open_slots), ("declared", declared)):
        events = run(pack(*cells), Workshop(tmp_path / name, own_cache))
        results = [result_of(events, packed) for packed in cells]
        (slots,) = {(r.provenance["slots"], r.provenance["slots_found"]) for r in results}
        found.append((slots, [r.hashes["weights"] for r in results]))
    (first, first_weights), (second, second_weights), (third, third_weights) = found
    assert first[1] == "measured"
    assert 1 <= first[0] <= 4
    assert second == (first[0], "measured earlier")
    assert third == (1, "declared")
    assert first_weights == second_weights == third_weights
