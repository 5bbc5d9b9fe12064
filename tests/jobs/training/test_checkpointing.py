"""Cells stopped in one pack and continued in another, through `run_pack`: what is saved, when, and every bit of it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from jobs.checkpoints import DAMAGED_SUFFIX, CheckpointName
from jobs.durable import commit_folder
from jobs.spec import (
    CellResult,
    CheckpointSpec,
    Command,
    CommandKind,
    ComputeSpec,
    Event,
    EventKind,
    LoraSpec,
    PackedCell,
    RecipeSpec,
    Resources,
    Strategy,
)
from jobs.training.cell_run import CellRun
from jobs.training.checkpoint_state import STATE, TENSORS, SavedProgress
from jobs.training.engine import PackEngine
from jobs.trial import Workshop
from tests.jobs.test_trial import cell, kinds, pack, result_of, run

COMPUTE = ComputeSpec(precision="fp32", numerics="exact", reload_check=False, cost_probe=False, slots=4)
OFTEN = replace(COMPUTE, checkpoint=CheckpointSpec(every_s=1e-6))
RECIPE = RecipeSpec(epochs=3, batch_size=8, learning_rate=5e-3, max_length=32, eval_every=4, warmup_steps=2)
STOP = Command(kind=CommandKind.STOP)


def target(strategy: Strategy = Strategy.LORA, compute: ComputeSpec = COMPUTE, **recipe: object) -> PackedCell:
    """Three epochs of six steps."""
    lora = LoraSpec(r=4, dropout=0.1) if strategy.has_adapters else None
    return cell(1, strategy=strategy, compute=compute, recipe=replace(RECIPE, **recipe), lora=lora)  # type: ignore[arg-type]


def neighbours(of: PackedCell, seeds: range) -> list[PackedCell]:
    """Others for the same base: more labels, other ranks."""
    others = []
    for seed in seeds:
        spec = replace(of.cell, cell_id=f"{seed:016x}", seed=seed, data=replace(of.cell.data, num_labels=2 + seed % 3))
        lora = replace(spec.lora, r=1 + seed) if spec.lora else None
        others.append(PackedCell(cell=replace(spec, lora=lora), epoch=of.epoch, attempt=1))
    return others


def next_attempt(packed: PackedCell) -> PackedCell:
    return replace(packed, attempt=packed.attempt + 1)


def traces(result: CellResult, workshop: Workshop) -> tuple[object, ...]:
    """What must not depend on a break: numbers, weights, marks, and the bytes of curves and predictions."""
    folder = max(workshop.layout.cell(result.cell.cell_id).iterdir())
    tables = [pq.read_table(folder / f"{name}.parquet").to_pydict() for name in ("curves", "predictions")]
    return (result.metrics, result.counts, result.hashes, result.marks, result.epochs, result.label_names, tables)


def stop_at_heartbeat(number: int, command: Command = STOP) -> Callable[[Event], Command | None]:
    """Answers the so many-th heartbeat of a pack with cells in training."""
    beats = iter(range(1, 10_000))

    def answer(event: Event) -> Command | None:
        is_beat = event.kind is EventKind.HEARTBEAT and event.data["live"]
        return command if is_beat and next(beats) == number else None

    return answer


def checkpoints(workshop: Workshop, packed: PackedCell) -> list[CheckpointName]:
    folder = workshop.layout.checkpoint(packed.cell.cell_id)
    found = [CheckpointName.parse(path.name) for path in folder.iterdir()] if folder.exists() else []
    return sorted(name for name in found if name is not None)


def log_lines(workshop: Workshop, event: str) -> list[dict[str, object]]:
    lines = workshop.layout.pack_log(1, "p1").read_text("utf-8").splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


@pytest.fixture
def workshop(tmp_path: Path, cache: Path) -> Workshop:
    return Workshop(tmp_path / "results", cache)


@pytest.fixture
def elsewhere(tmp_path: Path, cache: Path) -> Workshop:
    """Where nothing is ever disturbed."""
    return Workshop(tmp_path / "undisturbed", cache)


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


# What cannot be used


@pytest.fixture
def stopped(workshop: Workshop) -> PackedCell:
    """A cell with checkpoints after steps 3 and 5."""
    packed = target(epochs=1)
    run(pack(packed), workshop, stop_at_heartbeat(3))
    run(pack(next_attempt(packed)), workshop, stop_at_heartbeat(2))
    assert [name.step for name in checkpoints(workshop, packed)] == [3, 5]
    return replace(packed, attempt=3)


@pytest.fixture
def expected(elsewhere: Workshop) -> tuple[object, ...]:
    """What the undisturbed cell leaves."""
    packed = target(epochs=1)
    return traces(result_of(run(pack(packed), elsewhere), packed), elsewhere)


def newest(workshop: Workshop, packed: PackedCell) -> Path:
    return workshop.layout.checkpoint(packed.cell.cell_id) / str(checkpoints(workshop, packed)[-1])


def cut(folder: Path) -> None:
    os.truncate(folder / TENSORS, 1000)


def empty(folder: Path) -> None:
    os.truncate(folder / STATE, 0)


def flip(folder: Path) -> None:
    data = bytearray((folder / TENSORS).read_bytes())
    data[-7] ^= 1
    (folder / TENSORS).write_bytes(data)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def forget_moments(folder: Path) -> None:
    """A checkpoint whose hashes are right and that lacks what the optimiser needs."""
    tensors = {name: t for name, t in load_file(folder / TENSORS).items() if not name.startswith("second/")}
    rewrite(folder, tensors, {"tensors": sorted(tensors)})


def forget_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / TENSORS)
    del tensors["first/head.out.weight"]
    rewrite(folder, tensors, {})


def newer_version(folder: Path) -> None:
    rewrite(folder, load_file(folder / TENSORS), {"version": 99})


def other_rows(folder: Path) -> None:
    state = json.loads((folder / STATE).read_text())
    rewrite(folder, load_file(folder / TENSORS), {"depends_on": {**state["depends_on"], "train rows": "0" * 64}})


def rewrite(folder: Path, tensors: dict[str, torch.Tensor], changes: dict[str, object]) -> None:
    """Put another checkpoint, complete and with right hashes, in the place of one."""
    state = json.loads((folder / STATE).read_text()) | changes
    shutil.rmtree(folder)
    temporary = folder.with_name("rewritten")
    temporary.mkdir()
    writers = {
        TENSORS: lambda path: save_file(tensors, path),
        STATE: lambda path: path.write_text(json.dumps(state)) and None,
    }
    commit_folder(temporary, folder, writers, stage="ckpt")


@pytest.mark.parametrize(
    "damage", [cut, empty, flip, remove(TENSORS), remove(STATE), remove("manifest.json"), forget_a_tensor]
)
def test_a_damaged_checkpoint_is_set_aside_and_the_older_one_used(
    damage: Callable[[Path], None], workshop: Workshop, stopped: PackedCell, expected: tuple[object, ...]
) -> None:
    folder = newest(workshop, stopped)
    damage(folder)
    aside: list[str] = []

    def look(event: Event) -> None:
        if event.kind is EventKind.HEARTBEAT:
            aside.extend(path.name for path in folder.parent.glob(f"*{DAMAGED_SUFFIX}"))

    result = result_of(run(pack(stopped), workshop, look), stopped)
    assert set(aside) == {folder.name + DAMAGED_SUFFIX}
    (line,) = log_lines(workshop, "checkpoint_damaged")
    assert (line["level"], line["step"], line["cell_id"]) == ("warning", 5, stopped.cell.cell_id)
    assert folder.name in str(line["message"])
    assert result.provenance["resumed_from_steps"] == [3]
    assert traces(result, workshop) == expected


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (forget_moments, "second/..."),
        (newer_version, "version is 99"),
        (other_rows, "train rows was 0000"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_passed_over_and_stays(
    spoil: Callable[[Path], None], words: str, workshop: Workshop, stopped: PackedCell, expected: tuple[object, ...]
) -> None:
    spoil(newest(workshop, stopped))
    result = result_of(run(pack(stopped), workshop), stopped)
    (line,) = log_lines(workshop, "checkpoint_not_usable")
    assert words in str(line["message"])
    assert result.provenance["resumed_from_steps"] == [3]
    assert traces(result, workshop) == expected


def test_other_arithmetic_starts_anew(workshop: Workshop, stopped: PackedCell) -> None:
    fast = replace(stopped, cell=replace(stopped.cell, compute=replace(COMPUTE, numerics="fast")))
    events = run(pack(fast), Workshop(workshop.layout.root, workshop.cache))  # without the warm base
    lines = log_lines(workshop, "checkpoint_not_usable")
    assert [line["step"] for line in lines] == [5, 3]
    assert "numerics was exact, is fast" in str(lines[0]["message"])
    assert len(log_lines(workshop, "cell_starts_anew")) == 1
    assert "resumed_from_steps" not in result_of(events, fast).provenance


def test_checkpoints_of_later_attempts_are_not_looked_at(workshop: Workshop, stopped: PackedCell) -> None:
    """A trial that everybody thought dead goes on beside its successor, from what is older than itself."""
    late = replace(stopped, attempt=1)
    events = run(pack(late), workshop, stop_at_heartbeat(1))
    assert [e.data["from_step"] for e in events if e.kind is EventKind.CELL_STARTED] == [3]
    assert [(n.attempt, n.step) for n in checkpoints(workshop, stopped)] == [(1, 3), (1, 4), (2, 5)]


def test_every_field_of_a_run_is_saved_or_set_up_anew() -> None:
    """Whoever adds a field to CellRun decides here; one that is forgotten would be lost on resumption."""
    anew = {"packed", "data", "shapes", "initial", "scaling", "total_steps", "steps_per_epoch"}  # from the declaration
    tensors = {"best_tensors", "best_validation_nC"}
    of_the_step_under_way = {"loss_pending", "_batches", "_micro", "_micro_done", "_micro_step"}
    names = {field.name for field in dataclasses.fields(CellRun)}
    saved = {field.name for field in dataclasses.fields(SavedProgress)}
    assert names == saved | anew | tensors | of_the_step_under_way
