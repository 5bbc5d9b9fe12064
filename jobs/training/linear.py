"""A frozen linear layer of the base, with the updates of all cells in the pass.

Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from jobs.training.dropout import DropoutSites, PackState
from jobs.training.low_rank import add_low_rank
from jobs.training.ragged import CellGroup, Rows


class PackedLinear(nn.Module):
    """A frozen linear layer of the base plus the low-rank update of every cell in the pass."""

    def __init__(
        self,
        base: nn.Module,
        *,
        name: str,
        state: PackState,
        site: int,
        shape: tuple[int, int],
        group: DropoutSites,
    ) -> None:
        """Wrap a layer; shape is (in, out); the group gathers layers of the same kind and width."""
        super().__init__()
        self.base = base
        self.name = name
        self.site = site
        self.in_features, self.out_features = shape
        self._state = state
        self._group = group
        group.add(site)

    def forward(self, x_1NI: Tensor) -> Tensor:
        """Base output plus scaling * B A drop(x), each cell with its own A and B."""
        rows = self._state.current
        adapters = (self._state.adapters or {}).get(self.name)
        y_1NO = self._frozen(x_1NI, rows)
        if adapters is None:
            return y_1NO
        multiplier_NI = self._multiplier(rows, x_1NI.dtype)
        return add_low_rank(x_1NI, y_1NO, groups=rows.groups, adapters=adapters, multiplier_NI=multiplier_NI)

    def _frozen(self, x_1NI: Tensor, rows: Rows) -> Tensor:
        """The layer itself; each group of cells goes through a product of its own."""
        weight_OI = plain_weight(self.base)
        if weight_OI is not None:
            y_1NO: Tensor = _FrozenLinear.apply(x_1NI, weight_OI, self.base.bias, rows.groups)  # type: ignore[no-untyped-call]
            return y_1NO
        if len(rows.groups) == 1:
            y_1NO = self.base(x_1NI)
            return y_1NO
        return torch.cat([self.base(x_1NI[:, group.rows]) for group in rows.groups], dim=1)

    def _multiplier(self, rows: Rows, dtype: torch.dtype) -> Tensor | None:
        p = self._state.adapter_dropout
        if rows.row_keys_N is None:
            return None
        if isinstance(p, Tensor):
            p = p.repeat_interleave(torch.from_numpy(rows.rows_n).to(p.device))
        elif p == 0.0:
            return None
        return self._group.multiplier(rows, self.site, rows.row_keys_N, self.in_features, p=p, dtype=dtype)


class _FrozenLinear(torch.autograd.Function):
    """x W^T + b, where every group's rows are multiplied on their own: their last bits depend on nobody else."""

    @staticmethod
    def forward(
        ctx: Any, x_1NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, groups: Sequence[CellGroup]
    ) -> Tensor:
        ctx.weight_OI, ctx.groups = weight_OI, groups
        weight_IO, x_NI = weight_OI.t(), x_1NI.squeeze(0)
        if len(groups) == 1:
            return _affine(x_NI, weight_IO, bias_O).unsqueeze(0)
        y_NO = x_NI.new_empty(x_NI.shape[0], weight_OI.shape[0])
        for group in groups:
            _affine(x_NI[group.rows], weight_IO, bias_O, out=y_NO[group.rows])
        return y_NO.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        g_NO = grads[0].squeeze(0)
        if len(ctx.groups) == 1:
            return torch.mm(g_NO, ctx.weight_OI).unsqueeze(0), None, None, None
        gx_NI = g_NO.new_empty(g_NO.shape[0], ctx.weight_OI.shape[1])
        for group in ctx.groups:
            torch.mm(g_NO[group.rows], ctx.weight_OI, out=gx_NI[group.rows])
        return gx_NI.unsqueeze(0), None, None, None


def _affine(x_NI: Tensor, weight_IO: Tensor, bias_O: Tensor | None, *, out: Tensor | None = None) -> Tensor:
    if bias_O is None:
        return torch.mm(x_NI, weight_IO, out=out)
    return torch.addmm(bias_O, x_NI, weight_IO, out=out)


def plain_weight(module: nn.Module) -> Tensor | None:
    """The weight [O, I] of a frozen layer that multiplies with it as it stands; None for 4-bit and trained layers."""
    if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
        return None
    if type(module) is nn.Linear:
        return module.weight.detach()
    if isinstance(module, Conv1D):
        weight_IO: Tensor = module.weight
        return weight_IO.detach().t()
    return None


def linear_shape(module: nn.Module) -> tuple[int, int] | None:
    """(in, out) of a linear layer of any kind (torch, bitsandbytes, GPT-2's Conv1D), else None."""
    if isinstance(module, nn.Linear):  # bitsandbytes' layers are its subclasses
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        inputs, outputs = module.weight.shape
        return int(inputs), int(outputs)
    return None
