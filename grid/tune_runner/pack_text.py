"""A pack's description on its way to a worker, in a form that can be taken back from Tune."""

from __future__ import annotations

from typing import Any


class PackText:
    """Text that is the same object in all copies Tune makes of a trial's config, so that it can be emptied.

    Tune keeps config, evaluated parameters and a printed form of every trial for the whole pass, and writes them out
    at its end: a kilobyte or two for every cell of the grid, in a driver whose memory should not grow.
    """

    def __init__(self, text: str) -> None:
        """Hold the pack as `jobs.spec.dumps` writes it."""
        self.text = text

    def forget(self) -> None:
        """Give the text up: its trial is over."""
        self.text = ""

    def __deepcopy__(self, memo: dict[int, Any]) -> PackText:
        """The object itself."""
        return self

    def __repr__(self) -> str:
        """Short, because Tune prints configs into names and tags."""
        return "PackText"
