"""Dropout without a random state: every mask bit is a hash of where and when it is used.

A mask depends on (cell seed, step, place of the text in its batch, token, site, column) and on nothing
else: not on neighbours, order or an interruption. Row keys come from `ragged`; sites are numbered
when the base is prepared.
"""

from __future__ import annotations

import threading
from typing import overload

import torch
from torch import Tensor, nn

from jobs.training.ragged import RaggedBatch

_SITE_STEP = 0x9E3779B9
_COLUMN_STEP = 0x85EBCA6B
_FIRST_MULTIPLIER = -0x7A143595
_SECOND_MULTIPLIER = -0x3D4D51CB
"""The two multipliers of MurmurHash3's 32-bit finaliser (0x85EBCA6B, 0xC2B2AE35) as signed numbers."""


class PackState(threading.local):
    """What the layers of one base need to know about the pass that is running in this thread."""

    def __init__(self) -> None:
        """Start outside of any pass."""
        self.batch: RaggedBatch | None = None
        self.adapters: dict[str, tuple[Tensor, Tensor]] | None = None
        """By module name: (A [n, r, in], B [n, out, r]); None: run the base alone."""
        self.scaling_n: Tensor | None = None
        self.adapter_dropout_n: Tensor | None = None
        """LoRA dropout of every cell; None when no cell has any."""

    @property
    def current(self) -> RaggedBatch:
        """The running batch."""
        if self.batch is None:
            raise RuntimeError("the base was called outside of a packed pass")
        return self.batch


def keep_mask(keys: Tensor, columns: int, *, site: int, keep: float | Tensor) -> Tensor:
    """Draw a mask from keys.

    Args:
        keys: int64, any shape: one key a row.
        columns: width of a row.
        site: number of the place in the network.
        keep: probability to keep an element, or one a row (shape of keys).
    Returns:
        boolean, shape of keys with `columns` behind. The probability is met to 1/65536.
    """
    words = (columns + 1) // 2  # one 32-bit hash serves two columns
    rows = _signed32(keys ^ (keys >> 32)) ^ _signed32((site + 1) * _SITE_STEP)
    columns_W = _signed32(torch.arange(1, words + 1, device=keys.device, dtype=torch.int64) * _COLUMN_STEP)
    z = rows.unsqueeze(-1) ^ columns_W
    z.bitwise_xor_(_shifted(z, 16)).mul_(_FIRST_MULTIPLIER)
    z.bitwise_xor_(_shifted(z, 13)).mul_(_SECOND_MULTIPLIER)
    z.bitwise_xor_(_shifted(z, 16))
    halves = z.view(torch.int16)[..., :columns]
    if isinstance(keep, Tensor):
        limit = (keep.double() * 2.0**16 - 2.0**15).round().clamp(max=2.0**15).to(torch.int32) - 1
        return halves <= limit.to(torch.int16).unsqueeze(-1)
    return halves <= min(round(keep * 2.0**16 - 2.0**15), 2**15) - 1


def packed_dropout(x: Tensor, keys: Tensor, *, site: int, p: float | Tensor) -> Tensor:
    """Drop elements of x with probability p and scale up the rest.

    Args:
        x: activations, rows x columns.
        keys: int64, one key a row.
        site: number of the place in the network.
        p: probability to drop, or one a row.
    Returns:
        same shape and dtype as x.
    """
    keep = 1.0 - p
    mask = keep_mask(keys, x.shape[-1], site=site, keep=keep)
    if isinstance(keep, Tensor):
        return x * (mask.to(x.dtype) / keep.to(x.dtype).unsqueeze(-1))
    return x * mask.to(x.dtype).div_(keep)


class PackedDropout(nn.Module):
    """Stands in for nn.Dropout inside the base."""

    def __init__(self, state: PackState, *, p: float, site: int) -> None:
        """Remember probability and site."""
        super().__init__()
        self._state = state
        self.p = p
        self.site = site

    def forward(self, x_1NI: Tensor) -> Tensor:
        """Drop while training, pass through in evaluation."""
        keys_N = self._state.current.row_keys_N
        if keys_N is None or self.p == 0.0:
            return x_1NI
        return packed_dropout(x_1NI, keys_N.unsqueeze(0), site=self.site, p=self.p)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of int32: zeros come in, whatever the sign."""
    return (z >> bits).bitwise_and_((1 << (32 - bits)) - 1)


@overload
def _signed32(value: Tensor) -> Tensor: ...
@overload
def _signed32(value: int) -> int: ...
def _signed32(value: Tensor | int) -> Tensor | int:
    """The low 32 bits as a signed number, so that int32 arithmetic wraps alike everywhere."""
    low = ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
    return low.to(torch.int32) if isinstance(low, Tensor) else low
