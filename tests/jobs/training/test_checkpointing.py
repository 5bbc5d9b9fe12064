"""Cells stopped in one pack and continued in another, through `run_pack`: what is saved, when, and every bit of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.checkpoints import CheckpointName
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
