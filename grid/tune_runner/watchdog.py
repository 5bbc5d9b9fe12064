"""Notices that Ray is lost, and gets the main thread out of a call into Ray that would never return.

Measured: with its raylet or control service gone, `Tuner.fit` waits for minutes. Most of Ray's waiting calls look for
Python signal handlers about once a second, so that a handler which raises ends them.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType

from grid.deadlines import LEAVE_RAY
from jobs.failpoints import failpoint

Probe = Callable[[], str | None]
"""What is lost, in words, or None; returns within a second."""

_LOOK_EVERY_S = 1.0
_AWAY_S = 20.0
"""A process that did not look for so long was itself stopped, and could hear nobody."""
_SIGNAL = signal.SIGUSR1


class RayLost(BaseException):
    """Raised in the main thread inside a call into Ray; no `except Exception` of Ray may swallow it."""


class Watchdog:
    """Watches for as long as the context lasts; enter it in the main thread."""

    def __init__(self, probes: Sequence[Probe], *, on_stuck: Callable[[str], None]) -> None:
        """Name what to ask, and what to do when the main thread does not come out of Ray.

        Args:
            probes: asked every second.
            on_stuck: called in the watchdog's thread with the reason, LEAVE_RAY seconds after the loss; ends the
                process.
        """
        self._probes = probes
        self._on_stuck = on_stuck
        self._reason: str | None = None
        self._is_inside = False
        self._num_shields = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ray-watchdog", daemon=True)
        self._main = threading.main_thread()
        self._previous: object = None

    @property
    def loss(self) -> str | None:
        """What was lost; None as long as all is well."""
        return self._reason

    def __enter__(self) -> Watchdog:
        """Begin to watch."""
        if threading.current_thread() is self._main:
            self._previous = signal.signal(_SIGNAL, self._on_signal)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._is_over.set()
        self._thread.join(_LOOK_EVERY_S * 2)
        if self._previous is not None:
            signal.signal(_SIGNAL, self._previous)  # type: ignore[arg-type]

    @contextmanager
    def inside_ray(self) -> Iterator[None]:
        """The main thread is in Ray's hands and may be taken out of them.

        Raises:
            RayLost: Ray is lost, or was already.
        """
        if self._reason is not None:
            raise RayLost(self._reason)
        self._is_inside = True
        try:
            yield
        finally:
            self._is_inside = False

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Code of the driver, called by Ray: it is not torn apart in the middle of its book-keeping."""
        self._num_shields += 1
        try:
            yield
        finally:
            self._num_shields -= 1
            self._raise_if_lost()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._raise_if_lost()

    def _raise_if_lost(self) -> None:
        if self._reason is not None and self._is_inside and not self._num_shields:
            raise RayLost(self._reason)

    def _watch(self) -> None:
        while not self._is_over.wait(_LOOK_EVERY_S):
            self._reason = next((found for probe in self._probes if (found := probe())), None)
            if self._reason is not None:
                break
        if self._reason is not None:
            failpoint("ray.lost")
            self._call_out(self._reason)

    def _call_out(self, reason: str) -> None:
        """Interrupt the main thread until it is out of Ray, or the time is up."""
        deadline_s = time.monotonic() + LEAVE_RAY.seconds
        while self._is_inside and not self._is_over.is_set():
            if time.monotonic() > deadline_s:
                self._on_stuck(reason)
                return
            if self._main.ident is not None:
                signal.pthread_kill(self._main.ident, _SIGNAL)
            time.sleep(_LOOK_EVERY_S)


class Pulse:
    """Asks a service again and again in a thread of its own, because a single question may never be answered."""

    def __init__(self, ask: Callable[[], None], *, name: str, deadline_s: float, every_s: float = 3.0) -> None:
        """Begin to ask.

        Args:
            ask: returns when the service answered, raises or hangs when it does not.
            name: of the service, for messages.
            deadline_s: without an answer for so long it counts as lost.
            every_s: pause between questions.
        """
        self._ask = ask
        self._name = name
        self._deadline_s = deadline_s
        self._every_s = every_s
        self._answered_s = self._looked_s = time.monotonic()
        self._error = ""
        self._is_over = threading.Event()
        threading.Thread(target=self._beat, name=f"pulse-{name}", daemon=True).start()

    def loss(self) -> str | None:
        """A probe for the watchdog."""
        now_s = time.monotonic()
        if now_s - self._looked_s > _AWAY_S:
            self._answered_s = now_s
        self._looked_s = now_s
        silent_s = now_s - self._answered_s
        if silent_s <= self._deadline_s:
            return None
        error = f" ({self._error})" if self._error else ""
        return f"its {self._name} did not answer for {silent_s:.0f} s{error}"

    def stop(self) -> None:
        """Ask no more; a question that is out is left to itself."""
        self._is_over.set()

    def _beat(self) -> None:
        while not self._is_over.is_set():
            try:
                self._ask()
                self._answered_s = time.monotonic()
            except Exception as error:
                self._error = f"{type(error).__name__}: {error}".splitlines()[0]
            self._is_over.wait(self._every_s)
