"""A file in the results folder that names the processes of a private Ray.

Guardian and driver end those processes themselves. If both were killed, the next run of the store
finds here what may still live, and ends exactly that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from grid.processes import ProcessName, end_processes, machine

FILE_NAME = "ray-processes.json"

_logger = logging.getLogger("ray.finegrid")


def write_record(path: Path, names: Iterable[ProcessName]) -> None:
    """Replace the record; a disk that refuses costs the record, not the run."""
    processes = [[name.pid, name.start_tick] for name in sorted(names)]
    text = json.dumps({"machine": machine(), "processes": processes})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        _logger.warning("cannot write %s: %s", path, error)


def end_recorded(path: Path) -> int:
    """End what an earlier run of this store left on this machine.

    The caller owns the store, so that the run which wrote the record is over.

    Args:
        path: the record; nothing happens when there is none, or when it was written elsewhere or before a reboot.
    Returns:
        number of processes that still lived.
    """
    left = {name for name in read_record(path) if name.is_alive()}
    if left:
        _logger.warning("ending processes of an earlier run: %s", ", ".join(str(name.pid) for name in sorted(left)))
        end_processes(left)
    path.unlink(missing_ok=True)
    return len(left)


def read_record(path: Path) -> set[ProcessName]:
    """Processes in the record, if it speaks of this boot of this machine; empty also when it cannot be read."""
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["machine"] != machine():
            return set()
        return {ProcessName(pid=int(pid), start_tick=int(start_tick)) for pid, start_tick in data["processes"]}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError, KeyError) as error:
        _logger.warning("%s cannot be read and is ignored: %s", path, error)
        return set()
