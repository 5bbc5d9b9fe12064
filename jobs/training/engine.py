"""The pack engine: one forward and backward pass over the shared base for all cells in flight.

Layers that treat every row for itself see all rows of all cells at once. Matrix products, heads, losses and
optimisers work group by group (`slots.SlotGroup`): in `fast` all cells are one group; in `exact` every cell is a
group of its own, so each of its products has the shape it would have alone.

Shapes: N tokens, S texts, n cells of a group, b texts of a cell, C classes of a group's widest head, H hidden width.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jobs.models.head import DropoutFn, apply_head
from jobs.models.loading import Base
from jobs.spec import Strategy
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellRun, MicroBatch
from jobs.training.dropout import packed_dropout
from jobs.training.losses import CellTargets, text_losses
from jobs.training.low_rank import GroupAdapters
from jobs.training.ragged import CellGroup, RaggedBatch, ragged_batch, step_key
from jobs.training.recomputation import recomputed_layers
from jobs.training.rows import pad_rows, unpad_rows
from jobs.training.same_kernels import same_kernels
from jobs.training.slots import Divergence, RowState, SlotGroup
from jobs.training.upload import on_device

_HEAD_SITE = 1 << 20

# Leaves are strided views of the bank on purpose; gradients accumulate in place all the same.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Cells of one slot group that take part in a pass."""

    slots: SlotGroup
    runs: tuple[CellRun, ...]


class PackEngine:
    """Trains the cells it holds in lock step; cells come and go between steps."""

    def __init__(self, base: Base, layout: RowLayout | None, *, slots: int) -> None:
        """Make room for some cells.

        Args:
            base: what they share.
            layout: `fast`: a row wide enough for every cell that will come. None: `exact`, every cell apart.
            slots: cells in flight at most.
        """
        self.base = base
        self.device = base.compute.device
        self.slots = slots
        self._shared = None if layout is None else self._new_group(layout, slots)
        self._apart: list[SlotGroup] = []

    def _new_group(self, layout: RowLayout, slots: int) -> SlotGroup:
        return SlotGroup(layout, slots=slots, device=self.device, dtype=self.base.compute.dtype)

    @property
    def groups(self) -> list[SlotGroup]:
        """Groups with cells in them."""
        every = self._apart if self._shared is None else [self._shared]
        return [group for group in every if group.live]

    @property
    def live(self) -> list[CellRun]:
        """All cells in flight."""
        return [run for group in self.groups for run in group.live]

    def has_room_for(self, run: CellRun) -> bool:
        """True when the cell can be admitted."""
        if len(self.live) >= self.slots:
            return False
        return self._shared is None or self._shared.has_room_for(run)

    def admit(self, run: CellRun, state: RowState | None = None) -> None:
        """Take a cell in, at its start or where another engine left off."""
        if self._shared is not None:
            self._shared.admit(run, state)
            return
        group = self._new_group(RowLayout([run.shapes]), 1)
        group.admit(run, state)
        self._apart.append(group)

    def state_of(self, run: CellRun, device: torch.device | None = None) -> RowState:
        """Everything that has to be kept for the cell to go on elsewhere, copied to a device (None: the engine's)."""
        return self._group_of(run).state_of(run, device)

    def release(self, run: CellRun) -> None:
        """Take a cell out."""
        self._group_of(run).release(run)
        self._apart = [group for group in self._apart if group.live]

    def _group_of(self, run: CellRun) -> SlotGroup:
        return next(group for group in self.groups if run in group.live)

    def can_recompute(self, run: CellRun) -> bool:
        """Whether layers can be computed twice instead of being kept: no step of head runs backward through any."""
        return run.packed.cell.strategy is not Strategy.HEAD

    def row_of(self, run: CellRun) -> Tensor:
        """The cell's current row of numbers (a view)."""
        return self._group_of(run).row_of(run)

    def tensors_of(self, run: CellRun) -> dict[str, Tensor]:
        """Copies of a cell's own tensors as they stand."""
        return self._group_of(run).tensors_of(run)

    def put_tensors(self, run: CellRun, tensors: Mapping[str, Tensor]) -> None:
        """Replace a cell's own tensors."""
        self._group_of(run).put_tensors(run, tensors)

    def begin_steps_anew(self) -> None:
        """Leave nothing of a pass that did not come to its end: its cells make their optimiser steps once more.

        Side effects:
            ends the pass in this thread: call it in the one that began it.
        """
        state = self.base.state
        state.batch = state.adapters = None
        for group in self.groups:
            group.begin_steps_anew()

    def step(self) -> list[Divergence]:
        """One micro-batch of every live cell; cells whose effective batch is complete are updated.

        Returns:
            cells that diverged: not updated, still live, for the caller to release.
        """
        started = time.perf_counter()
        parts = [Part(slots=group, runs=tuple(group.live)) for group in self.groups]
        taken = [[run.next_micro_batch() for run in part.runs] for part in parts]
        batch = self._batch(parts, [micro.rows for own in taken for micro in own], "train")
        with same_kernels():
            losses = [
                _losses(logits_nbC, group, part.runs, own)
                for logits_nbC, group, part, own in zip(
                    self._forward(batch, parts, training=True), batch.groups, parts, taken, strict=True
                )
            ]
            scaled = [part.slots.scaled(own).sum() for part, own in zip(parts, losses, strict=True)]
            torch.stack(scaled).sum().backward()  # type: ignore[no-untyped-call]
        self.base.state.batch = None
        divergences = [
            divergence
            for part, losses_n, own in zip(parts, losses, taken, strict=True)
            for divergence in part.slots.update(losses_n.detach(), own)
        ]
        self._share_time(time.perf_counter() - started, batch, parts)
        return divergences

    def _batch(self, parts: Sequence[Part], rows: Sequence[np.ndarray], split: str) -> RaggedBatch:
        """Lay out some rows of every cell for one pass; dropout has keys in training only."""
        runs = [run for part in parts for run in part.runs]
        texts = [[run.data.tokens[split][i] for i in own] for run, own in zip(runs, rows, strict=True)]
        return self._laid_out(parts, texts, split)

    def _laid_out(self, parts: Sequence[Part], texts: Sequence[Sequence[np.ndarray]], split: str) -> RaggedBatch:
        runs = [run for part in parts for run in part.runs]
        keys = [step_key(run.packed.cell.seed, run.step, run.micro_index) for run in runs]
        return ragged_batch(
            texts,
            position_offset=self.base.position_offset,
            device=self.device,
            keys=keys if split == "train" else None,
            group_sizes=[len(part.runs) for part in parts],
            pooling=self.base.family.pooling,
        )

    def _forward(self, batch: RaggedBatch, parts: Sequence[Part], *, training: bool) -> Iterator[Tensor]:
        """Logits [n, b, C] of every group; classes that a cell does not have are minus infinity."""
        pooled_SH = self._pooled(batch, parts, training)
        for group, part in zip(batch.groups, parts, strict=True):
            pooled_nbH = pad_rows(pooled_SH[group.texts], group.text_places)
            dropout = HeadDropout(batch, group, self.base.head_dropout) if training else DropoutFn()
            logits_nbC = apply_head(self.base.family.head, pooled_nbH, part.slots.heads(part.runs), dropout)
            yield _without_absent_classes(logits_nbC, part.runs)

    def _pooled(self, batch: RaggedBatch, parts: Sequence[Part], training: bool) -> Tensor:
        """Vectors that the heads see, one a text, in the batch's order."""
        hidden_ND = self._run_base(batch, parts, training)
        return self.base.pool(hidden_ND)

    def _run_base(self, batch: RaggedBatch, parts: Sequence[Part], training: bool) -> Tensor:
        state = self.base.state
        state.batch, state.is_narrow = batch, False
        state.adapters = _by_layer([part.slots.adapters(part.runs) for part in parts])
        state.adapter_dropout = self._adapter_dropout([run for part in parts for run in part.runs], training)
        recomputes = training and any(run.recomputes_layers for part in parts for run in part.runs)
        with torch.set_grad_enabled(training), recomputed_layers(self.base, enabled=recomputes):
            output = self.base.model(
                input_ids=batch.input_ids_N.unsqueeze(0), position_ids=batch.position_ids_N.unsqueeze(0)
            )
        hidden_ND: Tensor = output.last_hidden_state.squeeze(0)
        return hidden_ND

    def _adapter_dropout(self, runs: Sequence[CellRun], training: bool) -> float | np.ndarray:
        p = [run.packed.cell.lora.dropout if training and run.packed.cell.lora else 0.0 for run in runs]
        if len(set(p)) <= 1:
            return p[0] if p else 0.0
        return np.array(p)

    def _share_time(self, seconds: float, batch: RaggedBatch, parts: Sequence[Part]) -> None:
        """Attribute a pass to its cells by their share of tokens."""
        runs = [run for part in parts for run in part.runs]
        total = int(batch.tokens_n.sum())
        for run, tokens, texts in zip(runs, batch.tokens_n.tolist(), batch.texts_n.tolist(), strict=True):
            run.seconds += seconds * tokens / total
            run.trained_rows += texts
            run.tokens_trained += tokens

    @torch.no_grad()
    def predict(self, runs: Sequence[CellRun], split: str) -> list[np.ndarray]:
        """Logits of several live cells on a split.

        Args:
            runs: live cells, each with its own rows.
            split: validation | test.
        Returns:
            for every cell float32 [rows, its classes].
        """
        found: dict[str, np.ndarray] = {}
        for group in self.groups:  # one group after another: what it computes at once must not depend on others
            own = tuple(run for run in group.live if run in runs)
            if own:
                found.update(self._predict_group(Part(slots=group, runs=own), split))
        return [found[run.cell_id] for run in runs]

    def _predict_group(self, part: Part, split: str) -> dict[str, np.ndarray]:
        started = time.perf_counter()
        runs = part.runs
        results = {run.cell_id: np.empty((len(run.data.tokens[split]), run.num_labels), np.float32) for run in runs}
        orders = [np.argsort([len(t) for t in run.data.tokens[split]], kind="stable") for run in runs]
        texts = min(run.evaluation_texts for run in runs)
        per_cell = max(1, texts // 8, texts // len(runs))
        for first in range(0, max(len(order) for order in orders), per_cell):
            present = [k for k, order in enumerate(orders) if first < len(order)]
            chunk = [orders[k][first : first + per_cell] for k in present]
            cells = Part(slots=part.slots, runs=tuple(runs[k] for k in present))
            batch = self._batch([cells], chunk, split)
            with same_kernels():
                (logits_nbC,) = (t.cpu().numpy() for t in self._forward(batch, [cells], training=False))
            for place, (run, rows) in enumerate(zip(cells.runs, chunk, strict=True)):
                results[run.cell_id][rows] = logits_nbC[place, : len(rows), : run.num_labels]
        self.base.state.batch = None
        _share_evaluation(time.perf_counter() - started, runs, split)
        return results


class HeadDropout(DropoutFn):
    """Keyed dropout on head activations."""

    def __init__(self, batch: RaggedBatch, group: CellGroup, p: float) -> None:
        """Remember the batch's text keys and the probability."""
        self._keys_S = None if p == 0.0 or batch.text_keys_S is None else batch.text_keys_S[group.texts]
        self._gather_nb = group.text_places.gather_nR
        self._p = p

    def __call__(self, x_nbH: Tensor, site: int) -> Tensor:
        """Drop with the keys of the texts."""
        if self._keys_S is None:
            return x_nbH
        return packed_dropout(x_nbH, self._keys_S[self._gather_nb], site=_HEAD_SITE + site, p=self._p)


def _by_layer(groups: Sequence[dict[str, GroupAdapters]]) -> dict[str, list[GroupAdapters | None]]:
    names = dict.fromkeys(name for adapters in groups for name in adapters)
    return {name: [adapters.get(name) for adapters in groups] for name in names}


def _without_absent_classes(logits_nbC: Tensor, runs: Sequence[CellRun]) -> Tensor:
    width = logits_nbC.shape[-1]
    if all(run.num_labels == width for run in runs):
        return logits_nbC
    labels_n = on_device([run.num_labels for run in runs], logits_nbC.device)
    absent_n1C = (torch.arange(width, device=logits_nbC.device) >= labels_n.unsqueeze(1)).unsqueeze(1)
    return logits_nbC.masked_fill(absent_n1C, float("-inf"))


def _losses(logits_nbC: Tensor, group: CellGroup, runs: Sequence[CellRun], taken: Sequence[MicroBatch]) -> Tensor:
    """Each cell's share of its own effective batch's mean loss."""
    targets = [
        CellTargets(loss=run.loss, num_labels=run.num_labels, labels=run.data.labels["train"][micro.rows])
        for run, micro in zip(runs, taken, strict=True)
    ]
    loss_S = text_losses(unpad_rows(logits_nbC, group.text_places), targets)
    weight_n = on_device([1.0 / micro.step_rows for micro in taken], logits_nbC.device)
    return pad_rows(loss_S, group.text_places).sum(1) * weight_n


def _share_evaluation(seconds: float, runs: Sequence[CellRun], split: str) -> None:
    total = sum(len(run.data.tokens[split]) for run in runs) or 1
    for run in runs:
        rows = len(run.data.tokens[split])
        run.eval_seconds += seconds * rows / total
        run.eval_rows += rows
