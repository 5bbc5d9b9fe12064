"""A results folder at a URL, as this machine sees it: a local folder that is filled and emptied piece by piece.

    <cache>/remotes/<hash of the URL>/       an ordinary results folder, with origin.json naming the URL

A folder of files (a result, a checkpoint) is written here first, then uploaded file by file with the manifest last:
the manifest at the URL is the commit, for there is no rename. What others uploaded is brought here when it is read.
What the URL says counts; whatever lies here can be deleted when no run is going on.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.durable import (
    MANIFEST,
    DamagedResult,
    disk_problem,
    read_manifest,
    verify_file,
    write_atomically,
    write_synced,
)
from jobs.errors import EnvironmentProblem
from jobs.failpoints import failpoint
from jobs.objects import CREDENTIALS, Objects, objects_at, parse_url
from jobs.temporary import machine_id, new_temporary

MIRRORS: Final = "remotes"
"""Folder of the mirrors within the cache folder."""
WEIGHTS: Final = ("adapter", "model")
"""Folders of a result that stay at the URL until somebody asks for them."""
_ORIGIN: Final = "origin.json"
_TEMPORARY: Final = "tmp"
_THREADS: Final = 16


@dataclass(frozen=True)
class Mirror:
    """One URL and the local folder that stands for it."""

    root: Path
    url: str

    @property
    def objects(self) -> Objects:
        """What lies at the URL."""
        return objects_at(self.url)

    @property
    def credentials(self) -> tuple[str, ...]:
        """Names of the variables that whoever writes there needs."""
        return CREDENTIALS[parse_url(self.url).scheme]

    # Giving

    def share(self, folder: Path, key: str) -> None:
        """Upload a folder whose manifest is written: the manifest last, once everything else has arrived.

        Args:
            folder: on this machine.
            key: its place below the URL.

        Raises:
            EnvironmentProblem, TransientProblem: the server refused or is away; the folder does not count then.
        """
        entries = read_manifest(folder)
        for name in entries:
            self.objects.send(folder / name, f"{key}/{name}")
            failpoint("upload.file_sent")
        failpoint("upload.before_manifest")
        # A run that claimed the store meanwhile may have swept what has no manifest yet.
        arrived = dict(self.objects.listed(f"{key}/"))
        missing = [name for name, entry in entries.items() if arrived.get(f"{key}/{name}") != entry.num_bytes]
        if missing:
            raise EnvironmentProblem(f"{self.url}/{key}: {missing[0]} was removed while the others were uploaded")
        self.objects.write(f"{key}/{MANIFEST}", (folder / MANIFEST).read_bytes())
        failpoint("upload.manifest_sent")

    def share_file(self, path: Path, key: str) -> None:
        """Upload one file of its own, such as a log."""
        self.objects.send(path, key)

    def share_log(self, path: Path) -> None:
        """Upload a pack's log; each machine that wrote to it has an object of its own."""
        self.share_file(path, f"{self._log_prefix(path)}{machine_id()}.jsonl")

    def log_text(self, path: Path) -> str:
        """A pack's log as far as it was uploaded, of all machines that wrote to it.

        Raises:
            FileNotFoundError: nobody did.
        """
        prefix = self._log_prefix(path)
        parts = {key: self.objects.read(key) for key, _ in self.objects.listed(prefix)}
        if path.is_file():
            parts[f"{prefix}{machine_id()}.jsonl"] = path.read_bytes()
        if not parts:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return b"".join(part for _, part in sorted(parts.items()) if part).decode("utf-8", errors="replace")

    def _log_prefix(self, path: Path) -> str:
        return f"{path.relative_to(self.root).with_suffix('').as_posix()}."

    def share_tree(self, folder: Path) -> None:
        """Upload every file below a folder of the mirror, as a report is."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self.share_file(path, path.relative_to(self.root).as_posix())

    # Finding

    def committed(self, prefix: str, *, depth: int) -> list[str]:
        """Keys of the folders with a manifest.

        Args:
            prefix: `cells/`, or one cell's part of it.
            depth: number of names in a folder's key.
        """
        return sorted(folder for folder, names in self._folders(prefix, depth).items() if MANIFEST in names)

    def unfinished(self, prefix: str, *, depth: int) -> list[str]:
        """Keys of the folders without one."""
        return sorted(folder for folder, names in self._folders(prefix, depth).items() if MANIFEST not in names)

    def _folders(self, prefix: str, depth: int) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for key, _ in self.objects.listed(prefix):
            parts = key.split("/")
            if len(parts) > depth and _is_plain(parts):
                found["/".join(parts[:depth])].add("/".join(parts[depth:]))
        return found

    # Bringing

    def bring(self, folder: Path, *, weights: bool = True) -> None:
        """Fetch a committed folder, unless it is here.

        Args:
            folder: its place in the mirror.
            weights: False: leave the weights of a result where they are.

        Raises:
            DamagedResult: it is gone, or a file of it is.
            EnvironmentProblem, TransientProblem: the server refused or is away.
        """
        key = folder.relative_to(self.root).as_posix()
        try:
            if not folder.is_dir():
                self._bring_new(folder, key, weights)
            elif weights:
                self._bring_missing(folder, key, read_manifest(folder))
        except OSError as error:
            raise disk_problem(folder, error) from error

    def bring_all(self, folders: Iterable[Path]) -> None:
        """Fetch many results at a time, without weights; those that cannot be are left to whoever reads them."""
        missing = [folder for folder in folders if not folder.is_dir()]
        if missing:
            from concurrent.futures import ThreadPoolExecutor  # not for those who only look at a local folder

            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(self._bring_or_leave, missing))

    def _bring_or_leave(self, folder: Path) -> None:
        try:
            self.bring(folder, weights=False)
        except DamagedResult:
            return  # whoever reads it says so

    def _bring_new(self, folder: Path, key: str, weights: bool) -> None:
        temporary = new_temporary(self.root / _TEMPORARY)
        try:
            manifest = self.objects.read(f"{key}/{MANIFEST}")
            if manifest is None:
                raise DamagedResult(f"{self.url}/{key}: there is no manifest (any more)")
            write_synced(temporary / MANIFEST, manifest)
            for name in read_manifest(temporary):
                if weights or not is_weight(name):
                    self._fetch(f"{key}/{name}", temporary / name)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if not folder.exists():  # another thread may have been quicker
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _bring_missing(self, folder: Path, key: str, names: Iterable[str]) -> None:
        for name in names:
            path = folder / name
            if not path.exists():
                near = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
                try:
                    self._fetch(f"{key}/{name}", near)
                    near.rename(path)
                finally:
                    near.unlink(missing_ok=True)

    def _fetch(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self.objects.fetch(key, path):
            raise DamagedResult(f"{self.url}/{key}: missing, although the manifest names it")
        with path.open("rb") as file:
            os.fsync(file.fileno())  # after a power cut half a file here must not look like damage there

    # Checking and removing

    def verify(self, folder: Path) -> None:
        """Compare a folder with its manifest: what is here by its bytes, what stayed at the URL by its size.

        The server checked a sum when a file arrived. What is here is a copy: when it is damaged, another one is brought
        before the result counts as damaged.

        Raises:
            DamagedResult: a file is missing or different.
        """
        try:
            self._verify(folder)
        except DamagedResult:
            if not folder.is_dir():
                raise
            shutil.rmtree(folder, ignore_errors=True)
            self._verify(folder)

    def _verify(self, folder: Path) -> None:
        self.bring(folder, weights=False)
        key = folder.relative_to(self.root).as_posix()
        sizes: dict[str, int] | None = None
        for name, entry in read_manifest(folder).items():
            if (folder / name).exists() or not is_weight(name):
                verify_file(folder, name, entry)
                continue
            sizes = dict(self.objects.listed(f"{key}/")) if sizes is None else sizes
            if sizes.get(f"{key}/{name}") != entry.num_bytes:
                found = sizes.get(f"{key}/{name}", "no")
                raise DamagedResult(f"{self.url}/{key}/{name}: {found} bytes, but {entry.num_bytes} were written")

    def drop_weights(self, folder: Path) -> None:
        """Free the space of weights that stand at the URL."""
        for name in WEIGHTS:
            shutil.rmtree(folder / name, ignore_errors=True)

    def withdraw(self, key: str) -> bool:
        """Make a folder at the URL count no more: its manifest goes first, then the rest.

        Returns:
            False when there was nothing.
        """
        found = [name for name, _ in self.objects.listed(f"{key}/")]
        manifests = [name for name in found if name.rpartition("/")[2] == MANIFEST]
        self.objects.remove(manifests)
        failpoint("withdraw.manifest_gone")
        self.objects.remove(sorted(set(found) - set(manifests)))
        return bool(found)


def make_mirror(cache: Path, url: str) -> Mirror:
    """The mirror of a URL on this machine; asks no server.

    Raises:
        UserError: not a URL that results can lie at.
        EnvironmentProblem: the disk refused.
    """
    url = str(parse_url(url))
    root = cache / MIRRORS / _name(url)
    attach(root, url)
    return Mirror(root, url)


def attach(root: Path, url: str) -> None:
    """Make a folder the mirror of a URL: on every machine, at the same path.

    Raises:
        EnvironmentProblem: the disk refused.
    """
    if mirror_of(root) is not None:
        return
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise disk_problem(root, error) from error
    write_atomically(root / _ORIGIN, json.dumps({"url": url}).encode("utf-8"))


def mirror_of(root: Path) -> Mirror | None:
    """The mirror that a results folder is; None for an ordinary one."""
    # The name is the proof: a folder that somebody sent cannot make this machine ask a server.
    if root.parent.name != MIRRORS:
        return None
    try:
        url = str(json.loads((root / _ORIGIN).read_text("utf-8"))["url"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(f"{root / _ORIGIN} cannot be read ({error}); remove {root}: it is a cache") from error
    return Mirror(root, url) if root.name == _name(url) else None


def is_weight(name: str) -> bool:
    """Whether a file of a result is part of its weights."""
    return name.split("/")[0] in WEIGHTS


def _name(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8")).hexdigest()[:16]


def _is_plain(parts: Collection[str]) -> bool:
    """Keys are other people's data: none may leave the mirror."""
    return all(part not in ("", ".", "..") and "\0" not in part and "\\" not in part for part in parts)
