"""Feeds sinks beside a run, from a process of its own: whatever a tracker does, it does it there.

The process is started before the run gives its secrets away, so that trackers find their own variables. It is told
result folders, one a line; when the driver closes its end, or dies, it hands over what it was told and ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from grid.sinks.base import Sink
from grid.sinks.records import read_record
from jobs.errors import one_line
from jobs.redaction import redact

CLOSE_TIMEOUT_S: Final = 30.0
"""A tracker that does not answer keeps no run from ending."""
LATER: Final = "`finegrid sync` hands them over later"

Say = Callable[[str], object]


class Feeder:
    """The driver's end; does nothing when no sink is declared."""

    def __init__(self, sinks: Mapping[str, Mapping[str, str]], root: Path, say: Say) -> None:
        """Start the process.

        Args:
            sinks: name -> settings, as in the config.
            root: the results folder.
            say: takes one line for people.
        """
        self._say, self._missed = say, 0
        self._said = tempfile.TemporaryFile() if sinks else None
        self._process = None if self._said is None else _started(self._said.fileno())
        if self._process is not None:
            self._tell({"root": str(root.absolute()), "sinks": {name: dict(values) for name, values in sinks.items()}})

    def __enter__(self) -> Feeder:
        """For `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    def on_result(self, folder: Path) -> None:
        """Take a result folder that the index has; never waits."""
        if self._process is not None:
            self._tell(str(folder))

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Wait until everything is handed over, but not longer than the timeout; say what went wrong."""
        if self._process is None or self._said is None:
            return
        process, self._process = self._process, None
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self._say(f"sinks: a tracker does not answer, not all finished cells are there; {LATER}")
        self._said.seek(0)
        for line in self._said.read().decode("utf-8", errors="replace").splitlines():
            self._say(redact(one_line(line)))
        self._said.close()
        if self._missed:
            self._say(f"sinks: {self._missed} finished cells were not taken in time; {LATER}")

    def _tell(self, message: object) -> None:
        stdin = None if self._process is None else self._process.stdin
        if stdin is None:
            return
        line = json.dumps(message).encode("ascii") + b"\n"
        try:
            written = os.write(stdin.fileno(), line)
        except (BlockingIOError, BrokenPipeError):
            written = 0
        # A pipe takes a line whole or not at all as long as it is shorter than PIPE_BUF.
        self._missed += written != len(line)


def _started(said: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "grid.sinks"],
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # signals of the terminal are the driver's
        bufsize=0,
    )
    if process.stdin is not None:
        os.set_blocking(process.stdin.fileno(), False)
    return process


def hand_over(folders: Sequence[Path], sink: Sink, on_cell: Callable[[], object]) -> tuple[int, int]:
    """Hand finished cells over now.

    Args:
        folders: result folders.
        sink: where to.
        on_cell: called after each, for a progress bar.
    Returns:
        cells sent, and cells that were there already.
    Raises:
        whatever the sink raises.
    """
    sent = known = 0
    for folder in folders:
        record = read_record(folder)
        if sink.has(record):
            known += 1
        else:
            sink.send(record)
            sent += 1
        on_cell()
    sink.close()
    return sent, known
