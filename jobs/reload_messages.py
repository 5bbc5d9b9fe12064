"""What the trial and the process that reloads its cells say to each other: one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.spec import FailureKind, QuantizationSpec, Strategy


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the cells of a pack share."""

    threads: int
    device: str
    dtype: str
    """A torch type's name, such as bfloat16: the one the cells were computed in."""
    location: str
    revision: str | None
    quantization: QuantizationSpec | None
    not_quantized: tuple[str, ...]
    head_roots: tuple[str, ...]
    """Children of the classifier that make up the head."""
    pad_id: int | None
    """Padding that the model itself must recognise; None: any token that stands in no text."""
    loads_base: bool
    """Load the base before the first question."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One exported cell."""

    strategy: Strategy
    form: str
    """adapter | model: what the folder is."""
    folder: str
    num_labels: int
    texts_file: str
    """A JSON file with a list of token ids for each text; too long for a pipe that nobody reads yet."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Logits of the question's rows, or why there are none; neither: the process is ready."""

    logits: tuple[tuple[float, ...], ...] | None = None
    error: str | None = None
    kind: FailureKind | None = None
