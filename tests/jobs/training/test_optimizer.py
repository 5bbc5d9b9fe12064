"""Row-wise AdamW against torch's own, row by row; rows that are not finite or not named stand still."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from jobs.training.bank import RowLayout, SlotBank
from jobs.training.optimizer import LossScales, RowAdamW, RowStep

SHAPES = {"q.lora_A": (3, 5), "head.out.weight": (2, 5), "head.out.bias": (2,)}


def row_step(row: int, step: int, *, rate: float = 0.01, clip: float = 1.0) -> RowStep:
    return RowStep(row=row, learning_rate=rate * (row + 1), weight_decay=0.1, max_grad_norm=clip, step=step)


def reference(start: torch.Tensor, grads: list[torch.Tensor], row: int, layout: RowLayout, clip: float) -> torch.Tensor:
    """torch.optim.AdamW on one row, weights and biases in separate groups."""
    parameters = {n: start[s.start : s.stop].clone().requires_grad_() for n, s in layout.slices.items()}
    groups = [
        {"params": [p for n, p in parameters.items() if not n.endswith("bias")], "weight_decay": 0.1},
        {"params": [p for n, p in parameters.items() if n.endswith("bias")], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01 * (row + 1))
    for grad in grads:
        for name, place in layout.slices.items():
            parameters[name].grad = grad[place.start : place.stop].clone()
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters.values(), clip)
        optimizer.step()
    return torch.cat([p.detach() for p in parameters.values()])


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_every_row_equals_torch_adamw(clip: float) -> None:
    torch.manual_seed(1)
    layout = RowLayout([SHAPES])
    bank = SlotBank(layout, slots=3, device=torch.device("cpu"))
    bank.theta.normal_()
    start = bank.theta.clone()
    grads = [torch.randn(3, layout.width) * scale for scale in (0.01, 3.0, 0.5, 1.0)]
    adamw = RowAdamW(bank)
    for step, grad in enumerate(grads, 1):
        bank.grad.copy_(grad)
        norms = adamw.step([row_step(row, step, clip=clip) for row in range(3)])
        torch.testing.assert_close(torch.tensor(norms), grad.norm(dim=1))
        assert (bank.grad == 0).all()
    for row in range(3):
        expected = reference(start[row], [grad[row] for grad in grads], row, layout, clip)
        torch.testing.assert_close(bank.theta[row], expected, rtol=1e-6, atol=1e-7)


def test_rows_not_named_and_rows_not_finite_stand_still() -> None:
    bank = SlotBank(RowLayout([SHAPES]), slots=3, device=torch.device("cpu"))
    bank.theta.normal_()
    before = bank.theta.clone()
    adamw = RowAdamW(bank)
    bank.grad.fill_(1.0)
    bank.grad[2, 4] = float("nan")
    norms = adamw.step([row_step(0, 1), row_step(2, 1)])
    assert not math.isfinite(norms[1])
    assert not torch.equal(bank.theta[0], before[0])
    assert torch.equal(bank.theta[1:], before[1:])
    assert (bank.grad[1] == 1.0).all()
    assert (adamw.first[1:] == 0).all()


def test_loss_scale_cancels_out() -> None:
    banks = []
    for scale in (None, torch.tensor([1024.0, 2.0, 8.0])):
        bank = SlotBank(RowLayout([SHAPES]), slots=3, device=torch.device("cpu"))
        bank.grad.fill_(0.25)
        if scale is not None:
            bank.grad.mul_(scale.unsqueeze(1))
        RowAdamW(bank).step([row_step(row, 1) for row in range(3)], grad_scale_n=scale)
        banks.append(bank.theta)
    torch.testing.assert_close(*banks)


def test_one_overflow_halves_one_scale_until_it_cannot_shrink() -> None:
    scales = LossScales(2, torch.device("cpu"))
    first = scales.scale.clone()
    outcomes = [scales.after_step(0, finite=False) for _ in range(17)]
    assert outcomes == [True] * 16 + [False]
    assert scales.scale[1] == first[1]


class Allocations(TorchDispatchMode):
    """Operations that took new memory after the first one that changed a bank or its moments."""

    def __init__(self, kept: list[Tensor]) -> None:
        super().__init__()
        self._kept = {tensor.untyped_storage().data_ptr() for tensor in kept}
        self._seen: list[Tensor] = []  # held, so that no storage is used twice
        self.has_changed = False
        self.late: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        known = {t.untyped_storage().data_ptr() for t in (*self._seen, *args) if isinstance(t, Tensor)} | self._kept
        result = func(*args, **(kwargs or {}))
        for tensor in [result] if isinstance(result, Tensor) else []:
            self._seen.append(tensor)
            if self.has_changed and tensor.untyped_storage().data_ptr() not in known:
                self.late.append(str(func))
        target = (kwargs or {}).get("out", args[0] if args else None)
        if func._schema.is_mutable and isinstance(target, Tensor):
            self.has_changed |= target.untyped_storage().data_ptr() in self._kept
        return result


@pytest.mark.parametrize("rows", [[0, 1], [1]])
@pytest.mark.parametrize("is_finite", [True, False])
def test_nothing_is_allocated_once_anything_has_changed(rows: list[int], is_finite: bool) -> None:
    """A step that runs out of memory can then be made again: nothing of it is there."""
    bank = SlotBank(RowLayout([{"a": (3, 4)}]), slots=2, device=torch.device("cpu"))
    optimizer = RowAdamW(bank)
    bank.theta.fill_(1.0)
    bank.grad.fill_(0.5)
    if not is_finite:
        bank.grad[1, 0] = float("nan")
    settings = {"learning_rate": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0, "step": 1}
    watch = Allocations([bank.theta, bank.grad, optimizer.first, optimizer.second])
    with watch:
        optimizer.step([RowStep(row=row, **settings) for row in rows])  # type: ignore[arg-type]
    assert watch.has_changed
    assert not watch.late
    assert bool((bank.theta[1] == 1.0).all()) is not is_finite
