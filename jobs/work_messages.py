"""What a command and a process that works for it with torch say to each other: one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.spec import FailureKind


@dataclass(frozen=True, kw_only=True)
class AskedCell:
    """A finished cell."""

    cell_id: str
    title: str
    folder: str
    """Its result folder."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far it is."""

    progress: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why there is no answer."""

    kind: FailureKind
    error: str
