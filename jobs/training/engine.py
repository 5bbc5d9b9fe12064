"""The pack engine: one forward and backward pass over the shared base for all cells in flight.

`fast` runs all cells in one engine with many slots. `exact` gives every cell an engine with one
slot over the same base: each operation then sees the shapes it would see alone, so a cell's numbers
cannot depend on its neighbours.

Shapes: N tokens, S texts, n live cells, b texts of a cell, C classes of the widest head, H hidden width.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.models.head import DropoutFn, apply_head
from jobs.models.loading import Base
from jobs.spec import RecipeSpec
from jobs.training import schedule
from jobs.training.bank import RowLayout, SlotBank
from jobs.training.cell_run import CellRun
from jobs.training.dropout import packed_dropout
from jobs.training.eight_bit import EightBitAdamW
from jobs.training.optimizer import LossScales, RowAdamW, RowStep
from jobs.training.ragged import RaggedBatch, pad_rows, ragged_batch, step_key, unpad_rows

EVALUATION_TEXTS = 256
"""Texts of one evaluation pass over all cells together; 32 at least for each."""
_HEAD_SITE = 1 << 20

# Leaves are strided views of the bank on purpose; gradients accumulate in place all the same.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """A cell that must leave because its loss or gradient is not finite."""

    run: CellRun
    reason: str


class PackEngine:
    """Trains the cells it holds in lock step; cells come and go between steps."""

    def __init__(self, base: Base, layout: RowLayout, *, slots: int) -> None:
        """Allocate rows for `slots` cells on the base's device."""
        self.base = base
        self.device = base.compute.device
        self.bank = SlotBank(layout, slots=slots, device=self.device)
        self.adamw = RowAdamW(self.bank)
        self.eight_bit = EightBitAdamW(self.bank)
        self.scales = LossScales(slots, self.device) if base.compute.dtype == torch.float16 else None
        self.live: list[CellRun] = []

    @property
    def has_room(self) -> bool:
        """True when another cell can be admitted."""
        return len(self.live) < self.bank.slots

    def admit(self, run: CellRun) -> None:
        """Put a cell into the next free row with its initial tensors and a clean optimiser state."""
        row = len(self.live)
        self.bank.write(row, run.initial)
        self.adamw.reset(row)
        self.eight_bit.forget(run.cell_id)
        if self.scales is not None:
            self.scales.reset(row)
        self.live.append(run)

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

    def tensors_of(self, run: CellRun, row_P: Tensor) -> dict[str, Tensor]:
        """A cell's own tensors out of a row of this engine."""
        return self.bank.read(row_P, run.shapes)

    def step(self) -> list[Divergence]:
        """One micro-batch of every live cell; cells whose effective batch is complete are updated.

        Returns:
            cells that diverged: not updated, still live, for the caller to release.
        """
        started = time.perf_counter()
        taken = [run.next_micro_batch() for run in self.live]
        keys = [step_key(run.packed.cell.seed, run.step, run.micro_index) for run in self.live]
        batch = self._batch(self.live, [rows for rows, _, _ in taken], "train", keys)
        logits_nbC = self._forward(batch, self.live, training=True)
        losses_n = self._losses(logits_nbC, batch, taken)
        self._backward(losses_n)
        divergences = self._update(losses_n, taken)
        self._share_time(time.perf_counter() - started, batch, taken)
        return divergences

    def _batch(
        self, runs: Sequence[CellRun], rows: Sequence[np.ndarray], split: str, keys: Sequence[int] | None
    ) -> RaggedBatch:
        """Lay out some rows of every cell for one pass."""
        texts = [[run.data.tokens[split][i] for i in own] for run, own in zip(runs, rows, strict=True)]
        return ragged_batch(texts, position_offset=self.base.position_offset, device=self.device, keys=keys)

    def _forward(self, batch: RaggedBatch, runs: Sequence[CellRun], *, training: bool) -> Tensor:
        leaves = self.bank.leaves(len(self.live))
        if list(runs) != self.live:
            rows = torch.tensor([self.live.index(run) for run in runs], device=self.device)
            leaves = {name: leaf.index_select(0, rows) for name, leaf in leaves.items()}
        pooled_SH = self._pooled(batch, runs, leaves, training)
        pooled_nbH = pad_rows(pooled_SH, batch.text_gather_nb, batch.text_scatter_S)
        head = {name.removeprefix("head."): leaf for name, leaf in leaves.items() if name.startswith("head.")}
        dropout = HeadDropout(batch, self.base.head_dropout) if training else DropoutFn()
        logits_nbC = apply_head(self.base.family.head, pooled_nbH, head, dropout)
        return logits_nbC.masked_fill(self._absent_classes(runs, logits_nbC.shape[-1]), float("-inf"))

    def _pooled(
        self, batch: RaggedBatch, runs: Sequence[CellRun], leaves: Mapping[str, Tensor], training: bool
    ) -> Tensor:
        """Vectors that the heads see, one a text, in the batch's order."""
        hidden_ND = self._run_base(batch, runs, leaves, training)
        pooled_SH = self.base.pool(hidden_ND)
        self.base.state.batch = None
        return pooled_SH

    def _run_base(
        self, batch: RaggedBatch, runs: Sequence[CellRun], leaves: Mapping[str, Tensor], training: bool
    ) -> Tensor:
        state = self.base.state
        state.batch = batch
        state.adapters = {
            name.removesuffix(".lora_A"): (leaf, leaves[name.removesuffix("A") + "B"])
            for name, leaf in leaves.items()
            if name.endswith(".lora_A")
        }
        state.scaling_n = torch.tensor([run.scaling for run in runs], device=self.device)
        drop = [run.packed.cell.lora.dropout if run.packed.cell.lora else 0.0 for run in runs]
        state.adapter_dropout_n = torch.tensor(drop, device=self.device) if training and any(drop) else None
        with torch.set_grad_enabled(training):
            output = self.base.model(
                input_ids=batch.input_ids_N.unsqueeze(0), position_ids=batch.position_ids_N.unsqueeze(0)
            )
        hidden_ND: Tensor = output.last_hidden_state.squeeze(0)
        return hidden_ND

    def _absent_classes(self, runs: Sequence[CellRun], width: int) -> Tensor:
        labels_n = torch.tensor([run.num_labels for run in runs], device=self.device)
        return (torch.arange(width, device=self.device) >= labels_n.unsqueeze(1)).unsqueeze(1)

    def _losses(self, logits_nbC: Tensor, batch: RaggedBatch, taken: Sequence[tuple[np.ndarray, int, bool]]) -> Tensor:
        """Each cell's share of its own effective batch's mean loss."""
        labels = [run.data.labels["train"][rows] for run, (rows, _, _) in zip(self.live, taken, strict=True)]
        labels_S = torch.from_numpy(np.concatenate(labels)).to(self.device)
        logits_SC = unpad_rows(logits_nbC.flatten(0, 1), batch.text_scatter_S)
        loss_S = F.cross_entropy(logits_SC, labels_S, reduction="none")
        weight_n = torch.tensor([1.0 / total for _, total, _ in taken], device=self.device)
        loss_nb = pad_rows(loss_S, batch.text_gather_nb, batch.text_scatter_S)
        return (loss_nb * batch.text_mask_nb).sum(1) * weight_n

    def _backward(self, losses_n: Tensor) -> None:
        scaled_n = losses_n if self.scales is None else losses_n * self.scales.scale[: len(self.live)]
        scaled_n.sum().backward()  # type: ignore[no-untyped-call]

    def _update(self, losses_n: Tensor, taken: Sequence[tuple[np.ndarray, int, bool]]) -> list[Divergence]:
        for run, loss in zip(self.live, losses_n.detach().tolist(), strict=True):
            run.loss_pending += loss
        rows = [row for row, (_, _, complete) in enumerate(taken) if complete]
        norms: dict[int, float] = {}
        for optimizer, name in ((self.adamw, "adamw"), (self.eight_bit, "adamw_bnb_8bit")):
            own = [row for row in rows if self.live[row].recipe.optimizer == name]
            if own:
                scale_n = None if self.scales is None else self.scales.scale[own]
                steps = [_row_step(row, self.live[row]) for row in own]
                found = optimizer.step(steps, grad_scale_n=scale_n)
                norms.update(zip(own, found.tolist(), strict=True))
        return [d for row in rows if (d := self._after_step(row, norms[row])) is not None]

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

    def _share_time(self, seconds: float, batch: RaggedBatch, taken: Sequence[tuple[np.ndarray, int, bool]]) -> None:
        """Attribute a pass to its cells by their share of rows."""
        total = sum(len(rows) for rows, _, _ in taken)
        tokens = batch.num_tokens / total
        for run, (rows, _, _) in zip(self.live, taken, strict=True):
            run.seconds += seconds * len(rows) / total
            run.trained_rows += len(rows)
            run.tokens_trained += round(tokens * len(rows))

    @torch.no_grad()
    def predict(self, runs: Sequence[CellRun], split: str) -> list[np.ndarray]:
        """Logits of several live cells on a split, in one pass after another.

        Args:
            runs: live cells, each with its own rows.
            split: validation | test.
        Returns:
            for every cell float32 [rows, its classes].
        """
        started = time.perf_counter()
        results = [np.empty((len(run.data.tokens[split]), run.num_labels), np.float32) for run in runs]
        orders = [np.argsort([len(t) for t in run.data.tokens[split]], kind="stable") for run in runs]
        per_cell = max(32, EVALUATION_TEXTS // max(1, len(runs)))
        for first in range(0, max((len(order) for order in orders), default=0), per_cell):
            present = [k for k, order in enumerate(orders) if first < len(order)]
            chunk = [orders[k][first : first + per_cell] for k in present]
            cells = [runs[k] for k in present]
            batch = self._batch(cells, chunk, split, None)
            logits_nbC = self._forward(batch, cells, training=False).cpu().numpy()
            for place, (k, rows) in enumerate(zip(present, chunk, strict=True)):
                results[k][rows] = logits_nbC[place, : len(rows), : runs[k].num_labels]
        self._share_evaluation(time.perf_counter() - started, runs, split)
        return results

    def _share_evaluation(self, seconds: float, runs: Sequence[CellRun], split: str) -> None:
        total = sum(len(run.data.tokens[split]) for run in runs) or 1
        for run in runs:
            rows = len(run.data.tokens[split])
            run.eval_seconds += seconds * rows / total
            run.eval_rows += rows


class HeadDropout(DropoutFn):
    """Keyed dropout on head activations."""

    def __init__(self, batch: RaggedBatch, p: float) -> None:
        """Remember the batch's text keys and the probability."""
        self._batch = batch
        self._p = p

    def __call__(self, x_nbH: Tensor, site: int) -> Tensor:
        """Drop with the keys of the texts."""
        if self._p == 0.0 or self._batch.text_keys_S is None:
            return x_nbH
        keys_nb = self._batch.text_keys_S[self._batch.text_gather_nb]
        return packed_dropout(x_nbH, keys_nb, site=_HEAD_SITE + site, p=self._p)


def _row_step(row: int, run: CellRun) -> RowStep:
    recipe: RecipeSpec = run.recipe
    return RowStep(
        row=row,
        learning_rate=schedule.learning_rate(recipe, step=run.step, total_steps=run.total_steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        step=run.step - run.skipped_steps + 1,
        cell_id=run.cell_id,
        shapes=run.shapes,
    )
