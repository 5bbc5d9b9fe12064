"""Finds the processes of a run's private Ray by what they are, and hits one of them."""

from __future__ import annotations

import os
import signal

import psutil

from tests.faults.harness import Grid, Running, wait_until

WORKER = "ray::ResourceTrai"
"""What the kernel keeps of the name of a Tune worker that has a trial (15 characters and more)."""


def find(running: Running, name: str) -> list[psutil.Process]:
    """Live descendants of the driver whose name begins so; raylets are `raylet`, control services `gcs_server`."""
    found = []
    for process in running.descendants():
        try:
            if process.name().startswith(name) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def training_worker(running: Running, grid: Grid) -> psutil.Process:
    """The one worker, once a cell has a checkpoint."""
    wait_until(lambda: list(grid.layout.checkpoints.glob("*/*/manifest.json")), what="a checkpoint")
    return wait_until(lambda: find(running, WORKER), what="a worker")[0]


def work(process: psutil.Process, *, seconds: float) -> None:
    """Wait until a process has had so much more of a processor, however busy the machine is."""
    began_s = sum(process.cpu_times()[:2])
    wait_until(lambda: sum(process.cpu_times()[:2]) >= began_s + seconds, what=f"{seconds:g} s of work")


def everything(running: Running) -> list[psutil.Process]:
    """The driver's guardian, Ray's servers and workers."""
    return running.descendants()


def hit(process: psutil.Process, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that must be alive."""
    os.kill(process.pid, number)


def all_gone(processes: list[psutil.Process], timeout_s: float) -> bool:
    """Wait until none of them lives."""
    return not psutil.wait_procs(processes, timeout=timeout_s)[1]
