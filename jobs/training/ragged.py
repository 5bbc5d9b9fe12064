"""One forward pass over many cells' texts as a single row of real tokens, without padding.

Shapes: N rows (tokens of the whole pass), S texts, n cells of a group, R most tokens of a cell,
b most texts of a cell. Tokens of a text, texts of a cell and cells of a group are contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from jobs.training.rows import Places, inverse_or_end, padded_places, starts_of
from jobs.training.text_buckets import TextBuckets, text_buckets


@dataclass(frozen=True, kw_only=True)
class CellGroup:
    """Cells whose rows go through one matrix product together."""

    num_cells: int
    rows: slice
    texts: slice
    row_places: Places
    text_places: Places


@dataclass(kw_only=True)
class Rows:
    """What row-wise layers need to know: which rows belong to whom, and their dropout keys."""

    num_rows: int
    rows_n: np.ndarray
    """Rows of every cell."""
    groups: tuple[CellGroup, ...]
    row_keys_N: Tensor | None = None
    """Dropout key of every row (int32): from cell seed, step, place of the text and token; None in evaluation."""
    multipliers: dict[tuple[int, int, torch.dtype], dict[int, Tensor]] = field(default_factory=dict)
    """Dropout masks drawn ahead, by (group of sites, columns, dtype) and site."""


@dataclass(kw_only=True)
class RaggedBatch(Rows):
    """The texts of one pass with every index that attention, adapters and heads need."""

    input_ids_N: Tensor
    position_ids_N: Tensor
    texts_n: np.ndarray
    """Texts of every cell."""
    buckets: TextBuckets
    pooled_token_S: Tensor
    """The token of every text that the head sees; its last where nothing was said."""
    text_or_zero_N: Tensor
    """The text whose pooled token a row is, and the number of texts at all other rows."""
    text_keys_S: Tensor | None = None
    features_SH: Tensor | None = None
    """Pooled vectors known beforehand (strategy head); None: the base has to run."""
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
    texts = [text for cell in cells for text in cell]
    lengths_S = np.array([len(text) for text in texts], dtype=np.int64)
    texts_n = np.array([len(cell) for cell in cells], dtype=np.int64)
    starts_S = starts_of(lengths_S)
    text_of_token_N = np.repeat(np.arange(len(texts)), lengths_S)
    place_N = np.arange(int(lengths_S.sum())) - starts_S[text_of_token_N]
    cell_of_text_S = np.repeat(np.arange(len(cells)), texts_n)
    tokens_n = np.bincount(cell_of_text_S, weights=lengths_S, minlength=len(cells)).astype(np.int64)

    def to_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    row_keys_N = text_keys_S = pooled_keys_S = None
    pooled = starts_S if pooling == "first" else starts_S + lengths_S - 1
    pooled_S = to_device(pooled)
    if keys is not None:
        place_of_text_S = np.arange(len(texts)) - starts_of(texts_n)[cell_of_text_S]
        text_keys = _mix(np.array(keys, dtype=np.int64)[cell_of_text_S], place_of_text_S + 1)
        row_keys_N = to_device(_folded(_mix(text_keys[text_of_token_N], place_N + 1)))
        text_keys_S = to_device(_folded(text_keys))
        pooled_keys_S = row_keys_N[pooled_S]
    sizes = group_sizes or [len(cells)]
    pooled_rows = Rows(
        num_rows=len(texts),
        rows_n=texts_n,
        groups=_groups(sizes, texts_n, texts_n, device),
        row_keys_N=pooled_keys_S,
    )
    return RaggedBatch(
        num_rows=len(place_N),
        rows_n=tokens_n,
        groups=_groups(sizes, tokens_n, texts_n, device),
        input_ids_N=to_device(np.concatenate(texts).astype(np.int64)),
        position_ids_N=to_device(place_N + position_offset),
        texts_n=texts_n,
        buckets=text_buckets(lengths_S, starts_S, device=device, pooled_S=pooled),
        pooled_token_S=pooled_S,
        text_or_zero_N=to_device(inverse_or_end(pooled, len(place_N))),
        row_keys_N=row_keys_N,
        text_keys_S=text_keys_S,
        pooled=None if pooling is None else pooled_rows,
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
                texts=slice(text, text + num_texts),
                row_places=padded_places(own_rows, device),
                text_places=padded_places(own_texts, device),
            )
        )
        cell, row, text = cell + size, row + num_rows, text + num_texts
    return tuple(groups)


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
