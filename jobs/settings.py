"""The sections of a declaration: which model and rows, how they are trained, judged and computed; frozen.

`jobs.spec` puts them together as cells and hands all of them out: import them from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_OF_BOTH_TASKS = ("f1_macro", "f1_micro", "f1_weighted", "loss", "precision_weighted", "recall_weighted")
SELECTION_METRICS = {
    "single_label": ("accuracy", "balanced_accuracy", *_OF_BOTH_TASKS),
    "multi_label": ("subset_accuracy", "hamming_loss", "f1_samples", *_OF_BOTH_TASKS),
}
"""Validation metrics that `recipe.select_on` may name besides `last`, by task; losses are best low, the others high."""
DEFAULT_SELECTION = {"single_label": "accuracy", "multi_label": "f1_macro"}
"""What `recipe.select_on` is where a config does not declare it, by task."""


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
    augment: tuple[str, ...] = ()
    """How copies of rare labels' training rows are altered: drop_words | swap_words | repeat_words; none: no copies."""
    augment_to: int | None = None
    """With augment: labels with fewer training rows are filled up to this many."""
    augment_copies: int = 4
    """With augment: most copies of one row."""
    augment_share: float = 0.1
    """With augment: share of a text's words that is altered; always at least one word."""
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
class Ia3Spec:
    """Scaling vectors of strategy ia3: one number for each output, or each input, of some layers."""

    targets: tuple[str, ...] | None = None
    """Module-name suffixes of the layers; None: the family's default."""
    feedforward: tuple[str, ...] | None = None
    """Those of the targets whose inputs are scaled, not their outputs; None: the family's default."""


@dataclass(frozen=True, kw_only=True)
class PrefixSpec:
    """Learned keys and values in front of every text, in every layer; used by strategy prefix."""

    tokens: int = 20
    """Places in front of a text; with its own tokens they must not exceed the model's positions."""
    projection: bool = False
    """Train a small network that makes the keys and values, in place of these themselves."""


@dataclass(frozen=True, kw_only=True)
class ChainSpec:
    """Logistic regressions of strategy chain, each of which sees the labels said before it."""

    c: float = 1.0
    """Inverse strength of the penalty on weights."""


@dataclass(frozen=True, kw_only=True)
class FamilySpec:
    """An architecture that FineGrid does not know, in the names of its stock sequence classifier."""

    targets: tuple[str, ...]
    """Module-name suffixes of the layers that get LoRA matrices unless `lora.targets` names others."""
    head: tuple[str, ...] = ("classifier",)
    """The classifier's own children that make up its head: drawn anew, trained, never stored in 4 bits."""
    pooling: str = "first"
    """first: padding is told by the attention mask. last: the classifier looks for a text's last token that is no
    padding, as decoders do."""


@dataclass(frozen=True, kw_only=True)
class QuantizationSpec:
    """4-bit storage of the frozen base; used by strategy qlora."""

    type: str = "nf4"
    """nf4 | fp4."""
    double: bool = True
    """Quantise the quantisation constants as well."""


@dataclass(frozen=True, kw_only=True)
class TuningSpec:
    """How the settings of a cell were chosen: the best of some candidates of its arm, on validation rows alone."""

    candidates: int
    """Settings that every arm tries, its own defaults among them."""
    search: tuple[str, ...]
    """What was varied, one line a key, such as `recipe.learning_rate x 0.1 to 10 (log)`; sorted."""
    metric: str
    """Of validation rows, by which candidates are compared."""
    on: str
    """Data and seed that candidates were trained on, such as `num_labels 16, num_samples 800, seed 0`."""
    batch: int = 4
    """Candidates of an arm that are asked for, and trained, together."""
    seed: int = 0
    """Of the sampler."""
    halving: int | None = None
    """Of so many candidates one goes on to more epochs; None: all get all of theirs."""
    arm: str = ""
    """Model, strategy and further settings that share this choice."""
    chosen: int | None = None
    """Number of the candidate that won, 0: the defaults; None: not known yet, or declared as `tuning.chosen`."""


@dataclass(frozen=True, kw_only=True)
class CandidateSpec:
    """Marks a cell as a candidate of a tuning: it neither reads, predicts nor judges test rows."""

    arm: str
    number: int
    """From 0, the arm's defaults."""
    tuning: str
    """Eight hex characters over what was declared for the tuning."""
    epochs: int
    """What the candidate stands for; its recipe has fewer while halving keeps it short."""


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
