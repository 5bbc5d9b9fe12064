"""Processes named so that no other one can be hit: by pid and start tick, on one boot of one machine."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobs.temporary import boot_id, process_start

_POLL_S = 0.02


@dataclass(frozen=True, order=True, kw_only=True)
class ProcessName:
    """A process of this machine; a reused pid has another start tick."""

    pid: int
    start_tick: int

    @classmethod
    def of(cls, pid: int) -> ProcessName | None:
        """Name a live process; None when there is none."""
        start_tick = process_start(pid)
        return None if start_tick is None else cls(pid=pid, start_tick=start_tick)

    @classmethod
    def this(cls) -> ProcessName:
        """The calling process."""
        return cls(pid=os.getpid(), start_tick=process_start(os.getpid()) or 0)

    def is_alive(self) -> bool:
        """True while this very process runs; a zombie does not."""
        return process_start(self.pid) == self.start_tick

    def kill(self) -> None:
        """SIGKILL, if it still is the process that was named."""
        if self.is_alive():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)


def machine() -> str:
    """Where pids mean the same: host, boot and pid namespace."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}:{boot_id()}:{namespace}"


def descendants(pid: int) -> set[ProcessName]:
    """Live children of a process and theirs."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return set()
    return {name for child in children if (name := ProcessName.of(child.pid)) is not None}


def end_processes(names: Iterable[ProcessName], *, timeout_s: float = 5.0) -> set[ProcessName]:
    """Kill processes and wait for their end.

    Returns:
        those that still live after the deadline (a process in the middle of a disk operation can).
    """
    left = {name for name in names if name.is_alive()}
    for name in left:
        name.kill()
    deadline_s = time.monotonic() + timeout_s
    while left and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        left = {name for name in left if name.is_alive()}
    return left


def end_tree(name: ProcessName) -> None:
    """Kill a process, stopped ones too, and everything it started."""
    if name.is_alive():
        end_processes({name, *descendants(name.pid)})
