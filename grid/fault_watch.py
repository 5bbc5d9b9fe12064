"""Stops a run early when the environment is at fault for everything: each further cell would fail like the last."""

from __future__ import annotations

from jobs.errors import one_line
from jobs.spec import Event, EventKind, FailureKind

MAX_PACKS = 3
"""Packs in a row that must have failed because of the environment, with no cell finished in between."""


class EnvironmentWatch:
    """Follows the events of a run; once it says stop it stays so."""

    def __init__(self) -> None:
        """Nothing has failed yet."""
        self.reason: str | None = None
        """Why the run has to stop, and the way on; None while something works."""
        self._packs: set[str] = set()

    def must_stop(self) -> bool:
        """True once several packs in a row failed and the environment was at fault each time."""
        return self.reason is not None

    def on_event(self, event: Event) -> None:
        """Count failures; a cell that finishes, or fails for a reason of its own, proves that something works."""
        if event.kind is EventKind.CELL_FINISHED:
            self._packs.clear()
        elif event.kind in (EventKind.CELL_FAILED, EventKind.PACK_LOST):
            self._on_failure(event)

    def _on_failure(self, event: Event) -> None:
        if event.data.get("kind") != FailureKind.ENVIRONMENT:
            if event.kind is EventKind.CELL_FAILED:
                self._packs.clear()
            return
        self._packs.add(event.pack_id)
        if self.reason is None and len(self._packs) >= MAX_PACKS:
            last = one_line(str(event.data.get("reason", "")), limit=300).removesuffix(".")
            self.reason = (
                f"{MAX_PACKS} packs in a row failed because of the machine or an account, the last one with: {last}. "
                "Mend this and give the same command again: finished cells are kept."
            )
