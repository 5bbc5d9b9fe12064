"""SIGINT, SIGTERM and SIGHUP: a run ends in order, and at once when asked twice.

Before work has begun a signal interrupts like Ctrl-C does. While a run is under way (`patience`) the
first one only raises a flag: nothing more is handed out, trials are told to stop, the store is flushed.
A thread sees every signal as well: Python's handlers wait until the main thread comes back from whatever library it
is in. It ends the process when that takes longer than the grace time, or at the second signal. The store needs
nothing for that: every step of it is one transaction.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

from grid.deadlines import GRACE
from jobs.failpoints import failpoint

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOPPED_EARLY = 5
_NOTICE = b"\nStopping in order: no new work, trials are told to stop. A second signal exits at once.\n"
_TOO_LATE = b"\nStopping took longer than %d s (FINEGRID_GRACE_S): leaving now. The same command goes on.\n"
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


def leave_now(reason: str) -> None:
    """End this process at once because it cannot go on, from whatever thread.

    Args:
        reason: one clause for people.
    Side effects:
        exits with 5, or with the code of a signal that came before.
    """
    _write(f"\nStopped early: {reason}. Nothing finished is lost: the same command goes on.\n".encode())
    received = StopSignals.last_received
    os._exit(_STOPPED_EARLY if received is None else exit_code(received))


_abandoned: list[object] = []


def abandon(work: object) -> None:
    """Leave work behind that does not end: it is kept from being tidied up, which would wait for it for ever."""
    _abandoned.append(work)


def leave_if_abandoned(code: int) -> None:
    """End this process without waiting for threads, if it left work behind; does nothing otherwise."""
    if _abandoned:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class StopSignals:
    """Handlers for as long as the context lasts; only the main thread can install them.

    A signal that was ignored when the process began (nohup, background jobs) stays ignored.
    """

    last_received: int | None = None
    """Of any instance of this process, for whoever must leave at once."""

    def __init__(self) -> None:
        """Install nothing yet."""
        self.received: int | None = None
        self._is_patient = False
        self._previous: dict[signal.Signals, object] = {}
        self._sentry: _Sentry | None = None

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
            self._sentry = _Sentry(tuple(self._previous))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the former handlers back."""
        if self._sentry is not None:
            self._sentry.close()
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        StopSignals.last_received = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            _leave(number)
        self.received = StopSignals.last_received = number
        failpoint("signal.received")
        if not self._is_patient:
            raise Interrupted(number)
        _write(_NOTICE)


class _Sentry:
    """A thread to which the kernel's signals are written, whatever the main thread is doing."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._numbers = numbers
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, name="signal-sentry", daemon=True)
        self._thread.start()

    def close(self) -> None:
        signal.set_wakeup_fd(self._previous)
        self._writer.close()  # ends the thread
        self._thread.join()
        self._reader.close()

    def _watch(self) -> None:
        first: int | None = None
        deadline_s: float | None = None
        while True:
            wait_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if not select.select([self._reader], [], [], wait_s)[0] and first is not None:
                _write(_TOO_LATE % GRACE.seconds)
                _leave(first)
            received = self._reader.recv(64)
            if not received:
                return
            for number in (number for number in received if number in self._numbers):
                if first is not None:
                    _leave(number)
                first, deadline_s = number, time.monotonic() + GRACE.seconds


def _leave(number: int) -> None:
    _write(_SHOW_CURSOR)
    os._exit(exit_code(number))


def _write(text: bytes) -> None:
    """Straight to the terminal: buffered streams are not safe inside a handler."""
    try:
        if text is not _SHOW_CURSOR or os.isatty(2):
            os.write(2, text)
    except OSError:
        return  # the terminal is gone: that may be what the signal is about
