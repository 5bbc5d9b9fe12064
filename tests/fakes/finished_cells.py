"""Small cells, trained and published for real: what the tests of explanations start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobs.spec import (
    CellSpec,
    ComputeSpec,
    DataSpec,
    EventKind,
    LoraSpec,
    ModelSpec,
    PackedCell,
    PackSpec,
    RecipeSpec,
    Strategy,
)
from jobs.trial import Workshop, run_pack
from jobs.work_messages import AskedCell

ONE = DataSpec(source="builtin", rows=3000, num_labels=3, num_samples=48, test_per_label=6, validation_per_label=4)
SEVERAL = DataSpec(
    source="builtin", rows=3000, task="multi_label", protocol="official", num_labels=4, num_samples=64, overlap="drop"
)
_COMPUTE = ComputeSpec(precision="fp32", numerics="fast", reload_check=False, cost_probe=False, slots=4)
_TINY = ModelSpec(name="tiny-bert", source="tiny", location="bert", revision="1")


def _cell(number: int, strategy: Strategy, data: DataSpec, *, keep_weights: str = "best") -> CellSpec:
    metric = "accuracy" if data.task == "single_label" else "f1_macro"
    return CellSpec(
        cell_id=f"{number:016x}",
        grid="explained",
        strategy=strategy,
        seed=0,
        data=data,
        recipe=RecipeSpec(epochs=2, batch_size=8, learning_rate=5e-3, max_length=24, select_on=metric),
        model=None if strategy.is_baseline else _TINY,
        lora=LoraSpec(r=4) if strategy.has_adapters else None,
        compute=_COMPUTE,
        keep_weights=keep_weights,
    )


CELLS = {
    "full": _cell(1, Strategy.FULL, ONE),
    "no weights": _cell(2, Strategy.FULL, ONE, keep_weights="adapters"),
    "lora": _cell(3, Strategy.LORA, ONE),
    "several": _cell(4, Strategy.LORA, SEVERAL),
    "baseline": _cell(5, Strategy.MAJORITY, ONE),
}
_PACKS = (("full", "no weights"), ("lora", "several"), ("baseline",))


def finished_cells(results: Path, cache: Path) -> dict[str, AskedCell]:
    """Train all cells into a results folder."""
    workshop = Workshop(results, cache)
    folders = {}
    for names in _PACKS:
        folders |= _run([CELLS[name] for name in names], workshop)
    return {
        name: AskedCell(cell_id=cell.cell_id, title=cell.title, folder=folders[cell.cell_id])
        for name, cell in CELLS.items()
    }


def _run(cells: Sequence[CellSpec], workshop: Workshop) -> dict[str, str]:
    packed = tuple(PackedCell(cell=cell, epoch=1, attempt=1) for cell in cells)
    spec = PackSpec(pack_id=f"p{cells[0].cell_id[-1]}", base_key=f"tiny-bert:{cells[0].strategy}", cells=packed)
    events = list(run_pack(spec, workshop))
    done = [event for event in events if event.kind is EventKind.CELL_FINISHED]
    assert len(done) == len(cells), [event.data for event in events if event.kind is EventKind.CELL_FAILED]
    return {str(event.cell_id): str(event.data["folder"]) for event in done}
