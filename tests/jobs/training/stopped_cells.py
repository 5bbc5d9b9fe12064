"""Cells that tests stop in one pack and continue in another: how to declare, stop and compare them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from jobs.checkpoints import CheckpointName
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
    Strategy,
)
from jobs.training.checkpoint_state import STATE, TENSORS
from jobs.trial import Workshop
from tests.jobs.test_trial import cell

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
