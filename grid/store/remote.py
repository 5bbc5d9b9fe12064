"""What of a store lies at a URL besides results, checkpoints and logs, and how it is read and claimed.

store.json                    the store's id, put once
lease/<token>                 who writes; the next token is taken by a conditional put, and renewed by a heartbeat
epochs/<epoch>                one a run, put conditionally: no epoch is handed out twice, whatever else was lost
index/<token>-<number>.db     copies of the index; the highest one counts, so that a late writer replaces nothing
journal/<token>-<number>.json failures and pins since then, one an object
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from grid.store.lock import Holder
from jobs.checkpoints import CheckpointName
from jobs.durable import disk_problem
from jobs.errors import EnvironmentProblem
from jobs.mirror import Mirror
from jobs.storage import RESULT_DEPTH, AttemptName
from jobs.temporary import new_temporary

IDENTITY: Final = "store.json"
_LEASES: Final = "lease/"
_EPOCHS: Final = "epochs/"
INDEXES: Final = "index/"
JOURNAL: Final = "journal/"
_NUMBERED: Final = re.compile(r"(?P<token>[0-9]{1,9})-(?P<number>[0-9]{1,9})\.(db|json)")


class RemoteLeases:
    """Leases as objects; see `grid.store.lease_files.LeaseFiles`."""

    is_asked_before_each_write = False
    """A late holder writes an index of its own machine, and objects that its token tells from the next one's."""

    def __init__(self, mirror: Mirror) -> None:
        """Ask nothing yet."""
        self._objects = mirror.objects
        self.name = mirror.url

    def prepare(self) -> None:
        """Nothing: a URL has no folders to be made."""

    def tokens(self) -> list[int]:
        """Every token there is."""
        names = [key.removeprefix(_LEASES) for key, _ in self._objects.listed(_LEASES)]
        return [int(name) for name in names if name.isascii() and name.isdigit()]

    def read(self, token: int) -> bytes:
        """A record; empty when it is gone."""
        return self._objects.read(f"{_LEASES}{token}") or b""

    def create(self, token: int, data: bytes) -> bool:
        """Make a record by a conditional put."""
        return self._objects.write(f"{_LEASES}{token}", data, is_new=True)

    def write(self, token: int, data: bytes) -> None:
        """Replace a record. One that a later holder removed comes back, below its token: it counts for nothing."""
        self._objects.write(f"{_LEASES}{token}", data)

    def remove(self, token: int) -> None:
        """Remove a record."""
        self._objects.remove([f"{_LEASES}{token}"])


def read_store_id(mirror: Mirror) -> str | None:
    """Id of the store at a URL; None when there is none.

    Raises:
        EnvironmentProblem: what is there cannot be read.
    """
    data = mirror.objects.read(IDENTITY)
    if data is None:
        return None
    try:
        return str(json.loads(data)["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(
            f"{mirror.url}/{IDENTITY} cannot be read; remove it when no run is going on"
        ) from error


def make_store_id(mirror: Mirror) -> str:
    """The same, putting one when there is none; of two at the same time one wins for both."""
    text = json.dumps({"id": secrets.token_hex(8), "why": "url", "version": 1}) + "\n"
    mirror.objects.write(IDENTITY, text.encode("utf-8"), is_new=True)
    found = read_store_id(mirror)
    if found is None:
        raise EnvironmentProblem(f"{mirror.url}/{IDENTITY} vanished while the store was made; give the command again")
    return found


def claim_epoch(mirror: Mirror, at_least: int) -> int:
    """Take the next epoch by a conditional put.

    Args:
        mirror: the store.
        at_least: what the index and the folders allow; taken ones are passed over.
    """
    taken = [key.removeprefix(_EPOCHS) for key, _ in mirror.objects.listed(_EPOCHS)]
    epoch = max([at_least, *(int(name) + 1 for name in taken if name.isascii() and name.isdigit())])
    mine = json.dumps(asdict(Holder.this_process()) | {"nonce": secrets.token_hex(8)}).encode("utf-8")
    while not mirror.objects.write(f"{_EPOCHS}{epoch}", mine, is_new=True):
        epoch += 1
    return epoch


def numbered(mirror: Mirror, prefix: str) -> list[str]:
    """Keys of copies or of the journal, oldest first."""
    found: list[tuple[tuple[int, int], str]] = []
    for key, _ in mirror.objects.listed(prefix):
        if match := _NUMBERED.fullmatch(key.removeprefix(prefix)):
            found.append(((int(match["token"]), int(match["number"])), key))
    return [key for _, key in sorted(found)]


def newest_copy(mirror: Mirror) -> Path | None:
    """The newest copy of the index, fetched to this machine; None when there is none.

    Raises:
        EnvironmentProblem: the disk refused.
    """
    keys = numbered(mirror, INDEXES)
    for key in reversed(keys):
        path = mirror.root / key
        try:
            if path.is_file() or _fetch(mirror, key, path):
                _forget_others(path)
                return path
        except OSError as error:
            raise disk_problem(path, error) from error
    return None


def unfinished(mirror: Mirror, *, before_epoch: int) -> Iterator[str]:
    """Keys of results and checkpoints of earlier epochs whose upload never ended."""
    for prefix, kind in (("cells/", AttemptName), ("checkpoints/", CheckpointName)):
        for key in mirror.unfinished(prefix, depth=RESULT_DEPTH):
            name = kind.parse(key.rpartition("/")[2])
            if name is not None and name.epoch < before_epoch:
                yield key


def _fetch(mirror: Mirror, key: str, path: Path) -> bool:
    """False when a newer copy has taken its place meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = new_temporary(mirror.root / "tmp")
    try:
        if not mirror.objects.fetch(key, folder / path.name):
            return False
        (folder / path.name).replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _forget_others(path: Path) -> None:
    for other in path.parent.iterdir():
        if other != path and _NUMBERED.fullmatch(other.name):
            other.unlink(missing_ok=True)
