"""The two streams: results on standard output, everything else for people on standard error."""

from __future__ import annotations

import os

from rich.console import Console


class PatientConsole(Console):
    """A console whose reader may go away (`| head`, a closed terminal) without ending the process."""

    def on_broken_pipe(self) -> None:
        """Say nothing more; rich would exit with 1. What is still buffered goes nowhere."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def for_people() -> Console:
    """Standard error."""
    return PatientConsole(stderr=True, highlight=False, emoji=False)


def for_results() -> Console:
    """Standard output."""
    return PatientConsole(highlight=False, emoji=False)
