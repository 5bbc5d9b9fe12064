"""What the command and the process that predicts say to each other."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.work_messages import AskedCell

AUTO = "auto"
CALIBRATIONS = (AUTO, "none", "temperature", "label_temperatures", "isotonic")
"""How probabilities are calibrated; auto: temperature where it was fitted."""
THRESHOLDS = (AUTO, "default", "global", "label")
"""From which probability on a row carries a label (multi-label); auto: one a label where they were fitted."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which texts by which cell, and how."""

    cell: AskedCell
    file: str
    """.csv, .tsv, .jsonl, .parquet, or .txt with one text a line."""
    text_column: str | None = None
    """None: as in the cell's data, else the only column that looks like texts."""
    calibration: str = AUTO
    thresholds: str = AUTO
    out: str
    """.csv or .parquet, replaced as a whole."""
    cache: str
    """FineGrid's cache folder."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was written."""

    file: str
    num_rows: int
    num_blank: int
    """Rows without a visible character: they get no label."""
    num_truncated: int
    """Texts longer than the cell's max_length."""
    labels: tuple[tuple[str, int], ...]
    """Label names with the rows that got them, most first."""
    calibration: str
    thresholds: str
    """Empty for one label a row."""
