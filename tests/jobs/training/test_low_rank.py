"""Updates of many cells at once against plain products, one cell after another, and autograd's gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.training.low_rank import GroupAdapters, add_low_rank
from jobs.training.ragged import CellGroup, _groups

INPUTS, OUTPUTS, RANK = 12, 20, 3
FEW, MANY = (5, 9, 2), (300, 411, 260)
"""Rows of three cells: as in a step, and as in an evaluation."""


def _adapters(cells: int, generator: torch.Generator) -> GroupAdapters:
    return GroupAdapters(
        a_nrI=torch.randn(cells, RANK, INPUTS, generator=generator, dtype=torch.float64),
        b_nOr=torch.randn(cells, OUTPUTS, RANK, generator=generator, dtype=torch.float64),
        grad_a_nrI=torch.zeros(cells, RANK, INPUTS, dtype=torch.float64),
        grad_b_nOr=torch.zeros(cells, OUTPUTS, RANK, dtype=torch.float64),
        scaling_n11=torch.arange(1, cells + 1, dtype=torch.float64).view(-1, 1, 1) / 3,
    )


def _rows(count: int, widths: tuple[int, ...], generator: torch.Generator) -> list[Tensor]:
    return [torch.randn(count, width, generator=generator, dtype=torch.float64) for width in widths]


def _layout(rows: tuple[int, ...], sizes: list[int]) -> tuple[CellGroup, ...]:
    rows_n = np.array(rows)
    return _groups(sizes, rows_n, np.ones_like(rows_n), torch.device("cpu"))


def _plain(x_NI: Tensor, y_NO: Tensor, rows: tuple[int, ...], adapters: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """y + scaling * x A^T B^T, cell after cell."""
    parts = zip(torch.split(x_NI, rows), torch.split(y_NO, rows), adapters, strict=True)
    return torch.cat([y + scaling * (x @ a.t() @ b.t()) for x, y, (a, b, scaling) in parts])


def _by_cell(groups: list[GroupAdapters]) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [
        (group.a_nrI[cell], group.b_nOr[cell], group.scaling_n11[cell])
        for group in groups
        for cell in range(len(group.a_nrI))
    ]


@pytest.mark.parametrize("rows", [FEW, MANY], ids=["few rows", "many rows"])
@pytest.mark.parametrize("sizes", [[3], [1, 2], [1, 1, 1]], ids=str)
@pytest.mark.parametrize("trains", [False, True], ids=["evaluation", "training"])
def test_every_cell_gets_its_own_update(rows: tuple[int, ...], sizes: list[int], trains: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    x_NI, y_NO = _rows(sum(rows), (INPUTS, OUTPUTS), generator)
    adapters = [_adapters(size, generator) for size in sizes]
    with torch.set_grad_enabled(trains):
        found_1NO = add_low_rank(
            x_NI.unsqueeze(0), y_NO.unsqueeze(0), groups=_layout(rows, sizes), adapters=adapters, multiplier_NI=None
        )
    torch.testing.assert_close(found_1NO.detach()[0], _plain(x_NI, y_NO, rows, _by_cell(adapters)))


@pytest.mark.parametrize("sizes", [[3], [1, 2]], ids=str)
def test_gradients_are_autograds(sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(4)
    x_NI, y_NO, kept_NI = _rows(sum(FEW), (INPUTS, OUTPUTS, INPUTS), generator)
    multiplier_NI = (kept_NI > 0).double() * 2
    adapters = [_adapters(size, generator) for size in sizes]
    ours, theirs = x_NI.clone().requires_grad_(True), x_NI.clone().requires_grad_(True)
    found_1NO = add_low_rank(
        ours.unsqueeze(0),
        y_NO.unsqueeze(0),
        groups=_layout(FEW, sizes),
        adapters=adapters,
        multiplier_NI=multiplier_NI,
    )
    found_1NO.square().sum().backward()
    own = [(a.clone().requires_grad_(True), b.clone().requires_grad_(True), s) for a, b, s in _by_cell(adapters)]
    _plain(theirs * multiplier_NI, y_NO, FEW, own).square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    grads = [(a, b) for group in adapters for a, b in zip(group.grad_a_nrI, group.grad_b_nOr, strict=True)]
    for (grad_a, grad_b), (a, b, _) in zip(grads, own, strict=True):
        torch.testing.assert_close(grad_a, a.grad)
        torch.testing.assert_close(grad_b, b.grad)


def test_a_group_without_adapters_passes_through() -> None:
    x_1NI, y_1NO = torch.randn(1, 16, INPUTS), torch.randn(1, 16, OUTPUTS)
    with torch.no_grad():
        found = add_low_rank(x_1NI, y_1NO, groups=_layout((7, 9), [1, 1]), adapters=[None, None], multiplier_NI=None)
    assert torch.equal(found, y_1NO)
