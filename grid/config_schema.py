"""The shape of a config file: one strict pydantic model a section, and its faults in words.

Defaults are those of `jobs.spec`, read from there, so that they stand in one place. Pydantic stays at this
boundary; `grid.config` turns the sections into the frozen dataclasses of `jobs.spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grid.config_faults import problems_of
from jobs.errors import Problem
from jobs.spec import (
    SELECTION_METRICS,
    ChainSpec,
    CheckpointSpec,
    ComputeSpec,
    DataSpec,
    EvaluationSpec,
    LoraSpec,
    PrefixSpec,
    QuantizationSpec,
    RecipeSpec,
    TuningSpec,
)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
HUB_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$"

_DATA = DataSpec(source="builtin")
_RECIPE = RecipeSpec()
_LORA = LoraSpec()
_QUANTIZATION = QuantizationSpec()
_PREFIX = PrefixSpec()
_CHAIN = ChainSpec()
_COMPUTE = ComputeSpec()
_EVALUATION = EvaluationSpec()
_SELECTION_METRICS = sorted({name for names in SELECTION_METRICS.values() for name in names})
_CHECKPOINT = CheckpointSpec()
_TUNING = TuningSpec(candidates=8, search=(), metric="", on="")

Count = Annotated[int, Field(ge=1, le=10**9)]
ShortText = Annotated[str, Field(min_length=1, max_length=200)]
Labels = Annotated[list[ShortText], Field(min_length=2)]
Pattern = ShortText | Annotated[list[ShortText], Field(min_length=1, max_length=1000)]
"""A regular expression, or words of which one must occur."""
Calibration = Literal["temperature", "label_temperatures", "isotonic"]
LabelGroups = Annotated[dict[ShortText, Annotated[list[ShortText], Field(min_length=1)]], Field(min_length=2)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )


class DatasetSection(_Section):
    """Which rows; `num_labels` and `num_samples` usually stand on the axes instead."""

    source: Literal["hub", "files", "builtin"]
    id: Annotated[str, Field(pattern=HUB_ID_PATTERN)] | None = None
    subset: ShortText | None = _DATA.subset
    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "goemotions", "semicolon", "tab", "aclimdb"] = "auto"
    revision: ShortText | None = _DATA.revision
    text_column: ShortText = _DATA.text_column
    label_column: ShortText = _DATA.label_column
    task: Literal["single_label", "multi_label"] = "single_label"
    protocol: Literal["nested", "replay", "official"] = "nested"
    labels: Labels | None = None
    num_labels: Annotated[int, Field(ge=2, le=10**6)] | Literal["all"] | None = None
    num_samples: Count | Literal["all"] | None = None
    num_samples_per: Literal["total", "label"] = "total"
    test_per_label: Count = _DATA.test_per_label
    validation_per_label: Count = _DATA.validation_per_label
    rows: Annotated[int, Field(ge=1000, le=1_000_000)] = _DATA.rows
    bad_rows: Literal["fail", "drop"] = "fail"
    max_bad_fraction: Annotated[float, Field(ge=0, lt=1)] = _DATA.max_bad_fraction
    overlap: Literal["refuse", "drop"] = "refuse"
    clean: list[Literal["html", "urls", "user_names", "spaces"]] = Field(default_factory=list)
    keep_matching: Pattern | None = _DATA.keep_matching
    drop_matching: Pattern | None = _DATA.drop_matching
    label_columns: Annotated[list[ShortText], Field(max_length=1000)] = Field(default_factory=list)
    augment: list[Literal["drop_words", "swap_words", "repeat_words"]] = Field(default_factory=list)
    augment_to: Count | None = _DATA.augment_to
    augment_copies: Annotated[int, Field(ge=1, le=100)] = _DATA.augment_copies
    augment_share: Annotated[float, Field(gt=0, lt=1)] = _DATA.augment_share
    validation: Literal["own", "test"] = "own"
    label_groups: Literal["ekman", "sentiment"] | LabelGroups | None = None


class RecipeSection(_Section):
    """Training settings."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = _RECIPE.epochs
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = _RECIPE.batch_size
    gradient_accumulation: Annotated[int, Field(ge=1, le=65_536)] = _RECIPE.gradient_accumulation
    optimizer: Literal["adamw", "adamw_bnb_8bit"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = _RECIPE.learning_rate
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0, le=10**9)] = _RECIPE.warmup_steps
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] | None = _RECIPE.warmup_ratio
    weight_decay: Annotated[float, Field(ge=0, le=10)] = _RECIPE.weight_decay
    max_grad_norm: Annotated[float, Field(ge=0)] = _RECIPE.max_grad_norm
    eval_every: Count | Literal["epoch"] | None = None
    patience: Count | None = None
    select_on: Literal["last", *_SELECTION_METRICS] = "accuracy"  # type: ignore[valid-type]
    max_length: Annotated[int, Field(ge=4, le=131_072)] = _RECIPE.max_length
    length_bucketing: Annotated[int, Field(ge=2, le=65_536)] | None = _RECIPE.length_bucketing
    truncation: Literal["right", "left"] = "right"
    class_weights: Literal["none", "inverse", "effective_number"] = "none"
    effective_beta: Annotated[float, Field(gt=0, lt=1)] = _RECIPE.effective_beta
    focal_gamma: Annotated[float, Field(ge=0, le=20)] = _RECIPE.focal_gamma
    resample: Annotated[float, Field(ge=0, lt=1)] | None = _RECIPE.resample


class LoraSection(_Section):
    """Adapters of strategies lora and qlora."""

    r: Annotated[int, Field(ge=1, le=1024)] = _LORA.r
    alpha: Annotated[int, Field(ge=1, le=65_536)] = _LORA.alpha
    dropout: Annotated[float, Field(ge=0, lt=1)] = _LORA.dropout
    targets: Annotated[list[ShortText], Field(min_length=1)] | None = None
    layers: Annotated[list[Annotated[int, Field(ge=0, le=10_000)]], Field(min_length=1)] | None = None


class QuantizationSection(_Section):
    """4-bit storage of the base under strategy qlora."""

    type: Literal["nf4", "fp4"] = "nf4"
    double: bool = _QUANTIZATION.double


class Ia3Section(_Section):
    """Scaling vectors of strategy ia3."""

    targets: Annotated[list[ShortText], Field(min_length=1)] | None = None
    feedforward: list[ShortText] | None = None


class PrefixSection(_Section):
    """Learned keys and values of strategy prefix."""

    tokens: Annotated[int, Field(ge=1, le=4096)] = _PREFIX.tokens
    projection: bool = _PREFIX.projection


class ChainSection(_Section):
    """Logistic regressions of strategy chain."""

    c: Annotated[float, Field(gt=0, le=1e6)] = _CHAIN.c


class FamilySection(_Section):
    """The architecture of models that FineGrid does not know."""

    targets: Annotated[list[ShortText], Field(min_length=1)]
    head: Annotated[list[ShortText], Field(min_length=1)] = Field(default_factory=lambda: ["classifier"])
    pooling: Literal["first", "last"] = "first"


class EvaluationSection(_Section):
    """What is fitted on validation rows and applied to test rows."""

    thresholds: bool = _EVALUATION.thresholds
    threshold_start: Annotated[float, Field(gt=0, lt=1)] = _EVALUATION.threshold_start
    threshold_stop: Annotated[float, Field(gt=0, lt=1)] = _EVALUATION.threshold_stop
    threshold_step: Annotated[float, Field(ge=0.001, lt=1)] = _EVALUATION.threshold_step
    threshold_objective: Literal["f1_macro", "f1_micro", "subset_accuracy"] = "f1_macro"
    calibration: list[Calibration] = Field(default_factory=lambda: list(get_args(Calibration)))


class ComputeSection(_Section):
    """How the numbers are computed; never part of a cell's identity."""

    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    base: Literal["auto", "quantized", "resident"] = "auto"
    numerics: Literal["auto", "exact", "fast"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    slots: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    reload_check: bool = _COMPUTE.reload_check
    cost_probe: bool = _COMPUTE.cost_probe
    cpus_per_trial: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    gpus_per_trial: Annotated[float, Field(ge=0, le=16)] | Literal["auto"] = "auto"
    accelerator_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "auto"


class CheckpointSection(_Section):
    """How often cells in training are saved; never part of a cell's identity."""

    every_s: Annotated[float, Field(gt=0, le=10**9)] | Literal["off"] | None = _CHECKPOINT.every_s
    keep: Annotated[int, Field(ge=1, le=1000)] = _CHECKPOINT.keep


class TuningSection(_Section):
    """How every arm tries settings on validation rows; keys are checked further by `grid.tuning.declaring`."""

    candidates: Annotated[int, Field(ge=2, le=1000)] = 8
    search: Annotated[dict[str, Any], Field(min_length=1)]
    on: dict[str, Any] = Field(default_factory=dict)
    metric: Literal["select_on", *_SELECTION_METRICS] = "select_on"  # type: ignore[valid-type]
    batch: Annotated[int, Field(ge=1, le=1000)] = _TUNING.batch
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = _TUNING.seed
    halving: Annotated[int, Field(ge=2, le=10)] | None = _TUNING.halving
    chosen: dict[str, dict[str, Any]] = Field(default_factory=dict)


class ChangesSection(_Section):
    """What one variant, strategy or model changes; each key is checked against its own section."""

    recipe: dict[str, Any] = Field(default_factory=dict)
    lora: dict[str, Any] = Field(default_factory=dict)
    quantization: dict[str, Any] = Field(default_factory=dict)
    ia3: dict[str, Any] = Field(default_factory=dict)
    prefix: dict[str, Any] = Field(default_factory=dict)
    chain: dict[str, Any] = Field(default_factory=dict)
    family: dict[str, Any] = Field(default_factory=dict)


class ConfigFile(_Section):
    """A whole config file; axes, variants and exclusions are checked further by `grid.config_axes`."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    axes: dict[str, Any]
    dataset: DatasetSection
    recipe: RecipeSection = RecipeSection()
    lora: LoraSection = LoraSection()
    quantization: QuantizationSection = QuantizationSection()
    ia3: Ia3Section = Ia3Section()
    prefix: PrefixSection = PrefixSection()
    chain: ChainSection = ChainSection()
    family: FamilySection | None = None
    evaluation: EvaluationSection = EvaluationSection()
    compute: ComputeSection = ComputeSection()
    checkpoint: CheckpointSection = CheckpointSection()
    variants: dict[Annotated[str, Field(pattern=NAME_PATTERN)], ChangesSection] = Field(default_factory=dict)
    per_strategy: dict[ShortText, ChangesSection] = Field(default_factory=dict)
    per_model: dict[Annotated[str, Field(min_length=1, max_length=4096)], ChangesSection] = Field(default_factory=dict)
    exclude: list[dict[str, Any]] = Field(default_factory=list)
    tuning: TuningSection | None = None
    baselines: list[Literal["majority", "tfidf"]] = Field(default_factory=list)
    revisions: dict[str, ShortText] = Field(default_factory=dict)
    sinks: dict[str, Any] = Field(default_factory=dict)
    prices: dict[ShortText, Annotated[float, Field(ge=0, le=10_000)]] = Field(default_factory=dict)
    keep_weights: Literal["adapters", "best", "all"] = "adapters"


SectionT = TypeVar("SectionT", bound=_Section)

SECTIONS: Mapping[str, type[_Section]] = {
    "dataset": DatasetSection,
    "recipe": RecipeSection,
    "lora": LoraSection,
    "quantization": QuantizationSection,
    "ia3": Ia3Section,
    "prefix": PrefixSection,
    "chain": ChainSection,
}
"""Sections whose keys may be axes."""

CHANGEABLE: Mapping[str, type[_Section]] = {
    **{name: section for name, section in SECTIONS.items() if name != "dataset"},
    "family": FamilySection,
}
"""Sections that variants, strategies and models may change."""


def validate(model: type[SectionT], value: Any, prefix: str = "") -> tuple[SectionT | None, list[Problem]]:
    """Check a value against one section, or the whole file.

    Args:
        model: the pydantic model.
        value: what the YAML gave.
        prefix: dotted path of the value, for messages.

    Returns:
        the model (None when faulty) and every fault.
    """
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, problems_of(model, error, prefix)
