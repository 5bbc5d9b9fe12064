"""bitsandbytes' 8-bit AdamW behind the same door as our own, one optimiser a cell.

States under 4096 elements stay in 32 bits (the library's rule), which is most of LoRA: it is here so that
published recipes that name it can be replayed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jobs.training.bank import SlotBank, copied, decays
from jobs.training.optimizer import BETA_1, BETA_2, EPSILON, RowStep, clip_factor


class EightBitAdamW:
    """One bitsandbytes optimiser a cell; parameters are copied in and out of the bank at their own shapes."""

    def __init__(self, bank: SlotBank) -> None:
        """Start without any cell."""
        self.bank = bank
        self._cells: dict[str, tuple[dict[str, nn.Parameter], Any]] = {}

    def state_of(self, cell_id: str, device: torch.device | None = None) -> dict[str, Tensor]:
        """What has to be kept to go on elsewhere, copied, by tensor name and state name; empty for other cells."""
        if cell_id not in self._cells:
            return {}
        parameters, optimizer = self._cells[cell_id]
        return {
            f"{name}/{key}": copied(torch.as_tensor(value), device)
            for name, parameter in parameters.items()
            for key, value in optimizer.state[parameter].items()
        }

    def restore(self, settings: RowStep, state: Mapping[str, Tensor]) -> None:
        """Take a cell up with the state that `state_of` gave; its tensors stand in the bank already."""
        parameters, optimizer = self._cell(settings)
        for key, value in state.items():
            name, _, what = key.rpartition("/")
            kept = value.to(parameters[name].device) if value.dim() else int(value)
            optimizer.state[parameters[name]][what] = kept

    def forget(self, cell_id: str) -> None:
        """Drop a cell's optimiser state."""
        self._cells.pop(cell_id, None)

    def step(self, steps: Sequence[RowStep], *, grad_scale_n: Tensor | None = None) -> list[float]:
        """Clip and update the given rows, then clear their gradients.

        Args:
            steps: one entry a row.
            grad_scale_n: loss scale each row's gradient carries, or None.
        Returns:
            gradient norm of every row before clipping; not finite where the row was skipped.
        """
        rows = [s.row for s in steps]
        grad = self.bank.grad[rows]
        if grad_scale_n is not None:
            grad = grad / grad_scale_n.unsqueeze(1)
        norm_n: Tensor = torch.linalg.vector_norm(grad, dim=1)
        grad = grad * clip_factor(norm_n, steps)
        norms: list[float] = norm_n.tolist()
        for place, settings in enumerate(steps):
            if math.isfinite(norms[place]):
                self._step_cell(settings, grad[place])
        self.bank.grad[rows] = 0.0
        return norms

    def _step_cell(self, settings: RowStep, grad_P: Tensor) -> None:
        parameters, optimizer = self._cell(settings)
        own_grads = self.bank.read(grad_P, settings.shapes)
        for name, parameter in parameters.items():
            parameter.grad = own_grads[name]
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate
        try:
            optimizer.step()
        except Exception:
            if settings.step == 1:  # moments are allocated now, or memory runs out; later steps only change them
                self.forget(settings.cell_id)
            raise
        self.bank.fill(self.bank.theta[settings.row], {name: p.detach() for name, p in parameters.items()})

    def _cell(self, settings: RowStep) -> tuple[dict[str, nn.Parameter], Any]:
        if settings.cell_id not in self._cells:
            from bitsandbytes.optim import AdamW8bit

            own = self.bank.read(self.bank.theta[settings.row], settings.shapes)
            parameters = {name: nn.Parameter(tensor) for name, tensor in own.items()}
            decayed = [p for name, p in parameters.items() if decays(name)]
            plain = [p for name, p in parameters.items() if not decays(name)]
            groups = [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ]
            optimizer = AdamW8bit([g for g in groups if g["params"]], betas=(BETA_1, BETA_2), eps=EPSILON)
            self._cells[settings.cell_id] = parameters, optimizer
        return self._cells[settings.cell_id]
