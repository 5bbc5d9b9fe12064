"""What every arm of a benchmark starts from: rows as token ids, initial tensors, tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from column import Column, cell_data
from torch import Tensor

from jobs.models.loading import load_base, quiet_libraries
from jobs.models.tiny import tiny_folder
from jobs.spec import ComputeSpec, ModelSpec, PackedCell
from jobs.training.cell_run import CellData, start_cell


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The same start for all arms."""

    location: str
    """Folder for `from_pretrained`."""
    tokenizer: Any
    data: dict[str, CellData]
    """Rows by cell_id."""
    initial: dict[str, dict[str, Tensor]]
    """First values of the trained tensors by cell_id and FineGrid's name."""


def prepare_column(column: Column, cache: Path) -> Prepared:
    """Read and tokenise all rows and draw all initial tensors, before any clock runs.

    Side effects:
        rows and token ids stay in this process, so that no arm pays for them.
    """
    quiet_libraries()
    compute = ComputeSpec(precision="fp32", base="resident", numerics="fast", device="cpu")
    base = load_base("prepare", column.model, quantization=None, compute_spec=compute, gpus=0, cache=cache)
    data = {cell.cell_id: cell_data(cell, base.tokenizer, cache) for cell in column.cells}
    initial = {
        cell.cell_id: start_cell(PackedCell(cell=cell, epoch=1, attempt=1), data[cell.cell_id], base).initial
        for cell in column.cells
    }
    return Prepared(location=model_folder(column.model, cache), tokenizer=base.tokenizer, data=data, initial=initial)


def model_folder(spec: ModelSpec, cache: Path) -> str:
    """Where `from_pretrained` finds the model."""
    return str(tiny_folder(spec.location, cache)) if spec.source == "tiny" else spec.location


def without_dropout(column: Column, folder: Path, cache: Path) -> Column:
    """The same cells on a copy of the model whose configuration has no dropout.

    Args:
        column: the cells.
        folder: an empty folder for the copy; files other than the configuration are links.
        cache: where tiny members live.
    Returns:
        the column without any random masks, so that two implementations can be compared.
    """
    source = Path(model_folder(column.model, cache))
    for path in source.iterdir():
        if path.name != "config.json":
            (folder / path.name).symlink_to(path)
    config = json.loads((source / "config.json").read_text("utf-8"))
    for name, value in config.items():
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, float):
            config[name] = 0.0
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    model = ModelSpec(name=column.model.name, source="folder", location=str(folder))
    cells = tuple(
        replace(cell, model=model, lora=replace(cell.lora, dropout=0.0) if cell.lora else None) for cell in column.cells
    )
    return Column(model=model, cells=cells)
