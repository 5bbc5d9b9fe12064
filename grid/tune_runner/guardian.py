"""The process that owns a private Ray and ends it when the driver is gone, however the driver went.

    python -m grid.tune_runner.guardian < order

The first line on its standard input is the order; after that the pipe only stays open. Its end means
that the driver closed it or was killed: the guardian then kills everything of this Ray, removes its folder
and goes. It has a session of its own, so that a signal to the driver's process group, or a closed
terminal, does not tear Ray down under a driver that wants to stop in order. If the guardian itself is killed,
the kernel kills Ray's servers with it, and the driver reads the end of its standard output.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray._private.node import Node
from ray._private.parameter import RayParams

from grid.processes import ProcessName, descendants, end_processes
from grid.tune_runner.process_record import write_record
from grid.tune_runner.temporary import sweep_folders
from jobs.errors import one_line

_POLL_S = 0.5
_END_TIMEOUT_S = 10.0
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Start Ray as ordered, watch, and end it."""
    _become_deaf()
    order = json.loads(sys.stdin.readline())
    record, folder = Path(order["record"]), Path(order["temporary"])
    try:
        node = _start(order)
        _say({"address": node.gcs_address})
        _watch(node, record)
    except Exception as error:
        # Whatever Ray raises, the driver is to hear it in one line.
        _say({"error": one_line(f"{type(error).__name__}: {error}")})
        return 1
    finally:
        _end_all()
        record.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        sweep_folders()  # a driver that was killed left those of its pass
    return 0


def _become_deaf() -> None:
    """Leave signals to the driver.

    Blocked ones stay blocked in Ray's servers and workers, whatever handlers they set: a batch system
    that signals every process of a job must not end Ray before the driver has stopped in order.
    Orphans of this Ray become children of this process, so that none can hide.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _start(order: dict[str, Any]) -> Node:
    parameters = RayParams(
        num_cpus=order["cpus"],
        num_gpus=order["gpus"],
        object_store_memory=order["object_store_bytes"],
        temp_dir=order["temporary"],
        include_dashboard=False,
    )
    # `spawn_reaper` lets the kernel kill the servers when this process dies.
    return Node(parameters, head=True, shutdown_at_exit=False, spawn_reaper=True)


def _watch(node: Node, record: Path) -> None:
    """Until the driver goes; a server that ends is told at once."""
    servers = {kind: items[0].process.pid for kind, items in node.all_processes.items()}
    vital = {kind: pid for kind, pid in servers.items() if kind in ("gcs_server", "raylet")}
    known: set[ProcessName] = set()
    while not _has_driver_gone():
        _reap()
        for kind, pid in list(vital.items()):
            if ProcessName.of(pid) is None:
                del vital[kind]
                _say({"lost": f"its {kind} (process {pid}) ended"})
        living = {ProcessName.this(), *descendants(os.getpid())}
        if living != known:
            known = living
            write_record(record, known)


def _has_driver_gone() -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], _POLL_S)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def _end_all() -> None:
    """Kill every descendant; killing makes orphans, and those come to us."""
    deadline_s = time.monotonic() + _END_TIMEOUT_S
    while time.monotonic() < deadline_s:
        _reap()
        living = descendants(os.getpid())
        if not living:
            return
        end_processes(living, timeout_s=1.0)


def _reap() -> None:
    """Take the exit codes of orphans; nobody else asks for them."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _say(message: dict[str, Any]) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(1, (json.dumps(message) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
