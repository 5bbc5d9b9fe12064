"""Which commit was fetched last for a name of the hub: what runs without network stand on.

One small file a name in FineGrid's cache, written once everything of that commit is there.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from jobs.durable import write_atomically

_FOLDER = "pins"


def read_pin(cache: Path, name: str) -> str | None:
    """The commit fetched last for a name such as `model:owner/name`; None when there is none."""
    try:
        return _path(cache, name).read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None  # no pin, or one that cannot be read: the hub's own cache may know more


def write_pin(cache: Path, name: str, commit: str) -> None:
    """Remember a commit.

    Raises:
        EnvironmentProblem: the cache cannot be written.
    Side effects:
        creates the folder.
    """
    if read_pin(cache, name) == commit:
        return
    path = _path(cache, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"{commit}\n".encode())


def pin_name(kind: str, location: str, requested: str | None) -> str:
    """Name of a pin: `model:owner/name`, with `@branch` when the config asks for one."""
    return f"{kind}:{location}@{requested}" if requested else f"{kind}:{location}"


def _path(cache: Path, name: str) -> Path:
    return cache / _FOLDER / quote(name, safe="")
