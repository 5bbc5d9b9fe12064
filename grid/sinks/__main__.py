"""The process that feeds sinks beside a run: `python -m grid.sinks`; settings, then result folders on standard input.

Says one line on standard output for a sink that fails, and leaves it alone from then on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from grid.sinks.base import Sink, open_sink
from grid.sinks.feeding import LATER
from grid.sinks.records import Record, read_record
from jobs.errors import one_line


class _Sinks:
    """Those that have not failed."""

    def __init__(self, settings: Mapping[str, Mapping[str, str]], root: Path, say: Callable[[str], object]) -> None:
        self._settings, self._root, self._say = dict(settings), root, say
        self._open: dict[str, Sink] = {}

    def take(self, folder: Path) -> None:
        """Hand one cell to every sink."""
        try:
            record = read_record(folder)
        except Exception as error:  # whatever it is, it is the sinks' affair alone
            self._say(f"sinks: {one_line(str(error))}")
            return
        for name in list(self._settings):
            self._guarded(name, lambda name=name: self._send(name, record))  # type: ignore[misc]

    def close(self) -> None:
        """Flush all."""
        for name in list(self._settings):
            if name in self._open:
                self._guarded(name, self._open[name].close)

    def _send(self, name: str, record: Record) -> None:
        if name not in self._open:
            self._open[name] = open_sink(name, self._settings[name], self._root)
        if not self._open[name].has(record):
            self._open[name].send(record)

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # a tracker may raise anything; none of it is the grid's
            self._settings.pop(name)
            self._say(f"sink {name} is left out from here on: {one_line(str(error)) or type(error).__name__}; {LATER}")


def main() -> None:
    """Feed until standard input ends."""
    own = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is nobody's message
    with os.fdopen(own, "w", encoding="utf-8") as said:
        first = json.loads(sys.stdin.readline())
        sinks = _Sinks(first["sinks"], Path(first["root"]), lambda line: print(line, file=said, flush=True))
        for line in sys.stdin:
            sinks.take(Path(json.loads(line)))
        sinks.close()


if __name__ == "__main__":
    main()
