"""Where leases lie: in a folder that several hosts reach. At a URL it is `grid.store.remote.RemoteLeases`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class LeaseFiles(Protocol):
    """One small record a token.

    Raises:
        OSError, EnvironmentProblem, TransientProblem: the place cannot be reached.
    """

    name: str
    """What is held, for messages: the results folder or URL."""
    is_asked_before_each_write: bool
    """False where asking is slow and what a late holder writes does no harm: then only a late holder asks."""

    def prepare(self) -> None:
        """Make ready for the first lease."""
        ...

    def tokens(self) -> list[int]:
        """Every token there is."""
        ...

    def read(self, token: int) -> bytes:
        """A record; empty when it is gone."""
        ...

    def create(self, token: int, data: bytes) -> bool:
        """Make a record; False when another process was quicker. One process in the world succeeds."""
        ...

    def write(self, token: int, data: bytes) -> None:
        """Replace a record that this process made."""
        ...

    def remove(self, token: int) -> None:
        """Remove a record; one that is gone is no fault."""
        ...


class LeaseFolder:
    """Leases as files of one folder."""

    is_asked_before_each_write = True

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        self._folder = folder
        self.name = str(folder.parent)

    def prepare(self) -> None:
        """Make the folder."""
        self._folder.mkdir(exist_ok=True)

    def tokens(self) -> list[int]:
        """Every token there is."""
        # A listing, because clients of network file systems may remember that a name was not there.
        names = os.listdir(self._folder)  # noqa: PTH208
        return [int(name) for name in names if name.isascii() and name.isdigit()]

    def read(self, token: int) -> bytes:
        """A record; empty when it is gone."""
        try:
            return self._path(token).read_bytes()
        except FileNotFoundError:
            return b""

    def create(self, token: int, data: bytes) -> bool:
        """Make a record; exclusive creation is decided by the server, hence for all hosts at once."""
        try:
            descriptor = os.open(self._path(token), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return False
        os.close(descriptor)
        self.write(token, data)
        return True

    def write(self, token: int, data: bytes) -> None:
        """Rewrite a record in place."""
        # No O_CREAT: a file that a later holder removed must not come back.
        descriptor = os.open(self._path(token), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, token: int) -> None:
        """Remove a record."""
        self._path(token).unlink(missing_ok=True)

    def _path(self, token: int) -> Path:
        return self._folder / str(token)
