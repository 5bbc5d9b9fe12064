"""Engines for the strategies that are not adapters: a frozen base that is run once, and a base that trains.

Shapes: S texts, H hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from jobs.errors import is_out_of_memory
from jobs.models.loading import BASE_PREFIX, Base
from jobs.models.stock import StockBase
from jobs.spec import Strategy
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine, Part
from jobs.training.peak_memory import return_freed_memory
from jobs.training.ragged import RaggedBatch, ragged_batch
from jobs.training.same_kernels import same_kernels
from jobs.training.slots import RowState
from jobs.training.stock_engine import StockEngine
from jobs.training.upload import on_device

FEATURE_TEXTS = 64
"""Texts of one pass when features are computed."""
_ONE_TOKEN = np.zeros(1, np.int32)


class HeadEngine(PackEngine):
    """Strategy head: the frozen base sees every text once, without dropout; then only heads are trained."""

    def __init__(self, base: Base, layout: RowLayout | None, *, slots: int) -> None:
        """Start without features."""
        super().__init__(base, layout, slots=slots)
        self._is_exact = layout is None
        self._feature_texts = FEATURE_TEXTS
        self._features: dict[bytes, Tensor] = {}
        self._split: dict[tuple[str, str], Tensor] = {}

    def admit(self, run: CellRun, state: RowState | None = None) -> None:
        """Compute what is missing of the cell's features, then take it in."""
        before = self._feature_texts
        for split, texts in run.data.tokens.items():
            self._split[run.cell_id, split] = self.features(texts)
        if self._feature_texts < before:
            what = f"texts of a pass for features reduced from {before} to {self._feature_texts}"
            run.marks.append(f"{what} after running out of memory")
        super().admit(run, state)

    def release(self, run: CellRun) -> None:
        """Forget which features were the cell's; they stay for its neighbours."""
        for split in run.data.tokens:
            self._split.pop((run.cell_id, split), None)
        super().release(run)

    @torch.no_grad()
    def features(self, texts: Sequence[np.ndarray]) -> Tensor:
        """Pooled vectors of texts, each computed once: [S, H], on the engine's device."""
        missing = {text.tobytes(): text for text in texts if text.tobytes() not in self._features}
        keys = sorted(missing, key=len)
        while keys:
            part = keys[: self._feature_texts]
            features = self._try_to_compute([missing[key] for key in part])
            if features is None:
                self._feature_texts //= 2
                return_freed_memory(self.device)
                continue
            self._features.update(zip(part, features, strict=True))
            del keys[: len(part)]
        if not len(texts):
            return torch.empty(0, self.base.hidden, device=self.device)
        return torch.stack([self._features[text.tobytes()] for text in texts])

    def _try_to_compute(self, texts: Sequence[np.ndarray]) -> Tensor | None:
        """Pooled vectors of some texts; None when fewer at a time may fit into memory."""
        try:
            return self._compute(texts)
        except Exception as error:
            if len(texts) == 1 or self._feature_texts == 1 or not is_out_of_memory(error):
                raise
            return None

    def _compute(self, texts: Sequence[np.ndarray]) -> Tensor:
        """Pooled vectors of some texts; in `exact` each goes through products of its own, whoever is beside it."""
        batch = ragged_batch(
            [[text] for text in texts],
            position_offset=self.base.position_offset,
            device=self.device,
            keys=None,
            group_sizes=[1] * len(texts) if self._is_exact else None,
            pooling=self.base.family.pooling,
        )
        with same_kernels():
            return super()._pooled(batch, [], training=False)

    def _batch(self, parts: Sequence[Part], rows: Sequence[np.ndarray], split: str) -> RaggedBatch:
        """Texts stand for themselves: one token each, so that only the places of texts are laid out."""
        runs = [run for part in parts for run in part.runs]
        batch = self._laid_out(parts, [[_ONE_TOKEN] * len(own) for own in rows], split)
        features = [
            self._split[run.cell_id, split].index_select(0, on_device(own, self.device))
            for run, own in zip(runs, rows, strict=True)
        ]
        batch.features_SH = torch.cat(features)
        return batch

    def _pooled(self, batch: RaggedBatch, parts: Sequence[Part], training: bool) -> Tensor:
        """Look the features up."""
        if batch.features_SH is None:
            raise RuntimeError("a batch of texts without features reached the heads")
        return batch.features_SH


class FullEngine(PackEngine):
    """Strategy full: one cell at a time; while it is in, the base's weights are views of its row."""

    def admit(self, run: CellRun, state: RowState | None = None) -> None:
        """Start from the pretrained weights and let the base compute with the cell's own."""
        super().admit(run, state)
        leaves = self.groups[0].bank.leaves(1)
        for name, parameter in self.base.model.named_parameters():
            leaf = leaves[f"{BASE_PREFIX}{name}"]
            parameter.data = leaf.detach()[0]
            parameter.grad = leaf.grad[0] if leaf.grad is not None else None
            parameter.requires_grad_(True)

    def release(self, run: CellRun) -> None:
        """Give the base its pretrained weights back."""
        for name, parameter in self.base.model.named_parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
            parameter.data = self.base.pristine[name]
        super().release(run)

    def _run_base(self, batch: RaggedBatch, parts: Sequence[Part], training: bool) -> Tensor:
        """As in every engine, in the compute type although the weights are float32."""
        dtype, device = self.base.compute.dtype, self.device.type
        with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
            return super()._run_base(batch, parts, training)


def engine_class(strategy: Strategy, base: Base) -> type[PackEngine]:
    """The engine that trains cells of a strategy on a base."""
    if isinstance(base, StockBase):
        return StockEngine
    return {Strategy.HEAD: HeadEngine, Strategy.FULL: FullEngine}.get(strategy, PackEngine)
