"""Which state may follow which: the one place that decides it."""

from __future__ import annotations

from typing import Final

from jobs.errors import BugError
from jobs.spec import CellState

_PENDING, _RUNNING, _INTERRUPTED = CellState.PENDING, CellState.RUNNING, CellState.INTERRUPTED
_DONE, _FAILED = CellState.DONE, CellState.FAILED

STEPS: Final = {
    _PENDING: frozenset({_RUNNING, _DONE, _FAILED}),
    _RUNNING: frozenset({_RUNNING, _INTERRUPTED, _DONE, _FAILED}),
    _INTERRUPTED: frozenset({_RUNNING, _INTERRUPTED, _DONE, _FAILED}),
    _FAILED: frozenset({_RUNNING, _INTERRUPTED, _DONE, _FAILED}),
    _DONE: frozenset[CellState](),
}
"""State -> states that may follow.

The same report may come twice. A running cell may start again: its trial was given up on.
Pending, interrupted and failed cells become done when the complete folder of their last attempt is
found after all (the driver or the trial died between publishing and telling). A failed cell becomes
interrupted when a retry was stopped before it began. Done is final.
"""


class IllegalStep(BugError):
    """A state that cannot follow the present one was asked for."""


def check_step(cell_id: str, present: CellState, following: CellState) -> None:
    """Refuse a step that the table does not name.

    Args:
        cell_id: for the message.
        present: state in the store.
        following: state asked for.
    Raises:
        IllegalStep: the step is not allowed.
    """
    if following not in STEPS[present]:
        raise IllegalStep(f"cell {cell_id}: {present} cannot become {following}")
