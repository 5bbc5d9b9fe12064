"""What the command and the process that explains say to each other: one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.work_messages import AskedCell

METHODS = ("ig", "occlusion")
"""Integrated gradients; every token masked in turn."""
DEFAULT_ROWS = 8
DEFAULT_STEPS = 64
"""Points of the path of integrated gradients at first; doubled while the sum is off."""
DEFAULT_TOP_K = 5


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which texts and cells, and how."""

    cells: tuple[AskedCell, ...]
    method: str
    """ig | occlusion."""
    texts_file: str | None = None
    """UTF-8, one text a line; None: test rows of the first cell."""
    rows: int = DEFAULT_ROWS
    """Test rows, spread evenly over the first cell's test set."""
    labels: tuple[str, ...] = ()
    """Labels to explain; empty: what one of the cells says of a text."""
    steps: int = DEFAULT_STEPS
    top_k: int = DEFAULT_TOP_K
    out: str
    """Folder in which the folder of this question is made."""
    cache: str
    """FineGrid's cache folder."""


@dataclass(frozen=True, kw_only=True)
class PairAgreement:
    """How far two cells name the same tokens, over all texts and labels."""

    first: str
    second: str
    num_compared: int
    rank_correlation: float | None
    """Mean of Spearman's, where it is defined."""
    top_k_overlap: float | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was written."""

    folder: str
    num_texts: int
    num_explained: int
    """Cells x texts x labels."""
    largest_gap: float | None = None
    """ig: largest difference between a sum of values and the change of the logit that it explains."""
    pairs: tuple[PairAgreement, ...] = ()
