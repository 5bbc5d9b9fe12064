"""Cells stopped in one pack and continued in another, through `run_pack`: what is saved, when, and every bit of it."""

from __future__ import annotations

import dataclasses
import errno
import os
import time
from dataclasses import replace

import pytest
import torch

from jobs.checkpoints import CheckpointName
from jobs.spec import (
    CellResult,
    CheckpointSpec,
    Command,
    CommandKind,
    Event,
    EventKind,
    PackedCell,
    Resources,
    Strategy,
)
from jobs.training.cell_run import CellRun
from jobs.training.checkpoint_state import SavedProgress
from jobs.training.engine import PackEngine
from jobs.trial import Workshop
from tests.jobs.test_trial import kinds, pack, result_of, run
from tests.jobs.training.stopped_cells import (
    COMPUTE,
    OFTEN,
    STOP,
    checkpoints,
    log_lines,
    neighbours,
    next_attempt,
    stop_at_heartbeat,
    target,
    traces,
)


def continued(workshop: Workshop, packed: PackedCell, beats: list[int]) -> CellResult:
    """The result of a cell that is stopped some times, each time in a pack with other neighbours."""
    for round_number, beat in enumerate(beats):
        others = neighbours(packed, range(2 + round_number, 4))
        is_last = round_number % 2 and packed.cell.strategy is not Strategy.FULL  # which trains one cell at a time
        cells = [*others, packed] if is_last else [packed, *others]
        events = run(pack(*cells), workshop, stop_at_heartbeat(beat))
        assert kinds(events, packed.cell.cell_id)[-2:] == [EventKind.CHECKPOINTED, EventKind.CELL_INTERRUPTED]
        assert not list(workshop.layout.temporary.iterdir())
        packed = next_attempt(packed)
    events = run(pack(*neighbours(packed, range(7, 9)), packed), workshop)
    assert not workshop.layout.checkpoint(packed.cell.cell_id).exists()
    return result_of(events, packed)


PLANS = {
    "lora": target(),
    "qlora": target(Strategy.QLORA, replace(COMPUTE, base="quantized")),
    "qlora-resident-bf16": target(Strategy.QLORA, replace(COMPUTE, base="resident", precision="bf16")),
    "head": target(Strategy.HEAD),
    "full": target(Strategy.FULL),
    "accumulation": target(batch_size=2, gradient_accumulation=4),
    "8-bit": target(optimizer="adamw_bnb_8bit"),
    "patience": target(epochs=12, eval_every=2, patience=6),
    "last": target(select_on="last", eval_every=None),
    "bucketing": target(length_bucketing=2),
}


@pytest.mark.parametrize("name", PLANS)
def test_stopped_and_continued_elsewhere_every_bit_is_the_same(
    name: str, workshop: Workshop, elsewhere: Workshop
) -> None:
    """Stopped within the first epoch, at an end of an epoch, and once more; other neighbours and slots each time."""
    packed = PLANS[name]
    undisturbed = result_of(run(pack(packed), elsewhere), packed)
    parts = packed.cell.recipe.gradient_accumulation
    within = parts - 1  # stopped in the middle of a step, which is then made again
    result = continued(workshop, packed, [3 * parts + within, 3 * parts, 5 * parts + within])
    assert traces(result, workshop) == traces(undisturbed, elsewhere)
    assert result.provenance["resumed_from_steps"] == [3, 6, 11]
    assert "resumed_from_steps" not in undisturbed.provenance


# When, and how many


def test_cells_are_saved_every_so_often_and_the_newest_stay(workshop: Workshop) -> None:
    packed, other = target(compute=OFTEN), neighbours(target(compute=OFTEN), range(2, 3))[0]
    seen: list[list[int]] = []

    def look(event: Event) -> None:
        if event.kind is EventKind.CHECKPOINTED and event.cell_id == packed.cell.cell_id:
            seen.append([name.step for name in checkpoints(workshop, packed)])
            assert seen[-1][-1] >= int(str(event.data["step"]))

    events = run(pack(packed, other), workshop, look)
    assert len(seen) >= 3
    assert all(len(steps) <= 3 for steps in seen), "two stay while a third is written"
    assert [e.data["from_step"] for e in events if e.kind is EventKind.CELL_STARTED] == [0, 0]
    assert [e.data["finished"] for e in events if e.kind is EventKind.HEARTBEAT][-1] == 2
    assert not list(workshop.layout.checkpoints.iterdir())
    assert not list(workshop.layout.temporary.iterdir())
    assert result_of(events, packed).marks == ()


def test_a_short_cell_is_never_saved_and_off_means_never(workshop: Workshop) -> None:
    off = target(compute=replace(COMPUTE, checkpoint=CheckpointSpec(every_s=None)))
    events = run(pack(off), workshop, stop_at_heartbeat(3))
    assert kinds(events, off.cell.cell_id) == [EventKind.CELL_STARTED, EventKind.CELL_INTERRUPTED]
    events = run(pack(target()), workshop)
    assert not any(event.kind is EventKind.CHECKPOINTED for event in events)
    assert not workshop.layout.checkpoints.exists() or not list(workshop.layout.checkpoints.iterdir())


def test_a_cell_given_up_is_free_once_its_checkpoint_stands(workshop: Workshop, elsewhere: Workshop) -> None:
    packed, other = target(), neighbours(target(), range(2, 3))[0]
    give_up = Command(kind=CommandKind.GIVE_UP_CELLS, cell_ids=(packed.cell.cell_id,))
    events = run(pack(packed, other), workshop, stop_at_heartbeat(4, give_up))
    assert kinds(events, packed.cell.cell_id)[-2:] == [EventKind.CHECKPOINTED, EventKind.CELL_INTERRUPTED]
    assert kinds(events, other.cell.cell_id)[-1] is EventKind.CELL_FINISHED
    assert [name.step for name in checkpoints(workshop, packed)] == [4]
    again = next_attempt(packed)
    undisturbed = result_of(run(pack(packed), elsewhere), packed)
    events = run(pack(again), workshop)
    assert [e.data["from_step"] for e in events if e.kind is EventKind.CELL_STARTED] == [4]
    assert traces(result_of(events, again), workshop) == traces(undisturbed, elsewhere)


def test_cells_that_made_room_are_saved_as_well(
    workshop: Workshop, elsewhere: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `fast`, with more cells than fit: two train, two wait at step 2, the pack is stopped."""
    cells = [target(), *neighbours(target(), range(2, 5))]
    run_base = PackEngine._run_base

    def limited(self: PackEngine, batch, parts, training):  # type: ignore[no-untyped-def]
        runs = [run for part in parts for run in part.runs]
        if training and len(runs) > 2 and max(run.step for run in runs) >= 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run_base(self, batch, parts, training)

    monkeypatch.setattr(PackEngine, "_run_base", limited)
    events = run(pack(*cells), workshop, stop_at_heartbeat(5))
    found = sorted(checkpoints(workshop, packed)[0].step for packed in cells)
    assert found[:2] == [2, 2] and found[2] > 2
    assert all(kinds(events, c.cell.cell_id)[-1] is EventKind.CELL_INTERRUPTED for c in cells)


@pytest.mark.parametrize("cpus", [2])
def test_several_cores_stop_and_go_on_as_one_does(workshop: Workshop, elsewhere: Workshop, cpus: int) -> None:
    compute = replace(OFTEN, slots=2)
    cells = [target(compute=compute), *neighbours(target(compute=compute), range(2, 5))]
    spec = replace(pack(*cells), resources=Resources(cpus=cpus))
    stop = iter([None, STOP])
    run(spec, workshop, lambda event: next(stop, None) if event.kind is EventKind.HEARTBEAT else None)
    again = [next_attempt(packed) for packed in cells]
    events = run(replace(spec, cells=tuple(again)), workshop)
    undisturbed = run(pack(*cells), elsewhere)
    for before, after in zip(cells, again, strict=True):
        found = traces(result_of(events, after), workshop)
        assert found == traces(result_of(undisturbed, before), elsewhere)


def test_a_diverged_cell_leaves_no_checkpoint(workshop: Workshop) -> None:
    wild = target(compute=OFTEN, learning_rate=1e30, max_grad_norm=0.0, warmup_steps=4)
    stood: list[CheckpointName] = []

    def wait_for_the_first(event: Event) -> None:
        deadline_s = time.monotonic() + 20
        while event.kind is EventKind.HEARTBEAT and event.data["step"] and not stood:
            assert time.monotonic() < deadline_s
            stood.extend(checkpoints(workshop, wild))

    events = run(pack(wild), workshop, wait_for_the_first)
    assert stood
    assert kinds(events, wild.cell.cell_id)[-1] is EventKind.CELL_FAILED
    assert not list(workshop.layout.checkpoints.iterdir())


# What cannot be written


def test_a_disk_that_refuses_checkpoints_stops_no_cell(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("jobs.checkpoints.make_cell_folder", full)
    packed = target(compute=OFTEN)
    events = run(pack(packed), workshop)
    assert kinds(events, packed.cell.cell_id) == [EventKind.CELL_STARTED, EventKind.CELL_FINISHED]
    lines = log_lines(workshop, "checkpoint_failed")
    assert lines
    assert {line["level"] for line in lines} == {"warning"}
    assert "No space left on device" in str(lines[0]["message"])


def test_no_memory_for_a_copy_stops_no_cell(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PackEngine, "state_of", short)
    packed = target(compute=OFTEN)
    events = run(pack(packed), workshop)
    assert kinds(events, packed.cell.cell_id) == [EventKind.CELL_STARTED, EventKind.CELL_FINISHED]
    assert "out of memory" in str(log_lines(workshop, "checkpoint_failed")[0]["message"])


# What is saved


def test_every_field_of_a_run_is_saved_or_set_up_anew() -> None:
    """Whoever adds a field to CellRun decides here; one that is forgotten would be lost on resumption."""
    anew = {"packed", "data", "shapes", "initial", "scaling", "total_steps", "steps_per_epoch"}  # from the declaration
    tensors = {"best_tensors", "best_validation_nC"}
    of_the_step_under_way = {"loss_pending", "_batches", "_micro", "_micro_done", "_micro_step"}
    names = {field.name for field in dataclasses.fields(CellRun)}
    saved = {field.name for field in dataclasses.fields(SavedProgress)}
    assert names == saved | anew | tensors | of_the_step_under_way
