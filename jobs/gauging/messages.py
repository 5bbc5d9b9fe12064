"""What a plan and the process that gauges say to each other, and how a gauge is kept."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.spec import CellSpec

GAUGE_VERSION = 1
"""Raised when a figure changes its meaning: kept ones are then measured anew."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be gauged: cells that cost the same apart from their sizes."""

    key: str
    cell: CellSpec
    """Any of them; its rows are made up, only their lengths count."""
    lengths: tuple[int, ...]
    """Tokens of texts, evenly spaced through all of them from short to long."""
    threads: int
    """Cores of a pack."""


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """What one cell costs, in seconds and bytes; random weights take as long as trained ones."""

    step_seconds: float
    """A micro-batch of a cell, with as many cells beside it as help."""
    cells: int
    """In one engine, at that speed."""
    alone_seconds: float
    """The same micro-batch when the cell is alone."""
    inference_seconds: float
    """A text that is evaluated; strategy head: without the base's pass over it."""
    feature_seconds: float
    """Strategy head: the base's pass over one text."""
    start_seconds: float
    """From the start of a process to the end of its imports."""
    load_seconds: float
    process_bytes: int
    """Of a process with all libraries and no model."""
    base_bytes: int
    """With the working copies that its first steps leave behind."""
    cell_bytes: int
    """What another cell in flight takes."""


@dataclass(frozen=True, kw_only=True)
class Gauged:
    """The answer to a wish: a gauge, or why there is none."""

    key: str
    gauge: Gauge | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Several wishes, the most important first."""

    wishes: tuple[Wish, ...]
    budget_s: float
    """No further wish is begun after this time; the imports of the libraries do not count."""
    cache: str
    """FineGrid's cache folder, where tiny members lie."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One entry a wish that was begun."""

    gauged: tuple[Gauged, ...]
