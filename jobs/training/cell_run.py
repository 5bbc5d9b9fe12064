"""One cell on its way: what it trains on, how far it is, its best state so far. No tensors of the base."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from jobs.evaluation.metrics import METRICS, classification_metrics
from jobs.models.loading import BASE_PREFIX, Base
from jobs.spec import MetricValue, PackedCell, RecipeSpec, Strategy
from jobs.training import schedule
from jobs.training.adapters import added_shapes, initial_adapters, seeded_generator
from jobs.training.bank import Shapes
from jobs.training.losses import CellLoss, class_weights

EVALUATION_TEXTS = 256
"""Texts of one evaluation pass over all cells of a group together; an eighth of it at least for each."""


@dataclass(frozen=True, kw_only=True)
class CellData:
    """A cell's rows, ready for the model."""

    label_names: tuple[str, ...]
    tokens: dict[str, tuple[np.ndarray, ...]]
    """train, validation, test -> token ids of every text."""
    labels: dict[str, np.ndarray]
    """train, validation, test -> class index of every text, int64."""
    row_ids: dict[str, tuple[str, ...]]
    hashes: dict[str, str]
    counts: dict[str, int]
    marks: tuple[str, ...]

    @property
    def num_train(self) -> int:
        """Training rows."""
        return len(self.tokens["train"])

    @property
    def train_lengths(self) -> np.ndarray:
        """Tokens of every training row."""
        return np.array([len(text) for text in self.tokens["train"]], np.int64)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One point of a tracked number."""

    step: int
    epoch: float
    split: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """What a cell trains on in one pass."""

    rows: np.ndarray
    """Indices of training rows."""
    step_rows: int
    """Rows of the whole optimiser step."""
    completes_step: bool


@dataclass(kw_only=True, eq=False)
class CellRun:
    """The state of one cell in training."""

    packed: PackedCell
    data: CellData
    shapes: Shapes
    initial: dict[str, Tensor]
    scaling: float
    total_steps: int
    steps_per_epoch: int
    step: int = 0
    """Optimiser steps made."""
    best_step: int = 0
    best_value: float | None = None
    best_tensors: Mapping[str, Tensor] | None = None
    best_validation_nC: np.ndarray | None = None
    evaluations_without_gain: int = 0
    stopped_early: bool = False
    curves: list[Curve] = field(default_factory=list)
    seconds: float = 0.0
    """Share of the pack's training time."""
    eval_seconds: float = 0.0
    eval_rows: int = 0
    trained_rows: int = 0
    tokens_trained: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    loss_pending: float = 0.0
    """Loss of the micro-batches of the step that is under way."""
    skipped_steps: int = 0
    """Steps without an update because fp16 overflowed."""
    last_finite_loss: float | None = None
    evaluated_step: int = 0
    """The step after which the last evaluation was made."""
    micro_batches_split: int = 1
    """Parts that every declared micro-batch is split into because memory was short."""
    evaluation_texts: int = EVALUATION_TEXTS
    recomputes_layers: bool = False
    """Activations of the base are computed again in the backward pass instead of being kept."""
    marks: list[str] = field(default_factory=list)
    """What was done differently from the declaration while the cell trained."""
    resumed_from_steps: list[int] = field(default_factory=list)
    """Steps of the checkpoints that the cell went on from, in their order; not a departure, so no mark."""
    _batches: Iterator[list[np.ndarray]] | None = None
    _micro: list[np.ndarray] = field(default_factory=list)
    _micro_done: int = 0
    _micro_step: int = 0
    """Optimiser steps made when the present micro-batches were dealt."""

    @property
    def cell_id(self) -> str:
        """Identity of the cell."""
        return self.packed.cell.cell_id

    @property
    def recipe(self) -> RecipeSpec:
        """The cell's training settings."""
        return self.packed.cell.recipe

    @property
    def num_labels(self) -> int:
        """Classes of this cell."""
        return len(self.data.label_names)

    @property
    def epoch(self) -> float:
        """Passes over the training rows made so far."""
        return self.step / self.steps_per_epoch

    def next_micro_batch(self) -> MicroBatch:
        """Take the next rows."""
        if self._batches is None:
            self._batches = schedule.effective_batches(
                replace(self.recipe, batch_size=self.micro_batch, gradient_accumulation=self.accumulation),
                seed=self.packed.cell.seed,
                num_train=self.data.num_train,
                lengths=self.data.train_lengths,
                weights=self._row_weights,
                first_step=self.step,
            )
        if self._micro_done == len(self._micro):
            self._micro, self._micro_done, self._micro_step = next(self._batches), 0, self.step
        rows = self._micro[self._micro_done]
        self._micro_done += 1
        return MicroBatch(
            rows=rows,
            step_rows=sum(len(m) for m in self._micro),
            completes_step=self._micro_done == len(self._micro),
        )

    @cached_property
    def _row_weights(self) -> np.ndarray | None:
        temper = self.recipe.resample
        return (
            None if temper is None else schedule.row_weights(self.data.labels["train"], self.num_labels, temper=temper)
        )

    @cached_property
    def loss(self) -> CellLoss:
        """What the cell minimises; its class weights follow from its training rows."""
        recipe, is_multi = self.recipe, self.packed.cell.data.task == "multi_label"
        return CellLoss(
            is_multi_label=is_multi,
            focal_gamma=recipe.focal_gamma,
            weights_C=class_weights(
                recipe.class_weights,
                self.data.labels["train"],
                self.num_labels,
                is_multi_label=is_multi,
                beta=recipe.effective_beta,
            ),
        )

    @property
    def micro_batch(self) -> int:
        """Rows of a micro-batch as it is computed: as declared unless memory was short."""
        return self.recipe.batch_size // self.micro_batches_split

    @property
    def accumulation(self) -> int:
        """Micro-batches of an optimiser step; times `micro_batch` always what is declared."""
        return self.recipe.gradient_accumulation * self.micro_batches_split

    def split_micro_batches(self) -> bool:
        """Halve the micro-batch (an odd one: by its smallest divisor); its step has the same rows in more parts.

        Returns:
            False when a micro-batch has a single row already.
        """
        parts = next((n for n in range(2, self.micro_batch + 1) if self.micro_batch % n == 0), 1)
        self.micro_batches_split *= parts
        self._batches = None
        return parts > 1

    def begin_step_anew(self) -> None:
        """Forget the micro-batches of the step that is under way; the same rows come again."""
        if self._micro and self._micro_step == self.step:
            self._batches, self._micro, self._micro_done, self.loss_pending = None, [], 0, 0.0

    @property
    def micro_index(self) -> int:
        """Number of the micro-batch taken last within its optimiser step, from 1."""
        return self._micro_done

    @property
    def step_completed(self) -> bool:
        """True when the last micro-batch completed an optimiser step."""
        return self.step > 0 and self._micro_done == len(self._micro)

    def evaluation_due(self) -> bool:
        """True after a step at which the recipe asks for an evaluation, and after the last step."""
        every = self.recipe.eval_every or self.steps_per_epoch
        return self.step % every == 0 or self.step == self.total_steps

    @property
    def owes_evaluation(self) -> bool:
        """True when an evaluation is due that was not made yet."""
        return self.step_completed and self.evaluated_step < self.step and self.evaluation_due()

    @property
    def finished(self) -> bool:
        """True when no training step is left."""
        return self.stopped_early or self.step >= self.total_steps

    def note_loss(self, loss: float) -> None:
        """Keep the mean training loss since the last evaluation."""
        self.loss_sum += loss
        self.loss_steps += 1
        self.last_finite_loss = loss

    def note_evaluation(self, logits_nC: np.ndarray, tensors: Callable[[], Mapping[str, Tensor]]) -> list[MetricValue]:
        """Record a validation, keep the state when it is the best so far, count patience.

        Args:
            logits_nC: validation logits, float32.
            tensors: copies the cell's tensors; called when this is the best state so far.
        Returns:
            the validation metrics.
        """
        metrics = classification_metrics(logits_nC, self.data.labels["validation"], split="validation")
        self._judge(metrics, logits_nC, tensors)  # first: copying tensors may run out of memory
        if self.loss_steps:
            self._add_curve("train", "loss", self.loss_sum / self.loss_steps)
            self.loss_sum, self.loss_steps = 0.0, 0
        for metric in metrics:
            if metric.value is not None:
                self._add_curve("validation", metric.name, metric.value)
        self.evaluated_step = self.step
        return metrics

    def _judge(
        self, metrics: Sequence[MetricValue], logits_nC: np.ndarray, tensors: Callable[[], Mapping[str, Tensor]]
    ) -> None:
        select_on = self.recipe.select_on
        value = None
        if select_on != "last":
            value = next(m.value for m in metrics if m.name == select_on)
            if value is not None and not METRICS[select_on].higher_is_better:
                value = -value
        gained = select_on == "last" or (value is not None and (self.best_value is None or value > self.best_value))
        if gained or self.best_tensors is None:
            self.best_tensors = tensors()
            self.best_value, self.best_step = value, self.step
            self.best_validation_nC = logits_nC
        if gained:
            self.evaluations_without_gain = 0
            return
        self.evaluations_without_gain += 1
        patience = self.recipe.patience
        if patience is not None and self.evaluations_without_gain >= patience:
            self.stopped_early = self.step < self.total_steps

    def _add_curve(self, split: str, metric: str, value: float) -> None:
        self.curves.append(Curve(step=self.step, epoch=self.epoch, split=split, metric=metric, value=value))


def start_cell(packed: PackedCell, data: CellData, base: Base) -> CellRun:
    """Set a cell up to train on a base: its initial tensors come from its own seed alone.

    Args:
        packed: the cell.
        data: its rows.
        base: the shared base.
    Returns:
        the run, at step 0.
    Raises:
        UserError: a declared target matches no layer.
    """
    cell = packed.cell
    generator = seeded_generator(cell.seed)
    num_labels = len(data.label_names)
    tensors = {f"head.{name}": tensor for name, tensor in base.initial_head(num_labels, generator).items()}
    tensors |= initial_adapters(added_shapes(base, cell), generator)
    if cell.strategy is Strategy.FULL:
        tensors |= {f"{BASE_PREFIX}{name}": tensor for name, tensor in base.pristine.items()}
    per_epoch = schedule.steps_per_epoch(cell.recipe, data.num_train)
    return CellRun(
        packed=packed,
        data=data,
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        initial=tensors,
        scaling=cell.lora.alpha / cell.lora.r if cell.lora else 1.0,
        total_steps=per_epoch * cell.recipe.epochs,
        steps_per_epoch=per_epoch,
    )
