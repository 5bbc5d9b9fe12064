"""Which processes of this machine have a file open: to name the program that keeps an index locked."""

from __future__ import annotations

import os
from pathlib import Path

_SUFFIXES = ("", "-wal", "-shm", "-journal")
_MAX_NAMED = 3


def users_of(index: Path) -> list[str]:
    """Other processes that have an index or its side files open.

    Args:
        index: an SQLite file.

    Returns:
        such as `process 4711, sqlite3`; empty when none can be seen (another user's, another machine's).
    """
    wanted = {os.path.realpath(index.with_name(index.name + suffix)) for suffix in _SUFFIXES}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name != str(os.getpid()) and _has_open(folder, wanted):
            found.append(f"process {folder.name}, {_name(folder)}")
    return found[:_MAX_NAMED]


def _has_open(process: Path, wanted: set[str]) -> bool:
    try:
        return any(os.readlink(link) in wanted for link in (process / "fd").iterdir())  # noqa: PTH115
    except OSError:
        return False  # gone meanwhile, or not ours to look into


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text("utf-8", errors="replace").strip()
    except OSError:
        return "name unknown"
