"""Slots for cells that are computed together: their tensors, optimisers and loss scales, one row a cell.

`fast` has one group with all cells. `exact` gives every cell a group of its own, as wide as that cell alone
needs: no sum over its numbers then depends on a neighbour.

Shapes: n cells of the group, P numbers of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from jobs.training import schedule
from jobs.training.bank import RowLayout, SlotBank
from jobs.training.cell_run import CellRun, MicroBatch
from jobs.training.eight_bit import EightBitAdamW
from jobs.training.low_rank import GroupAdapters
from jobs.training.optimizer import LossScales, RowAdamW, RowStep
from jobs.training.upload import on_device


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """A cell that must leave because its loss or gradient is not finite."""

    run: CellRun
    reason: str


@dataclass(frozen=True, kw_only=True)
class RowState:
    """Everything an engine knows about a cell, at the cell's own shapes: enough to go on in any other engine."""

    tensors: Mapping[str, Tensor]
    """`theta/<name>`, `first/<name>`, `second/<name>`, `grad/<name>`, `eight_bit/<name>/<what>`."""
    loss_scale: tuple[float, int] | None = None


@dataclass
class SlotGroup:
    """Cells that share rows of one width and every product with them."""

    layout: RowLayout
    slots: int
    device: torch.device
    dtype: torch.dtype
    live: list[CellRun] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Allocate the rows."""
        self.bank = SlotBank(self.layout, slots=self.slots, device=self.device)
        self.adamw = RowAdamW(self.bank)
        self.eight_bit = EightBitAdamW(self.bank)
        self.scales = LossScales(self.slots, self.device) if self.dtype == torch.float16 else None
        self._adapted = [name.removesuffix(".lora_A") for name in self.layout.slices if name.endswith(".lora_A")]

    def has_room_for(self, run: CellRun) -> bool:
        """True when the cell fits into a free row."""
        return len(self.live) < self.slots and self.layout.covers(run.shapes)

    def admit(self, run: CellRun, state: RowState | None = None) -> None:
        """Put a cell into the next free row, at its start or where another engine left off."""
        row = len(self.live)
        self.bank.write(row, run.initial if state is None else _own(state, "theta"))
        self.adamw.reset(row)
        self.eight_bit.forget(run.cell_id)
        if self.scales is not None:
            self.scales.reset(row)
        if state is not None:
            self._restore(row, run, state)
        self.live.append(run)

    def _restore(self, row: int, run: CellRun, state: RowState) -> None:
        self.bank.fill(self.bank.grad[row], _own(state, "grad"))
        self.bank.fill(self.adamw.first[row], _own(state, "first"))
        self.bank.fill(self.adamw.second[row], _own(state, "second"))
        if eight_bit := _own(state, "eight_bit"):
            self.eight_bit.restore(_row_step(row, run), eight_bit)
        if self.scales is not None and state.loss_scale is not None:
            self.scales.restore(row, state.loss_scale)

    def state_of(self, run: CellRun, device: torch.device | None = None) -> RowState:
        """Copy what is known about a live cell, tensor by tensor, to a device (None: where it is)."""
        row = self.live.index(run)
        parts = {
            "theta": self.bank.theta[row],
            "grad": self.bank.grad[row],
            "first": self.adamw.first[row],
            "second": self.adamw.second[row],
        }
        tensors = {
            f"{part}/{name}": tensor
            for part, row_P in parts.items()
            for name, tensor in self.bank.read(row_P, run.shapes, device).items()
        }
        eight_bit = self.eight_bit.state_of(run.cell_id, device)
        tensors |= {f"eight_bit/{name}": tensor for name, tensor in eight_bit.items()}
        return RowState(tensors=tensors, loss_scale=None if self.scales is None else self.scales.state_of(row))

    def release(self, run: CellRun) -> None:
        """Take a cell out; the last row moves into its place so that live rows stay together."""
        row, last = self.live.index(run), len(self.live) - 1
        if row != last:
            for part in (self.bank, self.adamw, self.scales):
                if part is not None:
                    part.move(last, row)
            self.live[row] = self.live[last]
        self.live.pop()
        self.eight_bit.forget(run.cell_id)

    def row_of(self, run: CellRun) -> Tensor:
        """The cell's current row of numbers (a view)."""
        return self.bank.theta[self.live.index(run)]

    def tensors_of(self, run: CellRun) -> dict[str, Tensor]:
        """Copies of a cell's own tensors."""
        return self.bank.read(self.row_of(run), run.shapes)

    def put_tensors(self, run: CellRun, tensors: Mapping[str, Tensor]) -> None:
        """Replace a cell's own tensors."""
        self.bank.fill(self.row_of(run), tensors)

    def heads(self, runs: Sequence[CellRun]) -> dict[str, Tensor]:
        """Head tensors of some live cells, stacked, leaves of autograd when all live cells are asked for."""
        leaves = {n: leaf for n, leaf in self.bank.leaves(len(self.live)).items() if n.startswith("head.")}
        rows = self._rows_of(runs)
        return {n.removeprefix("head."): leaf if rows is None else leaf[rows] for n, leaf in leaves.items()}

    def adapters(self, runs: Sequence[CellRun]) -> dict[str, GroupAdapters]:
        """The adapters of some live cells, by module name."""
        count = len(self.live)
        rounded, leaves = self.bank.rounded(count, self.dtype), self.bank.leaves(count)
        rows = self._rows_of(runs)
        scaling_n11 = on_device([run.scaling for run in runs], self.device).view(-1, 1, 1)
        found = {}
        for name in self._adapted:
            a, b = f"{name}.lora_A", f"{name}.lora_B"
            grad_a, grad_b = leaves[a].grad, leaves[b].grad
            if grad_a is None or grad_b is None:
                raise RuntimeError(f"the bank lost the gradients of {name}")
            found[name] = GroupAdapters(
                a_nrI=rounded[a] if rows is None else rounded[a][rows],
                b_nOr=rounded[b] if rows is None else rounded[b][rows],
                grad_a_nrI=grad_a,
                grad_b_nOr=grad_b,
                scaling_n11=scaling_n11,
            )
        return found

    def _rows_of(self, runs: Sequence[CellRun]) -> list[int] | None:
        """Rows of some cells; None when they are all live ones in order."""
        return None if list(runs) == self.live else [self.live.index(run) for run in runs]

    def scaled(self, losses_n: Tensor) -> Tensor:
        """Losses as they go into the backward pass."""
        return losses_n if self.scales is None else losses_n * self.scales.scale[: len(self.live)]

    def begin_steps_anew(self) -> None:
        """Forget gradients and micro-batches of the steps under way, after a pass that did not come to its end."""
        self.bank.grad[: len(self.live)].zero_()
        for run in self.live:
            run.begin_step_anew()

    def update(self, losses_n: Tensor, taken: Sequence[MicroBatch]) -> list[Divergence]:
        """Update the cells whose effective batch is complete.

        Args:
            losses_n: loss of this micro-batch, one a live cell.
            taken: what each live cell was given.
        Returns:
            cells that diverged: not updated, still live.
        """
        for run, loss in zip(self.live, losses_n.tolist(), strict=True):
            run.loss_pending += loss
        rows = [row for row, micro in enumerate(taken) if micro.completes_step]
        divergences: list[Divergence] = []
        for optimizer, name in ((self.adamw, "adamw"), (self.eight_bit, "adamw_bnb_8bit")):
            own = [row for row in rows if self.live[row].recipe.optimizer == name]
            if own:
                scale_n = (
                    None if self.scales is None else self.scales.scale.index_select(0, on_device(own, self.device))
                )
                steps = [_row_step(row, self.live[row]) for row in own]
                norms = optimizer.step(steps, grad_scale_n=scale_n)
                # Counted at once: these steps are made even if the other optimiser runs out of memory.
                found = [self._after_step(row, norm) for row, norm in zip(own, norms, strict=True)]
                divergences += [divergence for divergence in found if divergence is not None]
        return divergences

    def _after_step(self, row: int, norm: float) -> Divergence | None:
        """Count the step of one cell, or say that it diverged."""
        run = self.live[row]
        loss, run.loss_pending = run.loss_pending, 0.0
        finite = bool(np.isfinite(norm) and np.isfinite(loss))
        if self.scales is not None and self.scales.after_step(row, finite=finite) and not finite:
            run.step += 1  # fp16 overflow: the step is skipped with a smaller scale, as GradScaler does
            run.skipped_steps += 1
            return None
        if not finite:
            what = "loss" if not np.isfinite(loss) else "gradient"
            return Divergence(
                run=run,
                reason=f"{what} not finite at step {run.step + 1} of {run.total_steps}; last finite loss "
                f"{run.last_finite_loss}; learning rate {run.recipe.learning_rate}",
            )
        run.step += 1
        run.note_loss(loss)
        return None


def _own(state: RowState, part: str) -> dict[str, Tensor]:
    return {n.removeprefix(f"{part}/"): t for n, t in state.tensors.items() if n.startswith(f"{part}/")}


def _row_step(row: int, run: CellRun) -> RowStep:
    recipe = run.recipe
    return RowStep(
        row=row,
        learning_rate=schedule.learning_rate(recipe, step=run.step, total_steps=run.total_steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        step=run.step + 1 - run.skipped_steps,
        cell_id=run.cell_id,
        shapes=run.shapes,
    )
