"""Moving rows between layouts: padded places, selections, and back, with gradients that are gathers, too.

Filling rows into zeros is several times slower on a CPU than gathering from rows with a zero row behind them.

Shapes: N rows, P places, n cells, R places of a cell, S selected rows, I columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from jobs.training.upload import on_device


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the rows of each cell of a group stand when all cells are padded to the same number."""

    gather_nR: Tensor
    """Row of every place, counted from the group's first; padding repeats a row of the same cell."""
    scatter_N: Tensor
    """Place of every row in the flattened gather."""
    gather_or_zero_P: Tensor
    """For gradients: as gather, but one behind the last row at padding."""
    is_full: bool
    """True when there is no padding at all: a plain view does."""


def starts_of(counts: np.ndarray) -> np.ndarray:
    """Index of the first row of everybody, from how many each has."""
    return np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)


def inverse_or_end(scatter: np.ndarray, num_places: int) -> np.ndarray:
    """The row at every place, and the number of rows where no row stands."""
    inverse = np.full(num_places, len(scatter), dtype=np.int64)
    inverse[scatter] = np.arange(len(scatter))
    return inverse


def padded_places(counts_n: np.ndarray, device: torch.device, *, step: int = 1) -> Places:
    """Spread cells with some rows each over equally many places, a multiple of a step."""
    most = -(-int(counts_n.max()) // step) * step
    places_R = np.arange(most)
    mask_nR = places_R < counts_n[:, None]
    scatter_N = np.flatnonzero(mask_nR)
    gather_nR = starts_of(counts_n)[:, None] + np.where(mask_nR, places_R, 0)
    return Places(
        gather_nR=on_device(gather_nR, device),
        scatter_N=on_device(scatter_N, device),
        gather_or_zero_P=on_device(inverse_or_end(scatter_N, mask_nR.size), device),
        is_full=bool(mask_nR.all()),
    )


class _TakeRows(torch.autograd.Function):
    """Some rows out of many; backwards, the others receive zeros."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x_NI: Tensor, index_S: Tensor, inverse_N: Tensor) -> Tensor:
        ctx.save_for_backward(inverse_N)
        return x_NI.index_select(0, index_S)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        return rows_or_zero(grads[0], ctx.saved_tensors[0]), None, None  # type: ignore[attr-defined]


class _SpreadRows(torch.autograd.Function):
    """Rows to their places among zeros."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x_SI: Tensor, index_S: Tensor, inverse_N: Tensor) -> Tensor:
        ctx.save_for_backward(index_S)
        return rows_or_zero(x_SI, inverse_N)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(0, ctx.saved_tensors[0]), None, None  # type: ignore[attr-defined]


def take_rows(x_NI: Tensor, index_S: Tensor, inverse_N: Tensor) -> Tensor:
    """Select rows.

    Args:
        x_NI: all rows.
        index_S: which; none twice.
        inverse_N: place of every row in the selection, its length for rows that are not in it.
    Returns:
        the rows.
    """
    x_SI: Tensor = _TakeRows.apply(x_NI, index_S, inverse_N)  # type: ignore[no-untyped-call]
    return x_SI


def spread_rows(x_SI: Tensor, index_S: Tensor, inverse_N: Tensor) -> Tensor:
    """Put selected rows back to their places among zeros; arguments as for `take_rows`."""
    x_NI: Tensor = _SpreadRows.apply(x_SI, index_S, inverse_N)  # type: ignore[no-untyped-call]
    return x_NI


def pad_rows(x_NI: Tensor, places: Places) -> Tensor:
    """Spread rows over padded places: [n, R] with the row's own shape behind, zeros at padding."""
    x_PI = x_NI if places.is_full else spread_rows(x_NI, places.scatter_N, places.gather_or_zero_P)
    return x_PI.reshape(*places.gather_nR.shape, *x_NI.shape[1:])


def unpad_rows(x_nRI: Tensor, places: Places) -> Tensor:
    """Collect the real rows out of padded places."""
    x_PI = x_nRI.flatten(0, 1)
    return x_PI if places.is_full else take_rows(x_PI, places.scatter_N, places.gather_or_zero_P)


def rows_or_zero(x_SI: Tensor, index_N: Tensor) -> Tensor:
    """Gather rows; an index one behind the last gives zeros (much faster than filling rows into zeros)."""
    return torch.cat([x_SI, _zero_row(tuple(x_SI.shape[1:]), x_SI.dtype, x_SI.device)]).index_select(0, index_N)


@lru_cache(maxsize=256)
def _zero_row(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """One row of zeros; nobody writes to it."""
    return torch.zeros((1, *shape), dtype=dtype, device=device)
