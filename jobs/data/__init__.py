"""Rows: where they come from, how they are checked, and which of them a cell gets."""

from jobs.data.hub import resolve_hub_revision
from jobs.data.loading import fingerprint, read_rows
from jobs.data.preparing import check, facts, prepare
from jobs.data.rows import Corpus, DataFacts, PreparedData, Split

__all__ = [
    "Corpus",
    "DataFacts",
    "PreparedData",
    "Split",
    "check",
    "facts",
    "fingerprint",
    "prepare",
    "read_rows",
    "resolve_hub_revision",
]
