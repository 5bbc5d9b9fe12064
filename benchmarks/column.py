"""The column that is measured: one model, label counts x sizes, every cell with the same recipe.

MODEL is a folder in transformers format or `tiny:FAMILY`; DATA is a folder or file that `jobs.data` reads, or
`builtin`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.data import prepare
from jobs.data.tokens import tokenise
from jobs.spec import (
    CellSpec,
    ComputeSpec,
    DataSpec,
    LoraSpec,
    ModelSpec,
    PackedCell,
    PackSpec,
    QuantizationSpec,
    RecipeSpec,
    Resources,
    Strategy,
)
from jobs.training import schedule
from jobs.training.cell_run import CellData

LABELS: tuple[int, ...] = (2, 4, 8, 16)
SAMPLES: tuple[int, ...] = (200, 400, 600)
HELD_OUT_ROWS = 200
"""Rows of the validation set and of the test set: 200 // labels of each label."""
LORA = LoraSpec(r=8, alpha=16, dropout=0.05)
RECIPE = RecipeSpec(
    epochs=2,
    batch_size=4,
    learning_rate=5e-4,
    schedule="cosine",
    warmup_ratio=0.1,
    weight_decay=0.01,
    max_grad_norm=1.0,
    eval_every=50,
    select_on="last",
    max_length=128,
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """Cells that share a base and a recipe."""

    model: ModelSpec
    cells: tuple[CellSpec, ...]

    @property
    def total_steps(self) -> int:
        """Optimiser steps of all cells."""
        return sum(steps_of(cell) for cell in self.cells)

    def pack(self, compute: ComputeSpec, *, threads: int, gpus: float) -> PackSpec:
        """The column as one pack in one numeric mode."""
        cells = tuple(PackedCell(cell=replace(cell, compute=compute), epoch=1, attempt=1) for cell in self.cells)
        key = f"{self.model.location}:{compute.precision}:{compute.base}:{compute.numerics}"
        return PackSpec(pack_id="column", base_key=key, cells=cells, resources=Resources(cpus=threads, gpus=gpus))


def make_column(model: str, data: str, *, quick: bool = False) -> Column:
    """Declare the cells.

    Args:
        model: model folder or `tiny:FAMILY`.
        data: data folder or file, or `builtin`.
        quick: 4 small cells of one epoch, to see that everything works; its times mean nothing.
    Returns:
        the column, cells in the order of label counts and sizes.
    """
    labels, samples, recipe, held_out = LABELS, SAMPLES, RECIPE, HELD_OUT_ROWS
    if quick:
        labels, samples, held_out = (2, 4), (16, 32), 24
        recipe = replace(RECIPE, epochs=1, eval_every=5)
    spec = model_spec(model)
    cells = tuple(
        CellSpec(
            cell_id=hashlib.sha256(f"{num_labels}/{num_samples}".encode()).hexdigest()[:16],
            grid="benchmark",
            strategy=Strategy.QLORA,
            seed=place,
            data=data_spec(data, num_labels=num_labels, num_samples=num_samples, held_out_rows=held_out),
            recipe=recipe,
            model=spec,
            lora=LORA,
            quantization=QuantizationSpec(),
        )
        for place, (num_labels, num_samples) in enumerate((k, m) for k in labels for m in samples)
    )
    return Column(model=spec, cells=cells)


def model_spec(model: str) -> ModelSpec:
    """A model given on the command line."""
    source, _, family = model.partition(":")
    if source == "tiny":
        return ModelSpec(name=f"tiny-{family}", source="tiny", location=family)
    folder = Path(model).expanduser().absolute()
    return ModelSpec(name=folder.name, source="folder", location=str(folder))


def data_spec(data: str, *, num_labels: int, num_samples: int, held_out_rows: int) -> DataSpec:
    """The share of one cell in the data given on the command line."""
    per_label = held_out_rows // num_labels
    common = DataSpec(
        source="builtin",
        rows=10_000,
        num_labels=num_labels,
        num_samples=num_samples,
        test_per_label=per_label,
        validation_per_label=per_label,
    )
    if data == "builtin":
        return common
    return replace(common, source="files", path=str(Path(data).expanduser().absolute()))


def steps_of(cell: CellSpec) -> int:
    """Optimiser steps of one cell."""
    return schedule.steps_per_epoch(cell.recipe, cell.data.num_samples or 0) * cell.recipe.epochs


def model_of(cell: CellSpec) -> ModelSpec:
    """The cell's model; every cell of a benchmark has one."""
    if cell.model is None:
        raise ValueError(f"cell {cell.cell_id} has no model")
    return cell.model


def spread(cells: tuple[CellSpec, ...], count: int) -> tuple[CellSpec, ...]:
    """Choose cells that stand for all: spread evenly over the sizes, then the label counts."""
    ordered = sorted(cells, key=lambda cell: (steps_of(cell), cell.data.num_labels or 0))
    if count >= len(ordered):
        return cells
    chosen = {ordered[int((k + 0.5) * len(ordered) / count)].cell_id for k in range(count)}
    return tuple(cell for cell in cells if cell.cell_id in chosen)


def cell_data(cell: CellSpec, tokenizer: object, cache: Path) -> CellData:
    """A cell's rows as token ids: the same rows for every arm of a benchmark."""
    model = model_of(cell)
    key = f"{model.source}:{model.location}:{model.revision}"  # as in jobs.models.loading: one cache
    prepared = prepare(cell.data, seed=cell.seed, cache=cache)
    splits = {name: getattr(prepared, name) for name in ("train", "validation", "test")}
    ids = {
        name: tokenise(tokenizer, key, split.texts, max_length=cell.recipe.max_length, cache=None).ids
        for name, split in splits.items()
    }
    return CellData(
        label_names=prepared.label_names,
        tokens=ids,
        labels={name: split.labels for name, split in splits.items()},
        row_ids={name: split.row_ids for name, split in splits.items()},
        hashes=dict(prepared.hashes),
        counts={},
        marks=(),
    )


def step_cells(model: str, data: str, count: int, *, quick: bool = False) -> tuple[CellSpec, ...]:
    """Cells for measurements of single steps: label counts in turn, all of the largest size, each with its own seed.

    They have so many epochs that no measurement reaches their end.
    """
    column = make_column(model, data, quick=quick)
    largest = max(cell.data.num_samples or 0 for cell in column.cells)
    kinds = [
        replace(cell, recipe=replace(cell.recipe, epochs=1000))
        for cell in column.cells
        if cell.data.num_samples == largest
    ]
    return tuple(replace(kinds[place % len(kinds)], cell_id=f"{place:016x}", seed=place) for place in range(count))
