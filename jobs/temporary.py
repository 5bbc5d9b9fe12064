"""Temporary folders that say who made them, so that leftovers of dead processes can be swept safely.

Name: `finegrid-<machine>-<boot>-<pid>-<start>-<nonce>.tmp`. Machine is a hash of host name and
pid namespace (a container's pids mean nothing outside it), boot a part of the kernel's boot id,
start the process's start tick, which tells a reused pid from the owner.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

_NAME = re.compile(
    r"finegrid-(?P<machine>[0-9a-f]{8})-(?P<boot>[0-9a-f]{8})-(?P<pid>[0-9]+)-(?P<start>[0-9]+)-[0-9a-f]{8}\.tmp"
)
_OTHER_MACHINE_MAX_AGE_S = 24 * 3600
"""Another machine's processes cannot be seen; writing one folder takes minutes at most."""


def new_temporary(parent: Path) -> Path:
    """Create an empty folder that names its owner.

    Args:
        parent: created when missing.

    Returns:
        the new folder.
    """
    parent.mkdir(parents=True, exist_ok=True)
    pid = os.getpid()
    start = process_start(pid) or 0
    folder = parent / f"finegrid-{machine_id()}-{_boot()}-{pid}-{start}-{secrets.token_hex(4)}.tmp"
    folder.mkdir()
    return folder


def sweep(parent: Path) -> int:
    """Remove temporary folders whose owner is certainly gone; leave everything else alone.

    Args:
        parent: folder given to `new_temporary`.

    Returns:
        number of folders removed.
    """
    if not parent.is_dir():
        return 0
    stale = [path for path in parent.iterdir() if _is_stale(path)]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    return sum(not path.exists() for path in stale)


def boot_id() -> str:
    """The kernel's name for the time since the last boot; empty when it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def process_start(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None when it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself: count from the last one.
    fields = stat.rpartition(")")[2].split()
    state, start_tick = fields[0], fields[19]
    return None if state in ("Z", "X") else int(start_tick)


def _is_stale(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    if match is None or path.is_symlink() or not path.is_dir():
        return False
    if match["machine"] != machine_id():
        return _age_s(path) > _OTHER_MACHINE_MAX_AGE_S
    if match["boot"] != _boot():
        # Another machine may bear the same name (clones do): only what is older than this boot is surely ours.
        return _age_s(path) > min(_OTHER_MACHINE_MAX_AGE_S, time.clock_gettime(time.CLOCK_BOOTTIME))
    return process_start(int(match["pid"])) != int(match["start"])


def _age_s(path: Path) -> float:
    # Compared with a file made now in the same folder: this machine's clock may be days away from the other's.
    probe = path.with_name(f".now-{secrets.token_hex(4)}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        with suppress(OSError):
            probe.unlink()


def machine_id() -> str:
    """A hash of host name and pid namespace."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return hashlib.sha256(f"{socket.gethostname()}:{namespace}".encode()).hexdigest()[:8]


def _boot() -> str:
    return hashlib.sha256(boot_id().encode()).hexdigest()[:8]
