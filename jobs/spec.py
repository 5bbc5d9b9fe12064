"""The words that travel between driver, trial, store and analysis: frozen, JSON in and out.

Nothing here imports torch, pydantic, ray or SQL. `to_json` and `from_json` (jobs.plain_json, to be imported from
here) are the only way these objects cross a process or reach a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jobs.plain_json import dumps as dumps
from jobs.plain_json import from_json as from_json
from jobs.plain_json import loads as loads
from jobs.plain_json import to_json as to_json

RECIPE_VERSION = 1
"""Part of every cell's identity: raised when the meaning of an unchanged declaration changes."""

RESULT_VERSION = 1
"""Format of result.json."""

TINY_VERSION = "1"
"""Revision of the tiny demo models: raised when their architecture, tokenizer or pretraining changes."""

_OF_BOTH_TASKS = ("f1_macro", "f1_micro", "f1_weighted", "loss", "precision_weighted", "recall_weighted")
SELECTION_METRICS = {
    "single_label": ("accuracy", "balanced_accuracy", *_OF_BOTH_TASKS),
    "multi_label": ("subset_accuracy", "hamming_loss", "f1_samples", *_OF_BOTH_TASKS),
}
"""Validation metrics that `recipe.select_on` may name besides `last`, by task; losses are best low, the others high."""


class Strategy(StrEnum):
    """How a model is tuned; the last two are baselines and have no model."""

    FULL = "full"
    HEAD = "head"
    LORA = "lora"
    QLORA = "qlora"
    MAJORITY = "majority"
    TFIDF = "tfidf"

    @property
    def is_baseline(self) -> bool:
        """True for strategies that have no model."""
        return self in (Strategy.MAJORITY, Strategy.TFIDF)

    @property
    def has_adapters(self) -> bool:
        """True for strategies that train LoRA matrices."""
        return self in (Strategy.LORA, Strategy.QLORA)


class CellState(StrEnum):
    """Where a cell stands; exactly one at a time, and `done` is final."""

    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"


class FailureKind(StrEnum):
    """Who must act on a failure; the resume rule depends on it."""

    USER = "user"
    ENVIRONMENT = "environment"
    TRANSIENT = "transient"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    BUG = "bug"


RESUMED_KINDS = frozenset({FailureKind.ENVIRONMENT, FailureKind.TRANSIENT, FailureKind.BUG})
"""Failures that the same command tries again; the others wait for a change or --retry-failed."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Which pretrained model, and which version of it."""

    name: str
    """As declared (a known name, owner/name or a folder's name): shown in tables."""
    source: str
    """hub | folder | tiny."""
    location: str
    """Hub id, absolute folder, or the tiny member's family."""
    revision: str | None = None
    """Commit (hub), content hash (folder), generator version (tiny); None: unresolved."""


@dataclass(frozen=True, kw_only=True)
class LabelGroup:
    """Labels of a data set that count as one."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Which rows: source, protocol and the size of this cell's share."""

    source: str
    """hub | files | builtin."""
    id: str = ""
    """Hub id; empty for files and the built-in corpus."""
    subset: str | None = None
    """Hub configuration name, such as `simplified`."""
    path: str = ""
    """Absolute file or folder for source `files`."""
    format: str = "auto"
    """auto | csv | tsv | jsonl | parquet | goemotions | semicolon | tab | aclimdb (for source `files`)."""
    revision: str | None = None
    """Commit (hub), content hash (files), generator version (builtin); None: unresolved."""
    text_column: str = "text"
    label_column: str = "label"
    task: str = "single_label"
    """single_label | multi_label."""
    protocol: str = "nested"
    """nested | replay | official."""
    labels: tuple[str, ...] | None = None
    """Label names in the order in which label sets nest; None: by count, ties by id."""
    num_labels: int | None = None
    """None: all."""
    num_samples: int | None = None
    """Training rows; None: all."""
    num_samples_per: str = "total"
    """total | label."""
    test_per_label: int = 100
    validation_per_label: int = 25
    rows: int = 60_000
    """Size of the built-in corpus."""
    bad_rows: str = "fail"
    """fail | drop."""
    max_bad_fraction: float = 0.01
    """With bad_rows: drop, the largest share of rows that may be dropped."""
    overlap: str = "refuse"
    """Train rows that stand in test as well: refuse | drop (and report)."""
    clean: tuple[str, ...] = ()
    """What is taken out of texts: html | urls | user_names | spaces."""
    keep_matching: str | None = None
    """Regular expression; only rows whose cleaned text holds a match are used."""
    drop_matching: str | None = None
    """Regular expression; rows whose cleaned text holds a match are not used."""
    label_groups: tuple[LabelGroup, ...] | None = None
    """Labels that count as one; labels in no group, and rows with no other, are dropped. None: labels as they are."""
    label_columns: tuple[str, ...] = ()
    """Columns of 0 and 1, one a label, in place of `label_column` (for source `files`)."""
    validation: str = "own"
    """own: rows that are in no other split. test: the test rows, as some published experiments did; marked."""


@dataclass(frozen=True, kw_only=True)
class RecipeSpec:
    """Training settings of one cell."""

    epochs: int = 5
    batch_size: int = 4
    """Rows per optimiser micro-step."""
    gradient_accumulation: int = 1
    optimizer: str = "adamw"
    """adamw | adamw_bnb_8bit."""
    learning_rate: float = 1e-4
    schedule: str = "cosine"
    """cosine | linear | constant."""
    warmup_steps: int = 0
    warmup_ratio: float | None = None
    """Share of all steps; when given, it wins over warmup_steps."""
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    """0 switches clipping off."""
    eval_every: int | None = None
    """Optimiser steps between evaluations; None: once an epoch."""
    patience: int | None = None
    """Evaluations without improvement before the cell stops; None: never."""
    select_on: str = "accuracy"
    """Validation metric that picks the best state, or `last`."""
    max_length: int = 128
    """Tokens; longer texts are cut at the side that `truncation` names, and counted."""
    length_bucketing: int | None = None
    """Optimiser steps whose rows are sorted by length together, so that a step's texts are of similar length;
    None: rows in shuffled order."""
    truncation: str = "right"
    """right | left: which end of a text that is too long is cut off."""
    class_weights: str = "none"
    """none | inverse | effective_number: what makes rows (multi-label: positives) of rare labels count more."""
    effective_beta: float = 0.999
    """With class_weights: effective_number, how slowly further rows of a label add to its effective number."""
    focal_gamma: float = 0.0
    """Exponent of the focal loss; 0: plain cross-entropy, or binary cross-entropy of every label."""
    resample: float | None = None
    """Draw training rows such that a label with n rows has a share like n ** resample; 0: all labels alike. None: every
    row once an epoch."""


@dataclass(frozen=True, kw_only=True)
class LoraSpec:
    """Adapter settings; used by strategies lora and qlora."""

    r: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: tuple[str, ...] | None = None
    """Module-name suffixes; None: the family's default."""
    layers: tuple[int, ...] | None = None
    """Numbers of the layers that get adapters, from 0; None: all of them."""


@dataclass(frozen=True, kw_only=True)
class QuantizationSpec:
    """4-bit storage of the frozen base; used by strategy qlora."""

    type: str = "nf4"
    """nf4 | fp4."""
    double: bool = True
    """Quantise the quantisation constants as well."""


@dataclass(frozen=True, kw_only=True)
class CheckpointSpec:
    """How often a cell in training is saved, so that it can go on elsewhere."""

    every_s: float | None = 60.0
    """Seconds between two checkpoints of a cell; a pack that is stopped makes one as well. None: none at all."""
    keep: int = 2
    """Newest checkpoints of a cell that stay; all go when its result is published."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """What is fitted on validation rows of a trained cell and applied to its test rows."""

    thresholds: bool = True
    """Multi-label: one threshold for all labels, and one for each."""
    threshold_start: float = 0.01
    threshold_stop: float = 0.99
    threshold_step: float = 0.01
    threshold_objective: str = "f1_macro"
    """f1_macro | f1_micro | subset_accuracy: what the threshold for all labels makes largest; a label's own: its F1."""
    calibration: tuple[str, ...] = ("temperature", "label_temperatures", "isotonic")
    """Ways to calibrate probabilities; label_temperatures is for multi-label cells alone."""


@dataclass(frozen=True, kw_only=True)
class ComputeSpec:
    """How the numbers are computed: never part of identity; what it resolved to is provenance."""

    precision: str = "auto"
    """auto | bf16 | fp16 | fp32."""
    base: str = "auto"
    """auto | quantized | resident."""
    numerics: str = "auto"
    """auto | exact | fast."""
    device: str = "auto"
    """auto | cpu | cuda."""
    slots: int | None = None
    """Cells that train together in one pack, at most; None: found by measuring before the pack trains."""
    reload_check: bool = True
    """Load every exported cell in a fresh process and compare its predictions before it is published."""
    cost_probe: bool = True
    """Measure some steps of a cell alone before its pack starts, once for all cells that cost the same."""
    checkpoint: CheckpointSpec = field(default_factory=CheckpointSpec)


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """One point of the grid, complete: a trial needs nothing else to compute it."""

    cell_id: str
    grid: str
    strategy: Strategy
    seed: int
    data: DataSpec
    recipe: RecipeSpec
    model: ModelSpec | None = None
    """None for baselines."""
    lora: LoraSpec | None = None
    quantization: QuantizationSpec | None = None
    evaluation: EvaluationSpec = field(default_factory=EvaluationSpec)
    compute: ComputeSpec = field(default_factory=ComputeSpec)
    variant: str | None = None
    axes: Mapping[str, Any] = field(default_factory=dict)
    """This cell's value on every declared axis (scalars), in the order declared: for tables."""
    keep_weights: str = "adapters"
    """adapters | best | all."""

    @property
    def title(self) -> str:
        """A short line for people: model, strategy, labels, samples, seed."""
        model = self.model.name if self.model else "-"
        labels = self.data.num_labels or "all"
        samples = self.data.num_samples or "all"
        variant = f" {self.variant}" if self.variant else ""
        return f"{model} {self.strategy}{variant} {labels} labels {samples} rows seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one pack asks of the scheduler."""

    cpus: int = 1
    gpus: float = 0.0
    memory_bytes: int | None = None
    accelerator_type: str | None = None
    """Ray's name for the kind of GPU it must be; None: any."""


@dataclass(frozen=True, kw_only=True)
class PackedCell:
    """A cell with the numbers of the try it is handed out for."""

    cell: CellSpec
    epoch: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class PackSpec:
    """Cells that share a base, trained together by one trial."""

    pack_id: str
    base_key: str
    """Cells with equal base_key can share one loaded base; `baseline` for packs without one."""
    cells: tuple[PackedCell, ...]
    resources: Resources = field(default_factory=Resources)


class EventKind(StrEnum):
    """What a trial tells the driver."""

    PACK_STARTED = "pack_started"
    HEARTBEAT = "heartbeat"
    """Data: live, waiting, finished (cell counts), step, total_steps."""
    CELL_STARTED = "cell_started"
    """Data: from_step, of the newest checkpoint that the cell may go on from (0: none). Whether it could is in the
    pack's log: cell_resumed."""
    CHECKPOINTED = "checkpointed"
    """Data: step. From now on the cell can go on from there."""
    CELL_FINISHED = "cell_finished"
    """Data: folder (of the published result), accuracy when defined."""
    CELL_FAILED = "cell_failed"
    """Data: kind, reason, log."""
    CELL_INTERRUPTED = "cell_interrupted"
    """The cell was given back unfinished: stopped, or given up on command."""
    PACK_FINISHED = "pack_finished"
    PACK_LOST = "pack_lost"
    """Said by the runner for a trial that died or raised. Data: kind, reason, log."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One message from a trial."""

    kind: EventKind
    pack_id: str
    cell_id: str | None = None
    epoch: int | None = None
    attempt: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


class CommandKind(StrEnum):
    """What the driver may ask of a running trial."""

    STOP = "stop"
    TAKE_CELLS = "take_cells"
    GIVE_UP_CELLS = "give_up_cells"


@dataclass(frozen=True, kw_only=True)
class Command:
    """One message to a trial; `cells` for take_cells, `cell_ids` for give_up_cells."""

    kind: CommandKind
    cells: tuple[PackedCell, ...] = ()
    cell_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """One number of a result: a finite value, or the reason why there is none; never both."""

    split: str
    """train | validation | test."""
    name: str
    value: float | None = None
    undefined: str | None = None
    label: str = ""
    """Label name for per-label metrics, else empty."""

    def __post_init__(self) -> None:
        """Refuse both or neither, and values that are not finite."""
        if (self.value is None) == (self.undefined is None):
            raise ValueError(f"metric {self.split}/{self.name}: exactly one of value and undefined")
        if self.value is not None and not abs(self.value) < float("inf"):
            raise ValueError(f"metric {self.split}/{self.name}: {self.value} is not finite")


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """What a finished cell leaves behind, as written to result.json."""

    cell: CellSpec
    epoch: int
    attempt: int
    metrics: tuple[MetricValue, ...]
    counts: Mapping[str, int]
    """num_train, num_validation, num_test, trainable_parameters, total_parameters, best_step,
    stopped_step, effective_batch_size, text counts (texts_blank, texts_truncated, ...)."""
    hashes: Mapping[str, str]
    """Subset hashes (train, validation, test), weights hash."""
    costs: Mapping[str, float]
    """train_seconds, train_samples_per_second, eval_samples_per_second, peak_memory_bytes, total_flops: shares
    inside a pack, see provenance["costs"]. solo_step_seconds, solo_train_samples_per_second,
    solo_inference_samples_per_second, solo_peak_memory_bytes and, for strategy head, solo_feature_seconds_per_text:
    measured alone, see provenance["solo_probe"]."""
    provenance: Mapping[str, Any]
    """Device, dtype, base_mode, numerics, threads, library versions, host, pack size."""
    epochs: float = 0.0
    """Passes over the training rows that were really made."""
    marks: tuple[str, ...] = ()
    """Every departure from the declaration."""
    label_names: tuple[str, ...] = ()
    version: int = RESULT_VERSION
