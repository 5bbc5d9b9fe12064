"""One forward pass over many cells' texts as a single row of real tokens, without padding.

Shapes: N rows (tokens of the whole pass and fillers), S texts, n cells of a group, R most tokens of a cell,
b most texts of a cell. Tokens of a text, texts of a cell and cells of a group are contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from jobs.models.padding import Padded
from jobs.training.rows import Places, inverse_or_end, padded_places, starts_of
from jobs.training.text_buckets import TextBuckets, text_buckets
from jobs.training.upload import on_device

ROW_STEP = 8
"""Rows of a group are a multiple of this."""


@dataclass(frozen=True, kw_only=True)
class CellGroup:
    """Cells whose rows go through one matrix product together."""

    num_cells: int
    rows: slice
    cell_rows: tuple[slice, ...]
    """Rows of every cell, counted from the group's first."""
    texts: slice
    row_places: Places
    text_places: Places


@dataclass
class DrawnAhead:
    """Dropout masks that later places of a pass will ask for."""

    masks: dict[int, Tensor] = field(default_factory=dict)
    """By site; taken out when used."""
    end: int = 0
    """Places of the group that have been drawn."""


@dataclass(kw_only=True)
class Rows:
    """What row-wise layers need to know: which rows belong to whom, and their dropout keys."""

    num_rows: int
    rows_n: np.ndarray
    """Rows of every cell; the last one of a group has its fillers, too."""
    groups: tuple[CellGroup, ...]
    row_keys_N: Tensor | None = None
    """Dropout key of every row (int32): from cell seed, step, place of the text and token; None in evaluation."""
    multipliers: dict[tuple[int, int, torch.dtype], DrawnAhead] = field(default_factory=dict)
    """Dropout masks drawn ahead, by (group of sites, columns, dtype)."""


@dataclass(kw_only=True)
class RaggedBatch(Rows):
    """The texts of one pass with every index that attention, adapters and heads need."""

    input_ids_N: Tensor
    position_ids_N: Tensor
    texts_n: np.ndarray
    """Texts of every cell."""
    tokens_n: np.ndarray
    """Tokens of every cell's texts."""
    buckets: TextBuckets
    pooled_token_S: Tensor
    """The token of every text that the head sees; its last where nothing was said."""
    text_or_zero_N: Tensor
    """The text whose pooled token a row is, and the number of texts at all other rows."""
    text_keys_S: Tensor | None = None
    features_SH: Tensor | None = None
    """Pooled vectors known beforehand (strategy head); None: the base has to run."""
    padded: Padded | None = None
    """The same texts in rows of equal length, for a stock classifier."""
    pooled: Rows | None
    """The pooled tokens alone, as rows; None: every layer computes all tokens."""


def ragged_batch(
    cells: Sequence[Sequence[np.ndarray]],
    *,
    position_offset: int,
    device: torch.device,
    keys: Sequence[int] | None,
    group_sizes: Sequence[int] | None = None,
    pooling: str | None = None,
) -> RaggedBatch:
    """Lay out the texts of several cells in one row.

    Args:
        cells: for every cell its texts, each an int array of token ids with at least one token.
        position_offset: position id of a text's first token.
        device: where the tensors are to live.
        keys: one dropout key a cell (from seed and step), or None in evaluation.
        group_sizes: how many cells, in order, are computed together; default: all in one group.
        pooling: first | last: the token of a text that the head sees, so that the last layer may leave out the
            others; None: it computes all.
    Returns:
        the batch.
    """
    sizes = list(group_sizes or [len(cells)])
    layout = _laid_out(cells, sizes)
    lengths_A = np.array([len(text) for text in layout.texts], dtype=np.int64)
    starts_A = starts_of(lengths_A)
    text_of_row_N = np.repeat(np.arange(len(layout.texts)), lengths_A)
    place_N = np.arange(int(lengths_A.sum())) - starts_A[text_of_row_N]
    rows_n = np.bincount(layout.cell_A, weights=lengths_A, minlength=len(cells)).astype(np.int64)
    texts_n = np.array([len(cell) for cell in cells], dtype=np.int64)
    lengths_S, starts_S = lengths_A[layout.is_real_A], starts_A[layout.is_real_A]

    def to_device(array: np.ndarray) -> Tensor:
        return on_device(np.ascontiguousarray(array), device)

    row_keys_N = text_keys_S = pooled_keys_S = None
    pooled = starts_S if pooling == "first" else starts_S + lengths_S - 1
    pooled_S = to_device(pooled)
    if keys is not None:
        text_keys_A = _mix(np.array(keys, dtype=np.int64)[layout.cell_A], layout.place_A + 1)
        row_keys_N = to_device(_folded(_mix(text_keys_A[text_of_row_N], place_N + 1)))
        text_keys_S = to_device(_folded(text_keys_A[layout.is_real_A]))
        pooled_keys_S = row_keys_N[pooled_S]
    return RaggedBatch(
        num_rows=len(place_N),
        rows_n=rows_n,
        tokens_n=np.bincount(layout.cell_A[layout.is_real_A], weights=lengths_S, minlength=len(cells)).astype(np.int64),
        groups=_groups(sizes, rows_n, texts_n, device),
        input_ids_N=to_device(np.concatenate(layout.texts).astype(np.int64)),
        position_ids_N=to_device(place_N + position_offset),
        texts_n=texts_n,
        buckets=text_buckets(lengths_S, starts_S, num_rows=len(place_N), device=device, pooled_S=pooled),
        pooled_token_S=pooled_S,
        text_or_zero_N=to_device(inverse_or_end(pooled, len(place_N))),
        row_keys_N=row_keys_N,
        text_keys_S=text_keys_S,
        pooled=None if pooling is None else _one_row_a_text(sizes, texts_n, pooled_keys_S, device),
    )


def _one_row_a_text(sizes: Sequence[int], texts_n: np.ndarray, keys_S: Tensor | None, device: torch.device) -> Rows:
    """The pooled tokens alone."""
    groups = _groups(sizes, texts_n, texts_n, device)
    return Rows(num_rows=int(texts_n.sum()), rows_n=texts_n, groups=groups, row_keys_N=keys_S)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Texts in the order of their rows, fillers among them (A: all of them)."""

    texts: list[np.ndarray]
    cell_A: np.ndarray
    place_A: np.ndarray
    """Place of a text in its cell."""
    is_real_A: np.ndarray


def _laid_out(cells: Sequence[Sequence[np.ndarray]], sizes: Sequence[int]) -> _Layout:
    """Fill every group up to a multiple of some rows, behind its last cell.

    CPU libraries generate code for every new shape of a product, which costs more than a small product itself: few
    shapes are worth a few rows. Fillers attend to nothing and are read by nobody, so their gradients are zeros.
    """
    texts: list[np.ndarray] = []
    cell_A: list[int] = []
    place_A: list[int] = []
    is_real_A: list[bool] = []
    first = 0
    for size in sizes:
        tokens = 0
        for cell in range(first, first + size):
            texts += cells[cell]
            cell_A += [cell] * len(cells[cell])
            place_A += range(len(cells[cell]))
            is_real_A += [True] * len(cells[cell])
            tokens += sum(len(text) for text in cells[cell])
        first += size
        if missing := -tokens % ROW_STEP:
            texts.append(np.zeros(missing, dtype=np.int32))
            cell_A.append(first - 1)
            place_A.append(len(cells[first - 1]))
            is_real_A.append(False)
    return _Layout(
        texts=texts, cell_A=np.array(cell_A), place_A=np.array(place_A), is_real_A=np.array(is_real_A, dtype=bool)
    )


def _groups(
    sizes: Sequence[int], rows_n: np.ndarray, texts_n: np.ndarray, device: torch.device
) -> tuple[CellGroup, ...]:
    groups, cell, row, text = [], 0, 0, 0
    for size in sizes:
        own_rows, own_texts = rows_n[cell : cell + size], texts_n[cell : cell + size]
        num_rows, num_texts = int(own_rows.sum()), int(own_texts.sum())
        groups.append(
            CellGroup(
                num_cells=size,
                rows=slice(row, row + num_rows),
                cell_rows=_slices(own_rows),
                texts=slice(text, text + num_texts),
                row_places=padded_places(own_rows, device, step=2 * ROW_STEP if size > 1 else 1),
                text_places=padded_places(own_texts, device),
            )
        )
        cell, row, text = cell + size, row + num_rows, text + num_texts
    return tuple(groups)


def _slices(counts: np.ndarray) -> tuple[slice, ...]:
    starts = starts_of(counts)
    return tuple(slice(int(first), int(first + count)) for first, count in zip(starts, counts, strict=True))


def step_key(seed: int, step: int, micro_index: int) -> int:
    """Dropout key of one cell for one micro-batch: a function of its own seed and progress."""
    key = _mix(_mix(np.array([seed]), np.array([step + 1])), np.array([micro_index + 1]))
    return int(key[0])


def _folded(keys: np.ndarray) -> np.ndarray:
    """Both halves of 64-bit keys in 32 bits."""
    words = np.ascontiguousarray(keys).view(np.int32).reshape(-1, 2)
    folded: np.ndarray = words[:, 0] ^ words[:, 1]
    return folded


def _mix(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Combine two integer keys into one (splitmix64 finaliser, wrapping arithmetic)."""
    with np.errstate(over="ignore"):
        z = left.astype(np.uint64) + right.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: np.ndarray = (z ^ (z >> np.uint64(31))).astype(np.int64)
        return mixed
