"""From a declaration to a cell's rows as the model takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from jobs.data import prepare
from jobs.data.tokens import tokenise
from jobs.errors import UserError
from jobs.models.base import Base
from jobs.spec import PackedCell
from jobs.training.cell_run import CellData


def load_data(packed: PackedCell, base: Base, cache: Path) -> CellData:
    """Choose and tokenise a cell's rows.

    Raises:
        DataError: the protocol cannot be met.
        UserError: max_length, with a prefix in front, exceeds the model's positions.
    """
    cell = packed.cell
    in_front = cell.prefix.tokens if cell.prefix else 0
    if cell.recipe.max_length + in_front > base.max_positions:
        prefix = f" and prefix.tokens = {in_front}" if in_front else ""
        raise UserError(
            f"recipe.max_length = {cell.recipe.max_length}{prefix}: {cell.model.name if cell.model else ''} has only "
            f"{base.max_positions} positions"
        )
    data = prepare(cell.data, seed=cell.seed, cache=cache)
    tokens: dict[str, tuple[np.ndarray, ...]] = {}
    counts = dict(data.counts)
    splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
    if cell.candidate is not None:
        splits["test"] = replace(data.test, texts=(), labels=data.test.labels[:0], row_ids=())
    for name, split in splits.items():
        found = tokenise(
            base.tokenizer,
            base.tokenizer_key,
            split.texts,
            max_length=cell.recipe.max_length,
            cache=cache,
            side=cell.recipe.truncation,
        )
        tokens[name] = found.ids
        counts["texts_truncated"] = counts.get("texts_truncated", 0) + found.num_truncated
        counts["texts_empty"] = counts.get("texts_empty", 0) + found.num_empty
    return CellData(
        label_names=data.label_names,
        tokens=tokens,
        labels={name: split.labels for name, split in splits.items()},
        row_ids={name: split.row_ids for name, split in splits.items()},
        hashes=dict(data.hashes),
        counts=counts,
        marks=tuple(data.marks),
    )
