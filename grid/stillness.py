"""How long a pack stands still: no step, no cell, hardly any processor time, hardly a byte read or written.

A heartbeat says that a trial's process lives, not that its work does: a thread that died without a word (no memory to
begin with) leaves a pack that waits for it, and tells so every second. Steps alone do not serve either, because honest
work has long stretches without any: a model is fetched, rows are prepared, an export is loaded again elsewhere.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from grid.deadlines import SILENCE, STALL

LEAST_CPU_SHARE = 0.1
"""Of one core: less is what heartbeats and idle threads of libraries take."""
LEAST_BYTES_PER_S = 16 << 10
"""Less is what logs and heartbeats write; the slowest useful download is faster."""
LOOK_EVERY_S = 10.0
_AWAY_S = 30.0
"""Nobody asked for so long: the process was itself stopped, or busy with one thing."""
_PAGE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process and its children have used up so far."""

    cpu_s: float
    num_bytes: int
    """Read and written, pages of mapped files included."""


class TreeUsage:
    """Of this process and everything it started, without what this look at the process table reads itself."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._own_bytes = 0

    def __call__(self) -> Usage:
        """What was used up so far."""
        process = psutil.Process()
        before = _num_bytes(process)
        cpu_s, num_bytes = _cpu_s(process), before - self._own_bytes
        for child in process.children(recursive=True):
            with suppress(psutil.Error):  # gone meanwhile
                child_cpu_s, child_bytes = _cpu_s(child), _num_bytes(child)
                cpu_s, num_bytes = cpu_s + child_cpu_s, num_bytes + child_bytes
        num_bytes += resource.getrusage(resource.RUSAGE_SELF).ru_majflt * _PAGE_BYTES
        self._own_bytes += _num_bytes(process) - before
        return Usage(cpu_s=cpu_s, num_bytes=num_bytes)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _num_bytes(process: psutil.Process) -> int:
    files = process.io_counters()
    return int(files.read_chars + files.write_chars)


def silence_reason(deadline_s: float) -> str:
    """In words: a pack that said nothing at all."""
    return f"timeout: it said nothing for {deadline_s:g} s ({SILENCE.variable} waits longer)."


def stall_reason(stall_s: float) -> str:
    """In words: a pack that went on speaking and got nowhere."""
    return (
        f"timeout: nothing moved for {stall_s:g} s, neither steps nor processor nor files; where its threads were "
        f"stands in its log ({STALL.variable} waits longer)."
    )


class Stillness:
    """Measures the process that it lives in, as often as it is asked."""

    def __init__(
        self,
        *,
        look_every_s: float = LOOK_EVERY_S,
        measure: Callable[[], Usage] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin as if something had just moved.

        Args:
            look_every_s: seconds over which use is averaged.
            measure: what was used up so far; None: by this process and its children.
            clock: seconds that never go back.
        """
        self._look_every_s = look_every_s
        self._measure = measure or TreeUsage()
        self._clock = clock
        self._marker: object = None
        self._moved_s = self._asked_s = self._looked_s = clock()
        self._used: Usage | None = None

    def moved(self) -> None:
        """Something moved just now."""
        self._moved_s = self._asked_s = self._clock()

    def still_s(self, marker: object = None) -> float:
        """How long nothing has moved.

        Args:
            marker: how far the work is, such as steps and finished cells; another one than before is movement. None:
                nobody said.
        Returns:
            seconds.
        """
        now_s = self._clock()
        is_further = marker is not None and marker != self._marker
        if self._is_busy(now_s) or is_further or now_s - self._asked_s > _AWAY_S:
            self._moved_s = now_s
        self._marker = self._marker if marker is None else marker
        self._asked_s = now_s
        return now_s - self._moved_s

    def _is_busy(self, now_s: float) -> bool:
        elapsed_s = now_s - self._looked_s
        if self._used is not None and elapsed_s < self._look_every_s:
            return False
        used, before = self._measure(), self._used
        self._used, self._looked_s = used, now_s
        if before is None:
            return False
        has_fewer = used.cpu_s < before.cpu_s  # a child ended: its part is missing
        has_computed = used.cpu_s - before.cpu_s >= LEAST_CPU_SHARE * elapsed_s
        has_moved_bytes = abs(used.num_bytes - before.num_bytes) >= LEAST_BYTES_PER_S * elapsed_s
        return has_fewer or has_computed or has_moved_bytes
