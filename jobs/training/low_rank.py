"""The low-rank updates of many cells on one frozen layer, with their gradients written out.

Source: Hu et al., arXiv 2106.09685: y += scaling * B A drop(x), each cell with its own A and B.

Shapes: N rows, n cells of a group, R places of a cell, r rank, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jobs.training.ragged import CellGroup
from jobs.training.rows import Places, rows_or_zero

_MANY_ROWS = 256
"""Rows of a cell from which on, on a CPU, two small products of its own cost less than laying all cells out evenly."""


@dataclass(frozen=True, kw_only=True)
class GroupAdapters:
    """The adapters that the cells of one group have on one layer."""

    a_nrI: Tensor
    """In the compute type."""
    b_nOr: Tensor
    grad_a_nrI: Tensor
    """float32; gradients are added here."""
    grad_b_nOr: Tensor
    scaling_n11: Tensor
    """float32."""


LayerAdapters = Mapping[str, Sequence[GroupAdapters | None]]
"""By module name: one entry a group of the pass, None where its cells have no adapter there."""


def add_low_rank(
    x_1NI: Tensor,
    y_1NO: Tensor,
    *,
    groups: Sequence[CellGroup],
    adapters: Sequence[GroupAdapters | None],
    multiplier_NI: Tensor | None,
) -> Tensor:
    """Add every cell's update to the output of a frozen layer.

    Args:
        x_1NI: the layer's input.
        y_1NO: the layer's output.
        groups: the groups of the pass.
        adapters: their adapters on this layer.
        multiplier_NI: dropout of the input, or None.
    Returns:
        the output with the updates.
    Side effects:
        the backward pass adds to the adapters' gradients.
    """
    if not torch.is_grad_enabled():
        sum_NO, _ = _forward(x_1NI.squeeze(0), y_1NO.squeeze(0), groups, adapters, multiplier_NI, keeps=False)
        return sum_NO.unsqueeze(0)
    anchor = torch.empty(0, device=x_1NI.device, requires_grad=True)  # so that the first layer's backward runs, too
    result: Tensor = _LowRank.apply(x_1NI, y_1NO, anchor, groups, adapters, multiplier_NI)  # type: ignore[no-untyped-call]
    return result


class _LowRank(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_1NI: Tensor,
        y_1NO: Tensor,
        anchor: Tensor,
        groups: Sequence[CellGroup],
        adapters: Sequence[GroupAdapters | None],
        multiplier_NI: Tensor | None,
    ) -> Tensor:
        sum_NO, saved = _forward(x_1NI.squeeze(0), y_1NO.squeeze(0), groups, adapters, multiplier_NI, keeps=True)
        ctx.save_for_backward(*saved)
        ctx.groups, ctx.adapters, ctx.multiplier_NI, ctx.shape = groups, adapters, multiplier_NI, x_1NI.shape[1:]
        return sum_NO.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None, None, None]:
        g_NO = grads[0].squeeze(0)
        saved = iter(ctx.saved_tensors)
        gx_NI = g_NO.new_empty(ctx.shape) if ctx.needs_input_grad[0] else None
        for group, own in zip(ctx.groups, ctx.adapters, strict=True):
            gx = None if gx_NI is None else gx_NI[group.rows]
            if own is not None:
                _backward(g_NO[group.rows], gx, next(saved), next(saved), group.row_places, own)
            elif gx is not None:
                gx.zero_()
        if gx_NI is None:
            return None, grads[0], None, None, None, None
        if ctx.multiplier_NI is not None:
            gx_NI.mul_(ctx.multiplier_NI)
        return gx_NI.unsqueeze(0), grads[0], None, None, None, None


def _forward(
    x_NI: Tensor,
    y_NO: Tensor,
    groups: Sequence[CellGroup],
    adapters: Sequence[GroupAdapters | None],
    multiplier_NI: Tensor | None,
    *,
    keeps: bool,
) -> tuple[Tensor, list[Tensor]]:
    """The sum, and for the backward pass, if there is one, every group's padded input and scaled A x."""
    kept = []
    x_NI = x_NI if multiplier_NI is None else x_NI * multiplier_NI
    sum_NO = torch.empty_like(y_NO)
    for group, own in zip(groups, adapters, strict=True):
        y, sum_ = y_NO[group.rows], sum_NO[group.rows]
        if own is None:
            sum_.copy_(y)
            continue
        if not keeps and y.device.type == "cpu" and y.shape[0] >= _MANY_ROWS * group.num_cells:
            _one_by_one(x_NI[group.rows], y, sum_, group, own)
            continue
        x_nRI = _padded(x_NI[group.rows], group.row_places)
        hidden_nRr = torch.bmm(x_nRI, own.a_nrI.transpose(1, 2)).mul_(own.scaling_n11)
        b_nrO = own.b_nOr.transpose(1, 2)
        if group.row_places.is_full:
            places = (*x_nRI.shape[:2], -1)
            torch.baddbmm(y.view(places), hidden_nRr, b_nrO, out=sum_.view(places))
        else:
            update_PO = torch.bmm(hidden_nRr, b_nrO).flatten(0, 1)
            torch.add(y, update_PO.index_select(0, group.row_places.scatter_N), out=sum_)
        kept += [x_nRI, hidden_nRr]
    return sum_NO, kept


def _one_by_one(x_NI: Tensor, y_NO: Tensor, sum_NO: Tensor, group: CellGroup, own: GroupAdapters) -> None:
    """The same cell after cell, without padding."""
    for cell, rows in enumerate(group.cell_rows):
        hidden_Rr = torch.mm(x_NI[rows], own.a_nrI[cell].t()).mul_(own.scaling_n11[cell])
        torch.addmm(y_NO[rows], hidden_Rr, own.b_nOr[cell].t(), out=sum_NO[rows])


def _backward(
    g_NO: Tensor, gx_NI: Tensor | None, x_nRI: Tensor, hidden_nRr: Tensor, places: Places, own: GroupAdapters
) -> None:
    """Add to the gradients of A and B; write the gradient of the (dropped) input to gx_NI."""
    count, most = places.gather_nR.shape
    g_PO = g_NO if places.is_full else rows_or_zero(g_NO, places.gather_or_zero_P)
    g_nRO = g_PO.reshape(count, most, -1)
    gh_nRr = torch.bmm(g_nRO, own.b_nOr).mul_(own.scaling_n11)
    own.grad_b_nOr.add_(torch.bmm(g_nRO.transpose(1, 2), hidden_nRr))
    own.grad_a_nrI.add_(torch.bmm(gh_nRr.transpose(1, 2), x_nRI))
    if gx_NI is None:
        return
    if places.is_full:
        torch.bmm(gh_nRr, own.a_nrI, out=gx_NI.view(count, most, -1))
    else:
        torch.index_select(torch.bmm(gh_nRr, own.a_nrI).flatten(0, 1), 0, places.scatter_N, out=gx_NI)


def _padded(x_NI: Tensor, places: Places) -> Tensor:
    flat_PI = x_NI if places.is_full else x_NI.index_select(0, places.gather_nR.reshape(-1))
    return flat_PI.view(*places.gather_nR.shape, x_NI.shape[1])
