"""The two streams: results on standard output, everything else for people on standard error."""

from __future__ import annotations

import contextlib
import os

from rich.console import Console


class PatientConsole(Console):
    """A console whose reader may go away (`| head`, a closed terminal) without ending the process."""

    def on_broken_pipe(self) -> None:
        """Say nothing more; rich would exit with 1, and what is left in the buffer would fail once more at the end."""
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor has nothing to flush at exit
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.file.fileno())
            os.close(nowhere)


def for_people() -> Console:
    """Standard error."""
    return PatientConsole(stderr=True, highlight=False, emoji=False)


def for_results() -> Console:
    """Standard output."""
    return PatientConsole(highlight=False, emoji=False)
