"""Finished cells as stock models, one after another over one loaded base."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from jobs.errors import EnvironmentProblem, UserError
from jobs.export import ADAPTER, MODEL
from jobs.models.families import family_of
from jobs.models.head import head_roots
from jobs.models.loading import load_tokenizer, location_of
from jobs.reload_check import Checker
from jobs.reload_messages import Question, Setup
from jobs.spec import CellResult, ModelSpec, Strategy
from jobs.storage import bring_weights, read_result, verify
from jobs.work_messages import AskedCell

_TORCH_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


@dataclass(frozen=True, kw_only=True)
class FinishedCell:
    """A cell with its result and the weights it kept."""

    asked: AskedCell
    result: CellResult
    model: ModelSpec
    form: str
    """adapter | model: what its folder holds."""

    @property
    def weights(self) -> Path:
        """The exported folder."""
        return Path(self.asked.folder) / self.form


def finished_cell(asked: AskedCell) -> FinishedCell:
    """Read a cell's result and find its weights.

    Raises:
        DamagedResult: its folder is not what was published.
        UserError: it has no model, or kept no weights.
    """
    folder = Path(asked.folder)
    verify(folder)
    bring_weights(folder)
    result = read_result(folder)
    model = result.cell.model
    if model is None:
        raise UserError(f"cell {asked.cell_id} ({asked.title}) is a baseline: it has no model")
    # A head's adapter folder holds the head alone, which the base completes: smaller to load than its whole model.
    if result.cell.strategy is Strategy.CHAIN:
        raise UserError(
            f"cell {asked.cell_id} ({asked.title}) is a chain of regressions on frozen features: no sequence classifier"
            " can be loaded from it. Its numbers are in adapter/chain.safetensors, for jobs.chains.Chain"
        )
    form = next((name for name in (ADAPTER, MODEL) if (folder / name).is_dir()), None)
    if form is None:
        raise UserError(
            f"cell {asked.cell_id} ({asked.title}) kept no weights: its config says keep_weights:"
            f" {result.cell.keep_weights}. Declare keep_weights: best before such a cell is run; a finished cell is not"
            " run again, so run it once more in another results folder (--set keep_weights=best --results DIR)"
        )
    return FinishedCell(asked=asked, result=result, model=model, form=form)


class Shelf:
    """Keeps the last loaded base and tokenizer: cells of one base in a row load it once."""

    def __init__(self, cache: Path, *, dtype: str | None = None) -> None:
        """Start empty.

        Args:
            cache: FineGrid's cache folder.
            dtype: fp32 | bf16 | fp16, what is computed in; None: what each cell was trained in.
        """
        self._cache = cache
        self._dtype = dtype
        self._setup: Setup | None = None
        self._checker: Checker | None = None
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def tokenizer_of(self, cell: FinishedCell) -> Any:
        """The tokenizer that the cell was trained with."""
        location, revision = location_of(cell.model, self._cache)
        return load_tokenizer(cell.model, location, revision, self._config(cell))

    @contextmanager
    def predictor_of(self, cell: FinishedCell) -> Iterator[Callable[[Sequence[Sequence[int]]], np.ndarray]]:
        """Load a cell; yields what turns token ids into logits [n, C].

        Raises:
            as `model_of`.
        """
        checker, question = self._checker_of(cell), self._question(cell)
        with checker.model_of(question) as model:
            yield lambda texts: checker.logits(model, question, texts).numpy()

    @contextmanager
    def model_of(self, cell: FinishedCell) -> Iterator[Any]:
        """Load a cell, its parameters frozen.

        Raises:
            EnvironmentProblem: its base is not on this machine.
            BugError: its folder does not hold what it should.
        """
        with self._checker_of(cell).model_of(self._question(cell)) as model:
            yield model.requires_grad_(False)

    def _checker_of(self, cell: FinishedCell) -> Checker:
        setup = self._setup_of(cell)
        if self._checker is None or setup != self._setup:
            self._checker = None  # the old base goes before the new one comes
            self._checker, self._setup = Checker(setup), setup
        return self._checker

    def _question(self, cell: FinishedCell) -> Question:
        return Question(
            strategy=cell.result.cell.strategy,
            form=cell.form,
            folder=str(cell.weights),
            num_labels=len(cell.result.label_names),
            texts_file="",
        )

    def _setup_of(self, cell: FinishedCell) -> Setup:
        location, revision = location_of(cell.model, self._cache)
        spec = cell.result.cell
        family = family_of(self._config(cell).model_type, declared=spec.family)
        return Setup(
            threads=torch.get_num_threads(),
            device=self.device,
            dtype=_TORCH_NAMES[self._dtype or str(cell.result.provenance["dtype"])],
            location=location,
            revision=revision,
            quantization=spec.quantization if spec.strategy is Strategy.QLORA else None,
            not_quantized=family.quantisation_skip,
            head_roots=head_roots(family),
            pad_id=None,
            loads_base=False,
        )

    def _config(self, cell: FinishedCell) -> Any:
        location, revision = location_of(cell.model, self._cache)
        try:
            config = AutoConfig.from_pretrained(location, revision=revision, local_files_only=True)
        except OSError as error:
            raise EnvironmentProblem(
                f"cell {cell.asked.cell_id}: its base {cell.model.name} is not on this machine ({os.fspath(location)},"
                f" revision {revision}); fetch it with `finegrid prefetch CONFIG`"
            ) from error
        return getattr(config, "text_config", None) or config
