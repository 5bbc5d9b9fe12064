"""AdamW for every row of a bank at once, each with its own rate, clipping and step count.

Source: Loshchilov and Hutter, arXiv 1711.05101; the order of operations is torch.optim.AdamW's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from jobs.training.bank import Shapes, SlotBank
from jobs.training.upload import on_device

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
_LARGEST_SCALE = 2.0**16
_GROWTH_STEPS = 2000


@dataclass(frozen=True, kw_only=True)
class RowStep:
    """One row's settings for one optimiser step."""

    row: int
    learning_rate: float
    weight_decay: float
    max_grad_norm: float
    """0: no clipping."""
    step: int
    """1 for the first step."""
    cell_id: str = ""
    shapes: Shapes = field(default_factory=dict)
    """The cell's own tensors; used by optimisers that keep a state a tensor."""


class RowAdamW:
    """Adam moments for the rows of a bank; a row with a non-finite gradient is left alone and reported."""

    def __init__(self, bank: SlotBank) -> None:
        """Allocate moments as large as the bank."""
        self.bank = bank
        self.first = torch.zeros_like(bank.theta)
        self.second = torch.zeros_like(bank.theta)
        self._decay_P = bank.layout.decay_P().to(bank.theta.device)

    def reset(self, row: int) -> None:
        """Forget a row's moments: a new cell takes it."""
        self.first[row].zero_()
        self.second[row].zero_()

    def move(self, source: int, target: int) -> None:
        """Copy a row's moments over another one's."""
        self.first[target].copy_(self.first[source])
        self.second[target].copy_(self.second[source])

    def step(self, steps: Sequence[RowStep], *, grad_scale_n: Tensor | None = None) -> list[float]:
        """Clip and update the given rows, then clear their gradients.

        Args:
            steps: one entry a row, in row order.
            grad_scale_n: loss scale each row's gradient carries, or None.
        Returns:
            gradient norm of every row before clipping; not finite where the row was skipped.
        """
        rows = [s.row for s in steps]
        whole = rows == list(range(len(rows)))
        index: slice | Tensor = slice(0, len(rows)) if whole else on_device(rows, self.bank.theta.device)
        theta, grad = self.bank.theta[index], self.bank.grad[index]
        first, second = self.first[index], self.second[index]
        if grad_scale_n is not None:
            grad = grad / grad_scale_n.unsqueeze(1)
        norm_n: Tensor = torch.linalg.vector_norm(grad, dim=1)
        norms = norm_n.tolist()
        is_finite = [math.isfinite(norm) for norm in norms]
        _update(theta, grad * clip_factor(norm_n, steps), first, second, is_finite, steps, self._decay_P)
        if not whole:
            for target, rows_nP in ((self.bank.theta, theta), (self.first, first), (self.second, second)):
                target.index_copy_(0, index, rows_nP)  # type: ignore[arg-type]
            self.bank.grad.index_fill_(0, index, 0.0)  # type: ignore[arg-type]
        else:
            self.bank.grad[: len(rows)].zero_()
        return norms


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return on_device(values, like.device, dtype=like.dtype).unsqueeze(1)


def clip_factor(norm_n: Tensor, steps: Sequence[RowStep]) -> Tensor:
    """Factor [n, 1] that brings every row's gradient norm under its own limit."""
    limit_n1 = _column([s.max_grad_norm or float("inf") for s in steps], norm_n)
    return (limit_n1 / (norm_n.unsqueeze(1) + 1e-6)).clamp(max=1.0)


def _update(
    theta: Tensor,
    grad: Tensor,
    first: Tensor,
    second: Tensor,
    is_finite: Sequence[bool],
    steps: Sequence[RowStep],
    decay_P: Tensor,
) -> None:
    if not all(is_finite):
        kept = torch.tensor(is_finite, device=theta.device).unsqueeze(1)
        before = theta.clone(), first.clone(), second.clone()
        _adamw(theta, torch.where(kept, grad, torch.zeros_like(grad)), first, second, steps, decay_P)
        for tensor, old in zip((theta, first, second), before, strict=True):
            torch.where(kept, tensor, old, out=tensor)
        return
    _adamw(theta, grad, first, second, steps, decay_P)


def _adamw(
    theta: Tensor, grad: Tensor, first: Tensor, second: Tensor, steps: Sequence[RowStep], decay_P: Tensor
) -> None:
    rate = [s.learning_rate for s in steps]
    shrink_n1 = _column([s.learning_rate * s.weight_decay for s in steps], theta)
    step_size_n1 = _column([r / (1 - BETA_1**s.step) for r, s in zip(rate, steps, strict=True)], theta)
    second_root_n1 = _column([(1 - BETA_2**s.step) ** 0.5 for s in steps], theta)
    change_nP, divisor_nP = 1 - shrink_n1 * decay_P, torch.empty_like(theta)
    # From here on nothing is allocated: a step that runs out of memory has changed nothing and can be made again.
    theta.mul_(change_nP)
    first.lerp_(grad, 1 - BETA_1)
    second.mul_(BETA_2).addcmul_(grad, grad, value=1 - BETA_2)
    torch.sqrt(second, out=divisor_nP).div_(second_root_n1).add_(EPSILON)
    theta.sub_(torch.mul(step_size_n1, first, out=change_nP).div_(divisor_nP))


class LossScales:
    """A dynamic loss scale for every row, for fp16: one overflow halves that row's scale only."""

    def __init__(self, slots: int, device: torch.device) -> None:
        """Start every row at the largest scale."""
        self.scale = torch.full((slots,), _LARGEST_SCALE, device=device)
        self._good_steps = [0] * slots

    def reset(self, row: int) -> None:
        """A new cell takes the row."""
        self.scale[row] = _LARGEST_SCALE
        self._good_steps[row] = 0

    def move(self, source: int, target: int) -> None:
        """Copy a row's scale over another one's."""
        self.scale[target] = self.scale[source]
        self._good_steps[target] = self._good_steps[source]

    def state_of(self, row: int) -> tuple[float, int]:
        """A row's scale and its good steps since the last change of mind."""
        return float(self.scale[row]), self._good_steps[row]

    def restore(self, row: int, state: tuple[float, int]) -> None:
        """Put a row back to what `state_of` gave."""
        self.scale[row], self._good_steps[row] = state

    def after_step(self, row: int, *, finite: bool) -> bool:
        """Adapt one row's scale; returns False when it cannot shrink any further (the cell diverged)."""
        if finite:
            self._good_steps[row] += 1
            if self._good_steps[row] % _GROWTH_STEPS == 0:
                self.scale[row] = min(float(self.scale[row]) * 2.0, _LARGEST_SCALE)
            return True
        self._good_steps[row] = 0
        self.scale[row] = float(self.scale[row]) / 2.0
        return float(self.scale[row]) >= 1.0
