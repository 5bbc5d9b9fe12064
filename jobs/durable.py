"""Folders that appear whole or not at all: every file synced, a manifest with hashes last, one rename.

Result folders and checkpoints are both written this way. A file counts only through the
manifest of its folder; files that no manifest names are ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jobs.errors import DiskFull, EnvironmentProblem, is_disk_full
from jobs.failpoints import failpoint

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
_CHUNK_BYTES = 1 << 20

STAGES = ("ckpt", "result")
"""What is written as a folder: checkpoints and results."""
COMMIT_POINTS = (
    "file_written", "before_manifest", "manifest_written", "before_replace", "after_replace", "parent_synced",
)  # fmt: skip
"""Failpoints of `commit_folder` in their order, each behind the name of its stage."""

Writer = Callable[[Path], None]
"""Writes one file or folder to the path it is given."""


class DamagedResult(EnvironmentProblem):
    """A folder is incomplete or its bytes are not the ones that were written."""


class NotUnderstood(DamagedResult):
    """Its bytes are the ones that were written, by a FineGrid that knows more than this one: it does not count here."""


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """What the manifest knows of one file."""

    sha256: str
    num_bytes: int


def commit_folder(
    temporary: Path,
    target: Path,
    writers: Mapping[str, Writer],
    *,
    stage: str,
    share: Callable[[Path], None] | None = None,
) -> None:
    """Write files into a temporary folder and make it visible under its final name in one step.

    Args:
        temporary: a new, empty folder on the same file system as `target`.
        target: final name; must not exist, its parent must.
        writers: name in the folder -> callable that writes it.
        stage: one of STAGES, what is being written; failpoints are called `<stage>.<point>`, see COMMIT_POINTS.
        share: is given the whole, synced folder before it becomes visible here: where a URL is the store, its
            commit there comes first.

    Raises:
        EnvironmentProblem: the disk refused (full, read-only, I/O error).
    Side effects:
        On any error the temporary folder is removed and nothing is visible.
    """
    try:
        for name, write in writers.items():
            write(temporary / name)
            failpoint(f"{stage}.file_written")
        entries = {_relative(temporary, path): _sync_and_hash(path) for path in _files(temporary)}
        failpoint(f"{stage}.before_manifest")
        _write_manifest(temporary, entries)
        failpoint(f"{stage}.manifest_written")
        for folder in _folders(temporary):
            sync_folder(folder)
        if share is not None:
            share(temporary)
        failpoint(f"{stage}.before_replace")
        _rename_to_new(temporary, target)
        failpoint(f"{stage}.after_replace")
        _sync_or_withdraw(temporary, target)
        failpoint(f"{stage}.parent_synced")
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise disk_problem(target, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sync_or_withdraw(temporary: Path, target: Path) -> None:
    """A name that the disk did not take may be gone after a power cut: it must not count now either."""
    try:
        sync_folder(target.parent)
    except OSError:
        target.rename(temporary)
        raise


def _rename_to_new(temporary: Path, target: Path) -> None:
    # rename(2) would silently replace an empty folder; names carry a nonce, so an existing target is a fault.
    if target.exists():
        raise FileExistsError(f"{target} exists already")
    temporary.rename(target)


def disk_problem(path: Path, error: OSError) -> EnvironmentProblem:
    """Say which file could not be written and why, for the person who owns the machine."""
    what = error.strerror or str(error)
    problem = DiskFull if is_disk_full(error) else EnvironmentProblem
    return problem(f"cannot write {path}: {what}; free space or fix the disk, then run the same command again")


def read_manifest(folder: Path) -> dict[str, FileEntry]:
    """Read the list of files of a committed folder.

    Args:
        folder: a folder written by `commit_folder`.

    Returns:
        relative POSIX path -> hash and size.

    Raises:
        DamagedResult: no manifest, or not one of ours.
    """
    try:
        data = json.loads((folder / MANIFEST).read_text("utf-8"))
        if data["version"] > MANIFEST_VERSION:
            raise NotUnderstood(f"{folder}: manifest version {data['version']} is newer than this FineGrid knows")
        return {_checked_name(folder, name): _entry(item) for name, item in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedResult(f"{folder}: manifest cannot be read ({type(error).__name__}: {error})") from error


def verify_folder(folder: Path) -> None:
    """Compare every file of a committed folder with its manifest.

    Args:
        folder: a folder written by `commit_folder`.

    Raises:
        DamagedResult: a file is missing, longer, shorter or different; the first such file is named.
    """
    for name, entry in read_manifest(folder).items():
        verify_file(folder, name, entry)


def verify_file(folder: Path, name: str, entry: FileEntry) -> None:
    """Compare one file with its manifest entry.

    Raises:
        DamagedResult: missing, not a plain file, or different.
    """
    path = folder / name
    try:
        if path.is_symlink() or not path.is_file():
            raise DamagedResult(f"{path}: missing or not a plain file")
        found = _hash(path)
    except OSError as error:
        raise DamagedResult(f"{path}: cannot be read ({error.strerror})") from error
    if found != entry:
        raise DamagedResult(
            f"{path}: {found.num_bytes} bytes with sha256 {found.sha256[:12]}…, "
            f"but {entry.num_bytes} bytes with sha256 {entry.sha256[:12]}… were written"
        )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a single file as a whole: the old content or the new, never a mixture.

    Args:
        path: file to write; its folder must exist.
        data: new content.

    Raises:
        EnvironmentProblem: the disk refused; the old content is still there.
    """
    # A nonce, not a pid: containers that share a folder all have a process 1.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_synced(temporary, data)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # of a disk that takes nothing at all, such as a read-only one
            temporary.unlink(missing_ok=True)
        raise disk_problem(path, error) from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _write_manifest(folder: Path, entries: Mapping[str, FileEntry]) -> None:
    files = {name: {"sha256": entry.sha256, "bytes": entry.num_bytes} for name, entry in sorted(entries.items())}
    text = json.dumps({"version": MANIFEST_VERSION, "files": files}, indent=1, sort_keys=True)
    write_synced(folder / MANIFEST, text.encode("utf-8"))


def _entry(item: Any) -> FileEntry:
    return FileEntry(sha256=str(item["sha256"]), num_bytes=int(item["bytes"]))


def _checked_name(folder: Path, name: str) -> str:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise DamagedResult(f"{folder}: manifest names {name!r}, which leaves the folder")
    return name


def _sync_and_hash(path: Path) -> FileEntry:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return _hash(path)


def _hash(path: Path) -> FileEntry:
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
    return FileEntry(sha256=digest.hexdigest(), num_bytes=num_bytes)


def _files(folder: Path) -> Iterator[Path]:
    for base, _, names in os.walk(folder):
        for name in sorted(names):
            yield Path(base, name)


def _folders(folder: Path) -> Iterator[Path]:
    for base, _, _ in os.walk(folder, topdown=False):
        yield Path(base)


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
