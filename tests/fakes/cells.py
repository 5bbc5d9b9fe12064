"""Small cells and batches for tests of queue, runners and run."""

from __future__ import annotations

from grid.queue import Batch
from jobs.spec import CellSpec, DataSpec, ModelSpec, RecipeSpec, Resources, Strategy


def cell(number: int, *, variant: str | None = None, base: str = "tiny-bert") -> CellSpec:
    """A complete cell with a readable id; `variant` is the fake trial's script."""
    return CellSpec(
        cell_id=f"{number:016x}",
        grid="toy",
        strategy=Strategy.LORA,
        seed=number,
        data=DataSpec(source="builtin", revision="1", num_labels=2, num_samples=8),
        recipe=RecipeSpec(epochs=1),
        model=ModelSpec(name=base, source="tiny", location=base, revision="1"),
        variant=variant,
        axes={"seed": number},
    )


def batch(*cells: CellSpec, base: str = "base-a", cpus: int = 1) -> Batch:
    """Cells that shall train together."""
    return Batch(cells=cells, base_key=base, resources=Resources(cpus=cpus))
