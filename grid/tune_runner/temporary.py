"""Short-lived folders of Ray and Tune, named after their process so that those of killed runs can be removed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

_PREFIX = "finegrid-ray-"
_MAX_PATH = 30
"""Unix sockets of a Ray session need about 70 more characters, and 107 are allowed in all."""


def temporary_folder() -> Path:
    """Make a new folder with a short path.

    Returns:
        the folder; nobody else can read it.
    Side effects:
        removes folders of processes of this user that are gone.
    """
    root = Path(tempfile.gettempdir())
    if len(str(root)) > _MAX_PATH:
        root = Path("/tmp")  # noqa: S108 - mkdtemp makes the private part
    for folder in root.glob(f"{_PREFIX}*"):
        _remove_if_left(folder)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))


def _remove_if_left(folder: Path) -> None:
    pid = folder.name.removeprefix(_PREFIX).split("-")[0]
    try:
        is_ours = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return  # another run was quicker
    if is_ours and pid.isdigit() and not psutil.pid_exists(int(pid)):
        shutil.rmtree(folder, ignore_errors=True)
