"""Dropout without a random state: every mask bit is a hash of where and when it is used.

A mask depends on (cell seed, step, place of the text in its batch, token, site, column) and on nothing
else: not on neighbours, order or an interruption. Row keys come from `ragged`; sites are numbered
when the base is prepared.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from torch import Tensor, nn

from jobs.training.ragged import DrawnAhead, RaggedBatch, Rows
from jobs.training.upload import on_device

if TYPE_CHECKING:
    from jobs.training.low_rank import LayerAdapters

_WORDS_AHEAD = 1 << 18
"""32-bit hashes drawn at once, about what a core's cache holds."""
_WORDS_AHEAD_ELSEWHERE = 1 << 24
"""On other devices launches are dear and memory is fast: the masks of a whole network at once, in 64 MiB."""
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
        self.is_narrow = False
        """True inside layers that see the pooled tokens only."""
        self.adapters: LayerAdapters | None = None
        """None: run the base alone."""
        self.adapter_dropout: float | np.ndarray = 0.0
        """LoRA dropout of all cells, or one a cell."""

    @property
    def running(self) -> RaggedBatch:
        """The running batch."""
        if self.batch is None:
            raise RuntimeError("the base was called outside of a packed pass")
        return self.batch

    @property
    def current(self) -> Rows:
        """The rows that layers see at this place."""
        batch = self.running
        return batch.pooled if self.is_narrow and batch.pooled is not None else batch


class DropoutSites:
    """Places of a network whose masks have one shape, in the order in which a pass visits them.

    Masks of several places are drawn together: small operations cost more to start than to run.
    """

    def __init__(self) -> None:
        """Start without any place."""
        self._sites: list[int] = []

    def add(self, site: int) -> None:
        """Append a place."""
        self._sites.append(site)

    def multiplier(
        self, batch: Rows, site: int, keys: Tensor, columns: int, *, p: float | np.ndarray, dtype: torch.dtype
    ) -> Tensor:
        """What activations at a place are multiplied with: 0, or 1 / (1 - p).

        Args:
            batch: the running batch; keeps what is drawn ahead.
            site: a place of this group.
            keys: int32, one a row; the same for all places of the group.
            columns: width of a row.
            p: probability to drop, or one a row; the same for all places of the group.
            dtype: of the activations.
        Returns:
            shape of keys with `columns` behind.
        """
        ahead = batch.multipliers.setdefault((id(self), columns, dtype), DrawnAhead())
        if site not in ahead.masks:
            first = self._sites.index(site)
            most = _WORDS_AHEAD if keys.device.type == "cpu" else _WORDS_AHEAD_ELSEWHERE
            count = max(1, most // max(1, keys.numel() * columns // 2))
            if first < ahead.end:  # drawn before: a layer is computed again, from the last one to the first
                count = 1
            sites = self._sites[first : first + count]
            ahead.masks.update(zip(sites, multipliers(keys, columns, sites=sites, p=p, dtype=dtype), strict=True))
            ahead.end = max(ahead.end, first + count)
        return ahead.masks.pop(site)


def multipliers(
    keys: Tensor, columns: int, *, sites: Sequence[int], p: float | np.ndarray, dtype: torch.dtype
) -> Tensor:
    """Draw masks from keys, scaled so that expectations stay.

    Args:
        keys: int32, any shape: one key a row.
        columns: width of a row.
        sites: numbers of places in the network; each has bits of its own.
        p: probability to drop an element, or one a row (shape of keys); met to 1/65536.
        dtype: of the result.
    Returns:
        0 or 1 / (1 - p): first the sites, then the shape of keys, then `columns`.
    """
    words = (columns + 1) // 2  # one 32-bit hash serves two columns
    sites_K, columns_W = _site_keys(tuple(sites), keys.device), _column_keys(words, keys.device)
    rows = keys.unsqueeze(0) ^ sites_K.view(-1, *[1] * keys.dim())
    z = rows.unsqueeze(-1) ^ columns_W
    z.bitwise_xor_(_shifted(z, 16)).mul_(_FIRST_MULTIPLIER)
    z.bitwise_xor_(_shifted(z, 13)).mul_(_SECOND_MULTIPLIER)
    z.bitwise_xor_(_shifted(z, 16))
    halves = z.view(torch.int16)
    if not isinstance(p, np.ndarray):
        return _kept_up_to(halves, p, dtype)[..., :columns].contiguous()
    halves = halves[..., :columns]
    different, place = np.unique(p, return_inverse=True)
    chosen = np.array([_limit_and_scale(float(q), dtype) for q in different])[place]
    kept = halves <= on_device(chosen[:, 0], keys.device, dtype=torch.int16).unsqueeze(-1)
    return kept.to(dtype).mul_(on_device(chosen[:, 1], keys.device, dtype=dtype).unsqueeze(-1))


def _kept_up_to(halves: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """The factor where a number is at most the limit, by integers: a third of the time of compare, cast, multiply."""
    limit, scale = _limit_and_scale(p, dtype)
    if limit == 2**15 - 1:
        return torch.full(halves.shape, scale, dtype=dtype, device=halves.device)
    halves.clamp_(limit, limit + 1).sub_(limit + 1)  # all bits of what is kept, none of what is dropped
    kept = halves if dtype.itemsize == 2 else halves.to(torch.int32)
    bits = torch.tensor(scale, dtype=dtype).view(kept.dtype)
    return kept.bitwise_and_(int(bits)).view(dtype)


@lru_cache(maxsize=256)
def _limit_and_scale(p: float, dtype: torch.dtype) -> tuple[int, float]:
    """The largest 16-bit number that keeps an element, and what is kept's factor as the dtype has it."""
    limit = min(round((1.0 - p) * 2.0**16 - 2.0**15), 2**15) - 1
    return limit, float(torch.tensor(1.0 / (1.0 - p), dtype=torch.float64).to(dtype))


@lru_cache(maxsize=256)
def _column_keys(words: int, device: torch.device) -> Tensor:
    return _signed32(torch.arange(1, words + 1, device=device, dtype=torch.int64) * _COLUMN_STEP)


@lru_cache(maxsize=4096)
def _site_keys(sites: tuple[int, ...], device: torch.device) -> Tensor:
    return on_device([_signed32((site + 1) * _SITE_STEP) for site in sites], device, dtype=torch.int32)


def packed_dropout(x: Tensor, keys: Tensor, *, site: int, p: float) -> Tensor:
    """Drop elements of x at a place that is alone in its group.

    Args:
        x: activations, rows x columns.
        keys: int32, one key a row.
        site: number of the place in the network.
        p: probability to drop.
    Returns:
        same shape and dtype as x.
    """
    return x * multipliers(keys, x.shape[-1], sites=[site], p=p, dtype=x.dtype)[0]


class PackedDropout(nn.Module):
    """Stands in for nn.Dropout inside the base."""

    def __init__(self, state: PackState, *, p: float, site: int, group: DropoutSites) -> None:
        """Remember probability and site; the group gathers places with the same width and probability."""
        super().__init__()
        self._state = state
        self._group = group
        self.p = p
        self.site = site
        group.add(site)

    def forward(self, x_1NI: Tensor) -> Tensor:
        """Drop while training, pass through in evaluation."""
        batch = self._state.current
        if batch.row_keys_N is None or self.p == 0.0:
            return x_1NI
        width, dtype = x_1NI.shape[-1], x_1NI.dtype
        return x_1NI * self._group.multiplier(batch, self.site, batch.row_keys_N, width, p=self.p, dtype=dtype)


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
