"""Every cell is loaded again from its exported folder before it is published, and must predict what it predicted.

A fresh process does it with stock libraries (`jobs.reload_check`), because a head that is lost on the way to
the disk shows nowhere else. Shapes: S texts, C classes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from jobs.durable import disk_problem
from jobs.errors import BugError, Diverged, EnvironmentProblem
from jobs.export import MODEL, Exporter, exported_names
from jobs.models.head import head_roots
from jobs.models.loading import Base
from jobs.reload_messages import Answer, Question, Setup
from jobs.spec import FailureKind, PackSpec, Strategy
from jobs.storage import Layout
from jobs.temporary import new_temporary
from jobs.training.cell_run import CellRun
from jobs.training.reload_process import CheckerLost, ReloadProcess

CHECKED_ROWS = 64
"""Test rows that a reloaded cell predicts."""
TEXTS_FILE = "texts.json"

TOLERANCE: Mapping[str, float] = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.1}
"""Difference of logits that rounding explains, relative to a row's largest logit (at least 1).

Our pass has no padding, groups rows differently and keeps heads in float32; stock classifiers keep heads
in the compute type. float32 has 24 significant bits, and some layers leave about 1e-5. bfloat16 has 8: one
rounded logit is off by up to 1/256 of its size, and a dozen layers of such roundings by some hundredths.
Half a label's lead must exceed that difference before another label says anything about the export.
"""
RUN_AWAY_LOGIT = 104.0
"""A logit that leads by so much gives the others a probability of 0 in float32: with a tenth of the rows beyond it,
training did not go well."""


@dataclass(frozen=True, kw_only=True)
class Reloaded:
    """What the check found, for the cell's result."""

    provenance: Mapping[str, Any]
    costs: Mapping[str, float] = field(default_factory=dict)
    marks: tuple[str, ...] = ()


class Reloading:
    """Exports the cells of a pack and has them reloaded; the process runs while the pack does."""

    def __init__(self, pack: PackSpec, base: Base, layout: Layout, cache: Path) -> None:
        """Start the process at once, so that it loads while the first cells train.

        Args:
            pack: its first cell says whether there is a check.
            base: what the cells are trained on.
            layout: the results folder.
            cache: FineGrid's cache folder.
        Side effects:
            starts a process, unless the check is off or no cell leaves weights behind.
        """
        first = pack.cells[0].cell
        if first.model is None:
            raise BugError(f"pack {pack.pack_id} has no model to export")
        self.exporter = Exporter(base, first.model, cache)
        self._layout = layout
        self._dtype_name = base.compute.dtype_name
        self._pad_id = self.exporter.config.pad_token_id if base.family.pooling == "first" else None
        self._pending: tuple[CellRun, np.ndarray, np.ndarray] | None = None
        self._outcome: Reloaded | None = None
        self._process: ReloadProcess | None = None
        kept = [name for c in pack.cells for name in exported_names(c.cell.strategy, c.cell.keep_weights)]
        if first.compute.reload_check and kept:
            self._process = ReloadProcess(self._setup(pack, base, loads_base=MODEL not in kept))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()

    @contextmanager
    def staged(self, run: CellRun, tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Path]]:
        """Write a cell's folders beside the results, to be moved there when they are published.

        Args:
            run: the cell, trained.
            tensors: its chosen state's own tensors.
        Yields:
            name in the result folder -> folder; what is still there afterwards is removed.
        Raises:
            EnvironmentProblem: the disk refused.
        """
        cell = run.packed.cell
        try:
            parent = new_temporary(self._layout.temporary)
        except OSError as error:
            raise disk_problem(self._layout.temporary, error) from error
        try:
            folders = {name: parent / name for name in exported_names(cell.strategy, cell.keep_weights)}
            _write_all(self.exporter, folders, run, tensors)
            yield folders
        finally:
            shutil.rmtree(parent, ignore_errors=True)

    def ask(self, run: CellRun, test_logits_SC: np.ndarray, folders: Mapping[str, Path]) -> None:
        """Have a cell reloaded; `outcome` tells what came of it.

        Args:
            run: the cell.
            test_logits_SC: our logits of all test rows.
            folders: as staged.
        """
        rows = self._chosen_rows(run)
        self._pending, self._outcome = None, None
        if not folders:
            self._outcome = Reloaded(provenance={"reload": "no weights are kept"})
        elif self._process is None:
            self._outcome = Reloaded(provenance={"reload": "off"})
        elif not len(rows):
            self._outcome = _unchecked("no test row without a padding token")
        else:
            self._pending = (run, rows, test_logits_SC)
            self._process.ask(_question(run, rows, folders))

    def outcome(self, *, wait_s: float) -> Reloaded | None:
        """What came of the question, or None when it is still open.

        Args:
            wait_s: how long to wait for the answer now.
        Raises:
            BugError: the reloaded cell predicts other labels, or cannot be loaded.
            Diverged: it does because its training ran away.
        """
        if self._outcome is not None or self._process is None or self._pending is None:
            return self._outcome
        try:
            answer = self._process.answer(wait_s=wait_s)
        except CheckerLost as lost:
            return _unchecked(str(lost))
        return None if answer is None else self._judge(answer, *self._pending)

    def _judge(self, answer: Answer, run: CellRun, rows: np.ndarray, test_logits_SC: np.ndarray) -> Reloaded:
        if answer.logits is None:
            if answer.kind is FailureKind.OUT_OF_MEMORY:
                return _unchecked(str(answer.error))
            raise BugError(f"cell {run.cell_id}: its exported folder cannot be used: {answer.error}")
        try:
            is_multi = run.packed.cell.data.task == "multi_label"
            theirs_SC = np.array(answer.logits, np.float32)
            return compare(test_logits_SC[rows], theirs_SC, self._dtype_name, is_multi_label=is_multi)
        except (BugError, Diverged) as error:
            raise type(error)(f"cell {run.cell_id}: {error}") from None

    def _chosen_rows(self, run: CellRun) -> np.ndarray:
        """Evenly spread over the test rows; encoders take a padding token inside a text for its end."""
        texts = run.data.tokens["test"]
        usable = np.array([i for i, text in enumerate(texts) if self._pad_id is None or self._pad_id not in text], int)
        count = min(CHECKED_ROWS, len(usable))
        return usable[np.linspace(0, len(usable) - 1, count).round().astype(int)] if count else usable

    def _setup(self, pack: PackSpec, base: Base, *, loads_base: bool) -> Setup:
        cell = pack.cells[0].cell
        return Setup(
            threads=pack.resources.cpus,
            device=str(base.compute.device),
            dtype=str(base.compute.dtype).removeprefix("torch."),
            location=self.exporter.location,
            revision=self.exporter.revision,
            quantization=cell.quantization if cell.strategy is Strategy.QLORA else None,
            not_quantized=base.family.quantisation_skip,
            head_roots=head_roots(base.family),
            pad_id=self._pad_id,
            loads_base=loads_base,
        )


def compare(ours_SC: np.ndarray, theirs_SC: np.ndarray, dtype_name: str, *, is_multi_label: bool = False) -> Reloaded:
    """Set the logits of a reloaded cell beside ours.

    Args:
        ours_SC: our logits of the rows.
        theirs_SC: those of the reloaded cell.
        dtype_name: bf16 | fp16 | fp32, what both were computed in.
        is_multi_label: every label is said or not for itself, at a logit of 0.
    Returns:
        the largest difference; a mark when rounding does not explain it although no label changed.
    Raises:
        BugError: a label changed although it led by more than rounding can explain.
        Diverged: so it did, in 16 bits and where logits have run away.
    """
    allowed_S = TOLERANCE[dtype_name] * np.maximum(1.0, np.abs(ours_SC).max(axis=1))
    if is_multi_label:
        changed_SC = (ours_SC >= 0) != (theirs_SC >= 0)
        changed_S = changed_SC.any(axis=1)
        wrong_S = (changed_SC & (np.abs(ours_SC) >= allowed_S[:, None])).any(axis=1)
    else:
        ranked_SC = np.sort(ours_SC, axis=1)
        changed_S = ours_SC.argmax(axis=1) != theirs_SC.argmax(axis=1)
        wrong_S = changed_S & (ranked_SC[:, -1] - ranked_SC[:, -2] >= allowed_S)
    difference_S = np.abs(ours_SC - theirs_SC).max(axis=1)
    largest = float(difference_S.max())
    if wrong_S.any():
        found = (
            f"reloaded from its exported folder it predicts other labels for {int(wrong_S.sum())} of {len(ours_SC)} "
            f"test rows (logits differ by up to {largest:.3g}); nothing was published"
        )
        tenth = float(np.quantile(np.abs(ours_SC).max(axis=1), 0.9))
        if dtype_name != "fp32" and tenth > RUN_AWAY_LOGIT:
            raise Diverged(
                f"training ran away: a tenth of the logits is beyond {tenth:.0f}, where {dtype_name} rounds labels "
                f"over; {found}. Try a smaller learning rate"
            )
        raise BugError(found)
    is_explained = bool((difference_S <= allowed_S).all())
    return Reloaded(
        provenance={"reload": "checked", "reload_rows": len(ours_SC), "reload_close_calls": int(changed_S.sum())},
        costs={"reload_max_difference": largest},
        marks=() if is_explained else (f"reloaded logits differ by up to {largest:.2g}; no label changes",),
    )


def _unchecked(reason: str) -> Reloaded:
    return Reloaded(provenance={"reload": "not checked"}, marks=(f"reload not checked: {reason}",))


def _write_all(exporter: Exporter, folders: Mapping[str, Path], run: CellRun, tensors: Mapping[str, Tensor]) -> None:
    try:
        for name, folder in folders.items():
            exporter.write(name, folder, run.packed.cell, run.data.label_names, tensors)
    except OSError as error:
        raise disk_problem(folder, error) from error
    except SafetensorError as error:  # how it reports a full disk
        raise EnvironmentProblem(f"cannot write {folder}: {error}") from error


def _question(run: CellRun, rows: np.ndarray, folders: Mapping[str, Path]) -> Question:
    form = MODEL if MODEL in folders else next(iter(folders))
    folder = folders[form]
    texts = folder.parent / TEXTS_FILE
    texts.write_text(json.dumps([run.data.tokens["test"][row].tolist() for row in rows]), "ascii")
    return Question(
        strategy=run.packed.cell.strategy,
        form=form,
        folder=str(folder),
        num_labels=run.num_labels,
        texts_file=str(texts),
    )
