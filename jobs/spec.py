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
from jobs.settings import DEFAULT_SELECTION as DEFAULT_SELECTION
from jobs.settings import SELECTION_METRICS as SELECTION_METRICS
from jobs.settings import CandidateSpec as CandidateSpec
from jobs.settings import ChainSpec as ChainSpec
from jobs.settings import CheckpointSpec as CheckpointSpec
from jobs.settings import ComputeSpec as ComputeSpec
from jobs.settings import DataSpec as DataSpec
from jobs.settings import EvaluationSpec as EvaluationSpec
from jobs.settings import FamilySpec as FamilySpec
from jobs.settings import Ia3Spec as Ia3Spec
from jobs.settings import LabelGroup as LabelGroup
from jobs.settings import LoraSpec as LoraSpec
from jobs.settings import ModelSpec as ModelSpec
from jobs.settings import PrefixSpec as PrefixSpec
from jobs.settings import QuantizationSpec as QuantizationSpec
from jobs.settings import RecipeSpec as RecipeSpec
from jobs.settings import TuningSpec as TuningSpec

RECIPE_VERSION = 1
"""Part of every cell's identity: raised when the meaning of an unchanged declaration changes."""

RESULT_VERSION = 1
"""Format of result.json."""

TINY_VERSION = "1"
"""Revision of the tiny demo models: raised when their architecture, tokenizer or pretraining changes."""


class Strategy(StrEnum):
    """How a model is tuned; the last two are baselines and have no model."""

    FULL = "full"
    HEAD = "head"
    LORA = "lora"
    QLORA = "qlora"
    IA3 = "ia3"
    PREFIX = "prefix"
    CHAIN = "chain"
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

    @property
    def has_peft_folder(self) -> bool:
        """True for strategies whose trained cells are PEFT folders."""
        return self in (Strategy.LORA, Strategy.QLORA, Strategy.IA3, Strategy.PREFIX)

    @property
    def is_stock(self) -> bool:
        """True for strategies that PEFT trains on the stock classifier, one cell at a time, whatever the model."""
        return self in (Strategy.IA3, Strategy.PREFIX)

    @property
    def sections(self) -> tuple[str, ...]:
        """Sections of a declaration that only some strategies have, as far as this one has them."""
        return _SECTIONS_OF.get(self, ())

    def reads(self, section: str, key: str) -> bool:
        """Whether a key of a section changes cells of this strategy.

        Args:
            section: dataset | recipe | lora | quantization | ia3 | prefix | chain.
            key: its bare name.
        """
        if section == "dataset":
            return True
        if section == "recipe":
            return not self.is_baseline and (self is not Strategy.CHAIN or key in CHAIN_RECIPE)
        return section in self.sections


_SECTIONS_OF = {
    Strategy.LORA: ("lora",),
    Strategy.QLORA: ("lora", "quantization"),
    Strategy.IA3: ("ia3",),
    Strategy.PREFIX: ("prefix",),
    Strategy.CHAIN: ("chain",),
}

CHAIN_RECIPE = ("max_length", "truncation")
"""What a chain takes of the recipe: it is fitted, not trained in steps."""

WITHOUT_PREFIX = ("distilbert", "deberta-v2")
"""Families whose models take no keys and values of earlier tokens, which strategy prefix learns."""


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
    ia3: Ia3Spec | None = None
    prefix: PrefixSpec | None = None
    chain: ChainSpec | None = None
    family: FamilySpec | None = None
    """Given: the model's architecture is as declared here, and goes through the stock classifier."""
    evaluation: EvaluationSpec = field(default_factory=EvaluationSpec)
    compute: ComputeSpec = field(default_factory=ComputeSpec)
    tuning: TuningSpec | None = None
    """Given: how the settings were chosen; they themselves stand in recipe, lora, ..."""
    candidate: CandidateSpec | None = None
    """Given: one of the settings that a tuning tries, judged on validation rows alone."""
    variant: str | None = None
    axes: Mapping[str, Any] = field(default_factory=dict)
    """This cell's value on every declared axis (scalars), in the order declared: for tables."""
    keep_weights: str = "adapters"
    """adapters | best | all; none for candidates."""

    @property
    def title(self) -> str:
        """A short line for people: model, strategy, labels, samples, seed."""
        model = self.model.name if self.model else "-"
        labels = self.data.num_labels or "all"
        samples = self.data.num_samples or "all"
        variant = f" {self.variant}" if self.variant else ""
        candidate = f" candidate {self.candidate.number}" if self.candidate else ""
        return f"{model} {self.strategy}{variant} {labels} labels {samples} rows seed {self.seed}{candidate}"


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
    GIVE_UP_CELLS = "give_up_cells"


@dataclass(frozen=True, kw_only=True)
class Command:
    """One message to a trial; `cell_ids` for give_up_cells."""

    kind: CommandKind
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
