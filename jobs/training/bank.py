"""The trainable numbers of all cells in flight: one row a cell, so that a step costs few launches.

Rows are as wide as the largest cell of the pack needs. A smaller rank, head or target list leaves
zeros: their gradients are exact zeros, so they stay zero. Layers see views of the rows as autograd
leaves whose gradients accumulate straight into `grad`.

Shapes: P numbers of a row, r rank, I inputs, O outputs, n live cells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_NO_DECAY = re.compile(
    r"bias$|layernorm|layer_norm|rmsnorm|(?:^|\.)(?:norm|ln_\w+)(?:$|\.)|_norm(?:$|\.)", re.IGNORECASE
)

Shapes = dict[str, tuple[int, ...]]
"""Tensor name -> shape. Names: `<module>.lora_A`, `<module>.lora_B`, `head.<name>`."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Where one tensor stands in a row."""

    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """End of the tensor in the row."""
        return self.start + torch.Size(self.shape).numel()


class RowLayout:
    """Places every tensor that any cell of a pack has in a row wide enough for all of them."""

    def __init__(self, cells: Sequence[Shapes]) -> None:
        """Take the largest extent of every tensor over the cells."""
        largest: Shapes = {}
        for shapes in cells:
            for name, shape in shapes.items():
                seen = largest.get(name, shape)
                largest[name] = tuple(max(a, b) for a, b in zip(seen, shape, strict=True))
        self.slices: dict[str, Slice] = {}
        start = 0
        for name, shape in largest.items():
            self.slices[name] = Slice(start=start, shape=shape)
            start = self.slices[name].stop
        self.width = start

    def covers(self, shapes: Shapes) -> bool:
        """True when a cell with these shapes fits into a row."""
        return all(
            name in self.slices and all(a <= b for a, b in zip(shape, self.slices[name].shape, strict=True))
            for name, shape in shapes.items()
        )

    def decay_P(self) -> Tensor:
        """1.0 where weight decay applies: everything but biases and normalisation, as HF Trainer does."""
        decay = torch.ones(self.width)
        for name, place in self.slices.items():
            if not decays(name):
                decay[place.start : place.stop] = 0.0
        return decay


class SlotBank:
    """Parameters and gradients of the cells in flight, kept in the first rows."""

    def __init__(self, layout: RowLayout, *, slots: int, device: torch.device) -> None:
        """Allocate `slots` rows of zeros on the device."""
        self.layout = layout
        self.slots = slots
        self.theta = torch.zeros(slots, layout.width, device=device)
        self.grad = torch.zeros(slots, layout.width, device=device)
        self._leaves: dict[int, dict[str, Tensor]] = {}
        self._rounded: dict[torch.dtype, Tensor] = {}
        self._rounded_views: dict[tuple[torch.dtype, int], dict[str, Tensor]] = {}

    def leaves(self, count: int) -> dict[str, Tensor]:
        """Views of the first `count` rows, by tensor name: [count, *shape], leaves of autograd."""
        if count not in self._leaves:
            self._leaves[count] = {name: self._leaf(place, count) for name, place in self.layout.slices.items()}
        return self._leaves[count]

    def rounded(self, count: int, dtype: torch.dtype) -> dict[str, Tensor]:
        """The first `count` rows in a compute type, by tensor name: [count, *shape].

        Side effects:
            overwrites what an earlier call gave.
        """
        if dtype == self.theta.dtype:
            return {name: leaf.detach() for name, leaf in self.leaves(count).items()}
        if dtype not in self._rounded:
            self._rounded[dtype] = torch.empty_like(self.theta, dtype=dtype)
        whole = self._rounded[dtype]
        whole[:count].copy_(self.theta[:count])
        if (dtype, count) not in self._rounded_views:
            self._rounded_views[dtype, count] = {
                name: whole[:count, place.start : place.stop].view(count, *place.shape)
                for name, place in self.layout.slices.items()
            }
        return self._rounded_views[dtype, count]

    def _leaf(self, place: Slice, count: int) -> Tensor:
        leaf = self.theta[:count, place.start : place.stop].view(count, *place.shape).detach()
        leaf.requires_grad_(True)
        leaf.grad = self.grad[:count, place.start : place.stop].view(count, *place.shape)
        return leaf

    def write(self, row: int, tensors: Mapping[str, Tensor]) -> None:
        """Fill a row with a cell's own tensors; everything else in it becomes zero."""
        self.theta[row].zero_()
        self.grad[row].zero_()
        self.fill(self.theta[row], tensors)

    def fill(self, row_P: Tensor, tensors: Mapping[str, Tensor]) -> None:
        """Replace some tensors of a row of this layout; the rest of it stays."""
        for name, tensor in tensors.items():
            _own_region(row_P, self.layout.slices[name], tuple(tensor.shape)).copy_(tensor)

    def read(self, row_P: Tensor, shapes: Shapes, device: torch.device | None = None) -> dict[str, Tensor]:
        """Copy a cell's own tensors out of a row, without the padding, to a device (None: the bank's)."""
        slices = self.layout.slices
        return {name: copied(_own_region(row_P, slices[name], shape), device) for name, shape in shapes.items()}

    def move(self, source: int, target: int) -> None:
        """Copy a row over another one."""
        self.theta[target].copy_(self.theta[source])
        self.grad[target].copy_(self.grad[source])


def copied(tensor: Tensor, device: torch.device | None = None) -> Tensor:
    """A copy that shares no memory, on a device (None: where the tensor is)."""
    return tensor.clone() if device is None else tensor.to(device, copy=True)


def decays(name: str) -> bool:
    """Whether weight decay applies to a tensor of this name."""
    return not _NO_DECAY.search(name)


def _own_region(row_P: Tensor, place: Slice, shape: tuple[int, ...]) -> Tensor:
    region = row_P[place.start : place.stop].view(place.shape)
    for dimension, size in enumerate(shape):
        region = region.narrow(dimension, 0, size)
    return region
