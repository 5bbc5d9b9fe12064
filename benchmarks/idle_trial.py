"""A trial module that trains nothing: every cell publishes a small, real result folder at once."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from jobs.spec import CellResult, Command, CommandKind, Event, EventKind, MetricValue, PackedCell, PackSpec
from jobs.storage import Layout, publish

TEST_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "precision_weighted",
    "recall_weighted",
    "loss",
)
VALIDATION_METRICS = ("accuracy", "f1_macro", "loss")


class Workshop:
    """Knows the results folder; there is no base to keep warm."""

    def __init__(self, results: Path, cache: Path) -> None:
        """Remember where results go."""
        self.layout = Layout(results)

    def is_clean(self) -> bool:
        """Nothing lies in device memory."""
        return True


def run_pack(pack: PackSpec, workshop: Workshop) -> Generator[Event, Command | None, None]:
    """Publish every cell of the pack, with the events of a real trial."""
    command = yield Event(kind=EventKind.PACK_STARTED, pack_id=pack.pack_id)
    for packed in pack.cells:
        if command is not None and command.kind is CommandKind.STOP:
            yield _say(pack, packed, EventKind.CELL_INTERRUPTED)
            continue
        command = (yield _say(pack, packed, EventKind.CELL_STARTED)) or command
        found = result(packed)
        folder = publish(workshop.layout, found, {})
        told = {"folder": str(folder), "accuracy": found.metrics[0].value}
        command = (yield _say(pack, packed, EventKind.CELL_FINISHED, **told)) or command
    yield Event(kind=EventKind.PACK_FINISHED, pack_id=pack.pack_id)


def result(packed: PackedCell) -> CellResult:
    """What a small real cell leaves in result.json; the numbers depend on the cell alone."""
    share = int(packed.cell.cell_id[:6], 16) / 0xFFFFFF
    metrics = [MetricValue(split="test", name=name, value=share) for name in TEST_METRICS]
    metrics += [MetricValue(split="validation", name=name, value=share) for name in VALIDATION_METRICS]
    counts = {"num_train": 8, "num_validation": 2, "num_test": 4, "best_step": 2, "stopped_step": 4}
    return CellResult(
        cell=packed.cell,
        epoch=packed.epoch,
        attempt=packed.attempt,
        metrics=tuple(metrics),
        counts=counts | {"trainable_parameters": 100, "total_parameters": 10_000, "effective_batch_size": 4},
        hashes={split: "0" * 64 for split in ("train", "validation", "test")},
        costs={"train_seconds": 0.0, "train_samples_per_second": 0.0, "peak_memory_bytes": 0.0},
        provenance={"device": "cpu", "dtype": "float32", "base_mode": "resident", "costs": "nothing was trained"},
        epochs=1.0,
        label_names=("a", "b"),
    )


def _say(pack: PackSpec, packed: PackedCell, kind: EventKind, /, **data: object) -> Event:
    return Event(
        kind=kind,
        pack_id=pack.pack_id,
        cell_id=packed.cell.cell_id,
        epoch=packed.epoch,
        attempt=packed.attempt,
        data=data,
    )
