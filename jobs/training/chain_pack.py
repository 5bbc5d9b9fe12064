"""Runs the classifier chains of a pack: features of a frozen base, then a fit without steps, cell after cell.

A chain that is stopped begins anew: fits are short, and the features of the pack's texts are computed once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from jobs.chains import Chain, ChainStopped, fit_chain
from jobs.errors import BugError, UserError
from jobs.export import ADAPTER, CHAIN_FILE, Exporter, exported_names
from jobs.models.base import Base
from jobs.models.padding import padded, unused_id
from jobs.models.stock import StockBase
from jobs.spec import Command, Event, EventKind, PackedCell
from jobs.temporary import new_temporary
from jobs.training.cell_data import load_data
from jobs.training.cell_run import CellData, CellRun
from jobs.training.engines import FEATURE_TEXTS, HeadEngine
from jobs.training.finish import publish_cell
from jobs.training.pack import beside
from jobs.training.reloading import Reloaded
from jobs.training.slot_search import Slots
from jobs.training.solo_costs import Solo

if TYPE_CHECKING:
    from jobs.trial import Desk, Workshop

_ALONE = Slots(number=1, found="automatic")
_NO_PROBE = Solo(provenance={"solo_probe": "not measured: a fit has no steps"})


def run_chains(desk: Desk) -> Generator[Event, Command | None, None]:
    """Fit every waiting cell; a failing one becomes an event and the rest go on.

    Raises:
        FineGridError: the base cannot be loaded.
    """
    base = yield from beside(desk, lambda: desk.workshop.base_for(desk.pack))
    features = Features(base)
    while desk.waiting and not desk.is_stopped:
        packed = desk.waiting.popleft()
        if packed.cell.cell_id in desk.given_up:
            desk.heed((yield desk.interrupted(packed)))
            continue
        desk.heed((yield desk.event(EventKind.CELL_STARTED, packed)))
        try:
            folder, accuracy = yield from beside(desk, partial(_run_cell, packed, features, desk))
        except ChainStopped:
            desk.waiting.appendleft(packed)
        except Exception as error:
            desk.heed((yield desk.failed(packed, error)))
        else:
            desk.heed((yield desk.finished(packed, folder, accuracy)))


class Features:
    """Pooled vectors of texts as heads see them, without dropout; each text once."""

    def __init__(self, base: Base) -> None:
        """Start with none."""
        self.base = base
        self._engine = None if isinstance(base, StockBase) else HeadEngine(base, None, slots=1)

    def of(self, texts: Sequence[np.ndarray]) -> np.ndarray:
        """Float32 [texts, hidden]."""
        if self._engine is not None:
            found = self._engine.features(texts)
        else:
            parts = [self._stock(texts[i : i + FEATURE_TEXTS]) for i in range(0, len(texts), FEATURE_TEXTS)]
            found = torch.cat(parts) if parts else torch.empty(0, self.base.hidden)
        return found.float().cpu().numpy()

    @torch.no_grad()
    def _stock(self, texts: Sequence[np.ndarray]) -> Tensor:
        """The first or last token's vector: the head between it and the logits has no pretrained weights."""
        if not isinstance(self.base, StockBase):
            raise BugError("vectors of a stock classifier were asked for without one")
        known = self.base.model.config.pad_token_id
        rows = padded(texts, unused_id(texts) if known is None else int(known), self.base.compute.device)
        hidden_SLH: Tensor = self.base.inner(input_ids=rows.ids_SL, attention_mask=rows.mask_SL).last_hidden_state
        if self.base.family.pooling == "first":
            return hidden_SLH[:, 0]
        return hidden_SLH[torch.arange(len(texts)), rows.mask_SL.sum(1) - 1]


def _run_cell(packed: PackedCell, features: Features, desk: Desk) -> tuple[Path, float | None]:
    cell, base, workshop = packed.cell, features.base, desk.workshop
    data = load_data(packed, base, workshop.cache)
    if cell.chain is None or cell.data.task != "multi_label":
        raise UserError(f"cell {cell.cell_id}: strategy chain needs rows with several labels (task: multi_label)")
    started = time.perf_counter()
    vectors = {split: features.of(texts) for split, texts in data.tokens.items()}
    chain = fit_chain(
        vectors["train"],
        data.labels["train"],
        label_names=data.label_names,
        c=cell.chain.c,
        seed=cell.seed,
        should_stop=lambda: desk.is_stopped or cell.cell_id in desk.given_up,
    )
    run = _as_run(packed, data, chain, seconds=time.perf_counter() - started)
    started = time.perf_counter()
    logits = {split: chain.logits(vectors[split]) for split in ("validation", "test")}
    run.eval_seconds = time.perf_counter() - started
    run.best_validation_nC = logits["validation"]
    return _publish(run, chain, vectors["test"], logits["test"], base, workshop)


def _publish(
    run: CellRun, chain: Chain, test_nH: np.ndarray, test_logits_nC: np.ndarray, base: Base, workshop: Workshop
) -> tuple[Path, float | None]:
    """Write a fitted cell's folder, once its chain was read again."""
    cell = run.packed.cell
    if cell.model is None:
        raise BugError(f"cell {cell.cell_id} has a chain but no model")
    tensors = {name: torch.from_numpy(array) for name, array in chain.arrays().items()}
    parent = new_temporary(workshop.layout.temporary)
    try:
        folders = {name: parent / name for name in exported_names(cell.strategy, cell.keep_weights)}
        exporter = Exporter(base, cell.model, workshop.cache)
        for name, folder in folders.items():
            exporter.write(name, folder, cell, run.data.label_names, tensors)
        return publish_cell(
            run,
            test_logits_nC,
            tensors,
            base,
            workshop.layout,
            folders=folders,
            reloaded=_reloaded(folders, test_nH, test_logits_nC),
            solo=_NO_PROBE,
            slots=_ALONE,
        )
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def _as_run(packed: PackedCell, data: CellData, chain: Chain, *, seconds: float) -> CellRun:
    """What a cell that trains in steps would leave behind, for a fit: one step over all rows."""
    return CellRun(
        packed=packed,
        data=data,
        shapes={name: array.shape for name, array in chain.arrays().items() if name.endswith(("weight", "bias"))},
        initial={},
        scaling=1.0,
        total_steps=1,
        steps_per_epoch=1,
        step=1,
        best_step=1,
        seconds=seconds,
        trained_rows=data.num_train,
        tokens_trained=int(data.train_lengths.sum()),
        eval_rows=len(data.tokens["validation"]) + len(data.tokens["test"]),
        marks=list(chain.marks),
    )


def _reloaded(folders: Mapping[str, Path], features_nH: np.ndarray, logits_nC: np.ndarray) -> Reloaded:
    """Read the chain again from its file, and say the same of the test rows."""
    if not folders:
        return Reloaded(provenance={"reload": "no weights are kept"})
    arrays = {name: tensor.numpy() for name, tensor in load_file(folders[ADAPTER] / CHAIN_FILE).items()}
    again_nC = Chain.from_arrays(arrays).logits(features_nH)
    if not np.array_equal(again_nC, logits_nC):
        raise BugError("a chain read again from its file predicts something else; nothing was published")
    return Reloaded(
        provenance={"reload": "checked", "reload_rows": len(logits_nC), "reload_close_calls": 0},
        costs={"reload_max_difference": 0.0},
    )
