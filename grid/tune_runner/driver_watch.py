"""A worker's eye on its driver: when the driver's process is gone, the worker ends itself.

Ray ends the workers of a driver that is gone, and the guardian those of a private Ray. This holds where
both fail, on the driver's machine; from another machine a driver cannot be seen.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from grid.processes import ProcessName, descendants, end_processes, machine

_LOOK_EVERY_S = 1.0


def this_driver() -> dict[str, Any]:
    """The calling process, for the orders of its trials."""
    name = ProcessName.this()
    return {"machine": machine(), "pid": name.pid, "start_tick": name.start_tick}


class DriverWatch:
    """One watching thread a process."""

    _thread: threading.Thread | None = None

    @classmethod
    def begin(cls, driver: dict[str, Any]) -> None:
        """Watch the driver from now on, if it runs on this machine.

        Args:
            driver: as `this_driver` gave it there.
        Side effects:
            a thread; it ends this process, and what this process started, when the driver is gone.
        """
        if cls._thread is None and driver["machine"] == machine():
            name = ProcessName(pid=driver["pid"], start_tick=driver["start_tick"])
            cls._thread = threading.Thread(target=_watch, args=(name,), name="driver-watch", daemon=True)
            cls._thread.start()


def _watch(driver: ProcessName) -> None:
    while driver.is_alive():
        time.sleep(_LOOK_EVERY_S)
    end_processes(descendants(os.getpid()), timeout_s=1.0)
    os._exit(1)
