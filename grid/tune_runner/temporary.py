"""Short-lived folders of Ray and Tune, named after their process so that those of killed runs can be removed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from jobs.temporary import process_start

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
    sweep_folders()
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_root()))


def sweep_folders() -> None:
    """Remove folders of this user's processes that are gone."""
    for folder in _root().glob(f"{_PREFIX}*"):
        _remove_if_left(folder)


def _root() -> Path:
    root = Path(tempfile.gettempdir())
    return root if len(str(root)) <= _MAX_PATH else Path("/tmp")  # noqa: S108 - mkdtemp makes the private part


def _remove_if_left(folder: Path) -> None:
    pid = folder.name.removeprefix(_PREFIX).split("-")[0]
    try:
        is_ours = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return  # another run was quicker
    if is_ours and pid.isdigit() and process_start(int(pid)) is None:
        shutil.rmtree(folder, ignore_errors=True)
