"""One forward pass over many cells' texts as a single row of real tokens, without padding.

Shapes: N tokens of the whole batch, S texts, n cells, L longest text, R most tokens of a cell,
b most texts of a cell. Tokens of a text, and texts of a cell, are contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(kw_only=True)
class RaggedBatch:
    """The texts of one pass with every index that attention, adapters and heads need."""

    input_ids_N: Tensor
    position_ids_N: Tensor
    num_cells: int
    attention_gather_SL: Tensor
    """Token index of every padded place of every text (0 at padding)."""
    attention_scatter_N: Tensor
    """Place of every token in the flattened [S, L]."""
    lengths_S: Tensor
    cell_gather_nR: Tensor | None
    """Token index of every padded place of every cell; None when all cells have equally many tokens."""
    cell_scatter_N: Tensor
    text_gather_nb: Tensor
    """Text index of every padded place of every cell (0 at padding)."""
    text_mask_nb: Tensor
    """True where a text stands."""
    text_scatter_S: Tensor
    first_token_S: Tensor
    last_token_S: Tensor
    row_keys_N: Tensor | None = None
    """Dropout key of every token (int64): from cell seed, step, place of the text and token; None in evaluation."""
    text_keys_S: Tensor | None = None
    features_SH: Tensor | None = None
    """Pooled vectors known beforehand (strategy head); None: the base has to run."""
    multipliers: dict[tuple[int, int, torch.dtype], dict[int, Tensor]] = field(default_factory=dict)
    """Dropout masks drawn ahead, by (group of places, columns, dtype) and place."""
    biases: dict[tuple[bool, int | None, torch.dtype], Tensor] = field(default_factory=dict)
    """Attention biases made so far, by (causal, window, dtype)."""

    @property
    def num_tokens(self) -> int:
        """Real tokens in this pass."""
        return int(self.input_ids_N.shape[0])

    def attention_bias(self, *, causal: bool, window: int | None, dtype: torch.dtype) -> Tensor:
        """Additive attention bias [S, 1, 1 or L, L]: 0 where a query may look, the lowest number elsewhere."""
        key = (causal, window, dtype)
        if key not in self.biases:
            self.biases[key] = self._make_bias(causal, window, dtype)
        return self.biases[key]

    def _make_bias(self, causal: bool, window: int | None, dtype: torch.dtype) -> Tensor:
        length = self.attention_gather_SL.shape[1]
        places_L = torch.arange(length, device=self.lengths_S.device)
        allowed_SLL = (places_L < self.lengths_S.unsqueeze(1)).unsqueeze(1)
        distance_LL = places_L.unsqueeze(1) - places_L.unsqueeze(0)
        if causal:
            allowed_SLL = allowed_SLL & (distance_LL >= 0)
        if window is not None and length > window:
            allowed_SLL = allowed_SLL & (distance_LL.abs() < window)
        bias = torch.zeros(allowed_SLL.shape, dtype=dtype, device=self.lengths_S.device)
        return bias.masked_fill_(~allowed_SLL, torch.finfo(dtype).min).unsqueeze(1)


def ragged_batch(
    cells: Sequence[Sequence[np.ndarray]], *, position_offset: int, device: torch.device, keys: Sequence[int] | None
) -> RaggedBatch:
    """Lay out the texts of several cells in one row.

    Args:
        cells: for every cell its texts, each an int array of token ids with at least one token.
        position_offset: position id of a text's first token.
        device: where the tensors are to live.
        keys: one dropout key a cell (from seed and step), or None in evaluation.
    Returns:
        the batch.
    """
    texts = [text for cell in cells for text in cell]
    lengths_S = np.array([len(text) for text in texts], dtype=np.int64)
    texts_n = np.array([len(cell) for cell in cells], dtype=np.int64)
    starts_S = np.concatenate(([0], np.cumsum(lengths_S)[:-1]))
    text_of_token_N = np.repeat(np.arange(len(texts)), lengths_S)
    place_N = np.arange(int(lengths_S.sum())) - starts_S[text_of_token_N]
    cell_of_text_S = np.repeat(np.arange(len(cells)), texts_n)
    first_text_n = np.concatenate(([0], np.cumsum(texts_n)[:-1]))
    place_of_text_S = np.arange(len(texts)) - first_text_n[cell_of_text_S]

    longest = int(lengths_S.max())
    attention_scatter_N = text_of_token_N * longest + place_N
    tokens_n = np.bincount(cell_of_text_S, weights=lengths_S, minlength=len(cells)).astype(np.int64)
    cell_start_n = np.concatenate(([0], np.cumsum(tokens_n)[:-1]))
    cell_of_token_N = cell_of_text_S[text_of_token_N]
    most_tokens, most_texts = int(tokens_n.max()), int(texts_n.max())
    cell_scatter_N = cell_of_token_N * most_tokens + (np.arange(len(place_N)) - cell_start_n[cell_of_token_N])
    text_scatter_S = cell_of_text_S * most_texts + place_of_text_S
    equal_cells = bool((tokens_n == most_tokens).all())

    def to_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    row_keys_N = text_keys_S = None
    if keys is not None:
        keys_n = np.array(keys, dtype=np.int64)
        text_keys = _mix(keys_n[cell_of_text_S], place_of_text_S + 1)
        row_keys_N = to_device(_mix(text_keys[text_of_token_N], place_N + 1))
        text_keys_S = to_device(text_keys)
    return RaggedBatch(
        input_ids_N=to_device(np.concatenate(texts).astype(np.int64)),
        position_ids_N=to_device(place_N + position_offset),
        num_cells=len(cells),
        attention_gather_SL=to_device(_inverse(attention_scatter_N, len(texts) * longest).reshape(-1, longest)),
        attention_scatter_N=to_device(attention_scatter_N),
        lengths_S=to_device(lengths_S),
        cell_gather_nR=None
        if equal_cells
        else to_device(_inverse(cell_scatter_N, len(cells) * most_tokens).reshape(-1, most_tokens)),
        cell_scatter_N=to_device(cell_scatter_N),
        text_gather_nb=to_device(_inverse(text_scatter_S, len(cells) * most_texts).reshape(-1, most_texts)),
        text_mask_nb=to_device(np.arange(most_texts)[None, :] < texts_n[:, None]),
        text_scatter_S=to_device(text_scatter_S),
        first_token_S=to_device(starts_S),
        last_token_S=to_device(starts_S + lengths_S - 1),
        row_keys_N=row_keys_N,
        text_keys_S=text_keys_S,
    )


class _PadRows(torch.autograd.Function):
    """Rows to padded places: a gather forwards and, because places are used once, a gather backwards."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x_NI: Tensor, gather: Tensor, scatter_N: Tensor) -> Tensor:
        ctx.save_for_backward(scatter_N)
        return x_NI.index_select(0, gather.reshape(-1))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        (scatter_N,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return grads[0].index_select(0, scatter_N), None, None


class _UnpadRows(torch.autograd.Function):
    """Padded places back to rows; backwards, padded places receive exact zeros."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x_PI: Tensor, scatter_N: Tensor) -> Tensor:
        ctx.save_for_backward(scatter_N)
        ctx.places = x_PI.shape[0]  # type: ignore[attr-defined]
        return x_PI.index_select(0, scatter_N)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (scatter_N,) = ctx.saved_tensors  # type: ignore[attr-defined]
        zeros_PI = grads[0].new_zeros((ctx.places, *grads[0].shape[1:]))  # type: ignore[attr-defined]
        return zeros_PI.index_copy_(0, scatter_N, grads[0]), None


def pad_rows(x_NI: Tensor, gather: Tensor, scatter_N: Tensor) -> Tensor:
    """Spread rows over padded places; what stands at padding is arbitrary and must not be read.

    Args:
        x_NI: rows.
        gather: row index of every place; any shape.
        scatter_N: place of every row in the flattened gather.
    Returns:
        the places, shaped like gather with the row's own shape behind.
    """
    flat: Tensor = _PadRows.apply(x_NI, gather, scatter_N)  # type: ignore[no-untyped-call]
    return flat.reshape(*gather.shape, *x_NI.shape[1:])


def unpad_rows(x_PI: Tensor, scatter_N: Tensor) -> Tensor:
    """Collect the real rows out of flattened padded places."""
    rows_NI: Tensor = _UnpadRows.apply(x_PI, scatter_N)  # type: ignore[no-untyped-call]
    return rows_NI


def step_key(seed: int, step: int, micro_index: int) -> int:
    """Dropout key of one cell for one micro-batch: a function of its own seed and progress."""
    key = _mix(_mix(np.array([seed]), np.array([step + 1])), np.array([micro_index + 1]))
    return int(key[0])


def _inverse(scatter: np.ndarray, places: int) -> np.ndarray:
    gather = np.zeros(places, dtype=np.int64)
    gather[scatter] = np.arange(len(scatter))
    return gather


def _mix(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Combine two integer keys into one (splitmix64 finaliser, wrapping arithmetic)."""
    with np.errstate(over="ignore"):
        z = left.astype(np.uint64) + right.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: np.ndarray = (z ^ (z >> np.uint64(31))).astype(np.int64)
        return mixed
