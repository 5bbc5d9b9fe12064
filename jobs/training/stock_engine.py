"""Trains one cell at a time on the stock classifier, under the same contract as the pack engine.

Rows, schedule, optimiser, clipping, losses, evaluations and checkpoints are those of every engine; only the pass
itself is another one: padded texts through the classifier as PEFT made it. While a cell is in, what it trains are views
of its row. Its dropout is torch's, started anew for every micro-batch from the cell's seed and step, so that a cell
goes on after an interruption as if there had been none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from jobs.models.padding import padded, unused_id
from jobs.models.stock import StockBase
from jobs.spec import Strategy
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine, Part
from jobs.training.ragged import RaggedBatch, step_key
from jobs.training.slots import RowState
from jobs.training.stock_cell import Mounted, link, mount, unmount


class StockEngine(PackEngine):
    """One slot over one stock classifier."""

    base: StockBase

    def __init__(self, base: StockBase, layout: RowLayout | None, *, slots: int) -> None:
        """Start without a cell; there is room for one, whatever is asked for."""
        super().__init__(base, layout, slots=1)
        self._mounted: Mounted | None = None
        self._recomputes = False

    def admit(self, run: CellRun, state: RowState | None = None) -> None:
        """Put the cell on the classifier, at its start or where another engine left off."""
        super().admit(run, state)
        try:
            self._mounted = mount(self.base, run)
            link(self._mounted, self.groups[0].bank.leaves(1))
        except BaseException:
            self.release(run)
            raise

    def release(self, run: CellRun) -> None:
        """Take the cell off the classifier."""
        if self._recomputes:
            _recompute_layers(self.base, enabled=False)
            self._recomputes = False
        mounted, self._mounted = self._mounted, None
        unmount(self.base, mounted)
        super().release(run)

    def can_recompute(self, run: CellRun) -> bool:
        """Prefixes are handed in as a cache, which layers that are computed twice do not take."""
        able = bool(getattr(self.base.model, "supports_gradient_checkpointing", False))
        return able and run.packed.cell.strategy is not Strategy.PREFIX and super().can_recompute(run)

    def _laid_out(self, parts: Sequence[Part], texts: Sequence[Sequence[np.ndarray]], split: str) -> RaggedBatch:
        batch = super()._laid_out(parts, texts, split)
        (own,) = texts
        batch.padded = padded(own, self._pad_id(own), self.device)
        return batch

    def _pad_id(self, texts: Sequence[np.ndarray]) -> int:
        """Encoders know padding by the mask; decoders look for the last token that is not this one."""
        if self.base.family.pooling == "last":
            return unused_id(texts)
        known = (self.base.model.config.pad_token_id, self.base.tokenizer.pad_token_id, 0)
        return next(int(found) for found in known if found is not None)

    def _forward(self, batch: RaggedBatch, parts: Sequence[Part], *, training: bool) -> Iterator[Tensor]:
        """Logits [1, b, C] of the only cell."""
        rows, mounted = batch.padded, self._mounted
        if rows is None or mounted is None:
            raise RuntimeError("the stock engine was asked for a pass without padded texts or without a cell")
        (run,) = parts[0].runs
        self.base.model.config.get_text_config().pad_token_id = rows.pad_id
        with self._arithmetic(mounted, run, training=training):
            logits_SC = mounted.model(input_ids=rows.ids_SL, attention_mask=rows.mask_SL).logits.float()
        yield logits_SC.unsqueeze(0)

    @contextmanager
    def _arithmetic(self, mounted: Mounted, run: CellRun, *, training: bool) -> Iterator[None]:
        """Compute type, dropout and its randomness, and what is kept for the backward pass."""
        dtype, device = self.base.compute.dtype, self.device
        self._set_mode(mounted, run, training=training)
        with (
            torch.set_grad_enabled(training),
            torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32),
            torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=training),
        ):
            if training:
                torch.manual_seed(step_key(run.packed.cell.seed, run.step, run.micro_index))
            yield

    def _set_mode(self, mounted: Mounted, run: CellRun, *, training: bool) -> None:
        mounted.model.train(training)
        if run.packed.cell.strategy is Strategy.HEAD:
            self.base.inner.eval()  # its base is frozen, dropout included, as in every engine
        if run.recomputes_layers and not self._recomputes:
            _recompute_layers(self.base, enabled=True)
            self._recomputes = True


def _recompute_layers(base: StockBase, *, enabled: bool) -> None:
    """Switch transformers' own gradient checkpointing, which restores random states for its second pass."""
    model = base.model
    is_renamed = hasattr(model, "activation_checkpointing_enable")  # in the course of transformers 5
    if not enabled:
        (model.activation_checkpointing_disable if is_renamed else model.gradient_checkpointing_disable)()
    elif is_renamed:
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})
