"""Whom to kill: the driver, a worker that trains, the driver's mailbox, or a whole node."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import psutil

from tests.faults.harness import Running, marked_processes

TRAINER, MAILBOX = ("ray::PackTrainable", "ray::ResourceTrainable"), ("ray::_Box",)
"""How Ray names the processes of our actors; the second name is that of Tune's wrapper."""
DEATH_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One SIGKILL that hit a live process of ours."""

    what: str
    """driver | worker | mailbox | node."""
    pid: int


def kill_driver(driver: Running) -> Kill | None:
    """Kill the driver; None when it had ended by itself."""
    if not driver.is_alive:
        return None
    driver.kill(signal.SIGKILL)
    ended = driver.wait(DEATH_TIMEOUT_S)
    return Kill(what="driver", pid=driver.pid) if ended.returncode == -signal.SIGKILL else None


def actors(test_id: str, names: tuple[str, ...]) -> list[psutil.Process]:
    """Live processes of one of our actors, by pid."""
    found = [process for process in marked_processes(test_id) if _is_named(process, names)]
    return sorted(found, key=lambda process: process.pid)


def kill_process(process: psutil.Process, what: str) -> Kill | None:
    """Kill one process; None when it was dead already."""
    return Kill(what=what, pid=process.pid) if hit([process]) else None


def hit(processes: list[psutil.Process]) -> bool:
    """SIGKILL to each; true when all of them lived just before and are gone after."""
    living = [process for process in processes if _is_alive(process)]
    for process in living:
        try:
            # psutil compares start times, so that a pid used again is never hit.
            process.kill()
        except psutil.NoSuchProcess:
            continue
    gone, _ = psutil.wait_procs(living, timeout=DEATH_TIMEOUT_S)
    return bool(living) and len(gone) == len(living)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.pid != os.getpid() and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_named(process: psutil.Process, names: tuple[str, ...]) -> bool:
    try:
        return bool(process.cmdline()) and process.cmdline()[0].startswith(names)
    except psutil.Error:
        return False
