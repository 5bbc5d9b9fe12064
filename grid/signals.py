"""SIGINT, SIGTERM and SIGHUP: a run ends in order, and at once when asked twice.

Before work has begun a signal interrupts like Ctrl-C does. While a run is under way (`patience`) the
first one only raises a flag: nothing more is handed out, trials are told to stop, the store is flushed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTICE = b"\nStopping in order: no new work, trials are told to stop. A second signal exits at once.\n"
_SHOW_CURSOR = b"\x1b[?25h\n"


class Interrupted(KeyboardInterrupt):
    """A signal came before, or after, the part of a run that ends in order."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__(f"signal {number}")
        self.number = number


def exit_code(number: int) -> int:
    """129, 130 or 143: what a shell reports for a process ended by the signal."""
    return 128 + number


class StopSignals:
    """Handlers for as long as the context lasts; only the main thread can install them.

    A signal that was ignored when the process began (nohup, background jobs) stays ignored.
    """

    def __init__(self) -> None:
        """Install nothing yet."""
        self.received: int | None = None
        self._is_patient = False
        self._previous: dict[signal.Signals, object] = {}

    def should_stop(self) -> bool:
        """True once a signal has come."""
        return self.received is not None

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Within it the first signal is a request, not an interruption."""
        self._is_patient = True
        try:
            yield
        finally:
            self._is_patient = False

    def __enter__(self) -> StopSignals:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the former handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            _write(_SHOW_CURSOR)
            os._exit(exit_code(number))
        self.received = number
        if not self._is_patient:
            raise Interrupted(number)
        _write(_NOTICE)


def _write(text: bytes) -> None:
    """Straight to the terminal: buffered streams are not safe inside a handler."""
    try:
        if text is not _SHOW_CURSOR or os.isatty(2):
            os.write(2, text)
    except OSError:
        return  # the terminal is gone: that may be what the signal is about
