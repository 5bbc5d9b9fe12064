"""Results of cells as folders: written whole or not at all, found, read and verified; on disks and at URLs.

Names are `jobs.layout`'s, which is handed on from here.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from jobs import durable
from jobs.durable import (
    MANIFEST,
    DamagedResult,
    FileEntry,
    NotUnderstood,
    Writer,
    commit_folder,
    disk_problem,
    sync_folder,
    verify_file,
    verify_folder,
    write_atomically,
    write_synced,
)
from jobs.errors import BugError, EnvironmentProblem
from jobs.failpoints import failpoint
from jobs.layout import CELL_ID, SAFE_NAME, AttemptName, Layout, check_cell_id
from jobs.mirror import Mirror, make_mirror, mirror_of
from jobs.objects import is_url
from jobs.spec import RESULT_VERSION, CellResult, dumps, from_json
from jobs.temporary import new_temporary, sweep

__all__ = [
    "MANIFEST",
    "RESULT",
    "AttemptName",
    "DamagedResult",
    "Layout",
    "NotUnderstood",
    "bring_weights",
    "cache_root",
    "check_cell_id",
    "complete_results",
    "has_cells",
    "make_cell_folder",
    "publish",
    "read_manifest",
    "read_result",
    "results_of",
    "results_path",
    "sweep_temporary",
    "verify",
    "write_atomically",
]

RESULT = "result.json"
RESULT_DEPTH = 3
"""Names in the key of a result or checkpoint folder: cells/<cell_id>/<attempt>."""


def publish(layout: Layout, result: CellResult, files: Mapping[str, Writer]) -> Path:
    """Write a finished cell's folder so that it is either complete or not there.

    Args:
        layout: the results folder.
        result: becomes result.json.
        files: name -> callable that writes a file or a folder to the path it is given.

    Returns:
        the new folder, cells/<cell_id>/<epoch>-<attempt>-<nonce>.

    Raises:
        EnvironmentProblem: the disk refused; nothing is visible then.
        UserError: the cell id is not one.
    """
    target = layout.cell(result.cell.cell_id) / str(AttemptName(result.epoch, result.attempt, secrets.token_hex(4)))
    text = dumps(result).encode("utf-8")
    for name in files:
        if not SAFE_NAME.fullmatch(name) or name in (MANIFEST, RESULT):
            raise BugError(f"file name {name!r} cannot stand in a result folder")
    try:
        make_cell_folder(target.parent)
        temporary = new_temporary(layout.temporary)
    except OSError as error:
        raise disk_problem(target, error) from error
    failpoint("result.begun")
    writers = {**files, RESULT: lambda path: write_synced(path, text)}
    commit_folder(temporary, target, writers, stage="result", share=_sharing(layout, target))
    return target


def _sharing(layout: Layout, target: Path) -> Callable[[Path], None] | None:
    mirror = layout.mirror
    if mirror is None:
        return None

    def share(folder: Path) -> None:
        mirror.share(folder, layout.relative(target))
        mirror.drop_weights(folder)

    return share


def make_cell_folder(folder: Path) -> None:
    """Make the folder of a cell's results or checkpoints; its name, and its parent's, survive a power cut.

    Raises:
        EnvironmentProblem: a symbolic link stands there.
    """
    if folder.is_symlink() or folder.parent.is_symlink():
        raise EnvironmentProblem(f"{folder} is a symbolic link: results are only written into real folders")
    for level in (folder.parent, folder):
        if not level.is_dir():
            level.mkdir(parents=True, exist_ok=True)
            sync_folder(level.parent)


def verify(folder: Path) -> None:
    """Compare every file of a result folder with its manifest; weights that stayed at a URL by their sizes.

    Raises:
        DamagedResult: the first file that is missing or different.
    """
    mirror = mirror_of(_root_of(folder))
    if mirror is None:
        verify_folder(folder)
    else:
        mirror.verify(folder)


def read_manifest(folder: Path) -> dict[str, FileEntry]:
    """The list of files of a result folder, which is brought here when it lies at a URL.

    Raises:
        DamagedResult: no manifest, or not one of ours.
    """
    if (mirror := mirror_of(_root_of(folder))) is not None:
        mirror.bring(folder, weights=False)
    return durable.read_manifest(folder)


def bring_weights(folder: Path) -> None:
    """Fetch the weights of a result that lies at a URL; does nothing when they are here.

    Raises:
        DamagedResult: they are gone.
        EnvironmentProblem, TransientProblem: the server refused or is away.
    """
    if (mirror := mirror_of(_root_of(folder))) is not None:
        mirror.bring(folder)


def _root_of(folder: Path) -> Path:
    """The results folder of a result's folder: three names up."""
    return folder.parent.parent.parent


def read_result(folder: Path) -> CellResult:
    """Read result.json after checking it against the manifest, the folder's name and its parent's.

    Raises:
        DamagedResult: it is not what was written, or not of this cell and attempt.
        NotUnderstood: a newer FineGrid wrote it.
    """
    entry = read_manifest(folder).get(RESULT)
    if entry is None:
        raise DamagedResult(f"{folder}: the manifest does not name {RESULT}")
    verify_file(folder, RESULT, entry)
    result = _parse_result(folder)
    name = AttemptName.parse(folder.name)
    if name is None or (result.epoch, result.attempt) != (name.epoch, name.attempt):
        raise DamagedResult(f"{folder}: holds epoch {result.epoch} attempt {result.attempt}, its name says otherwise")
    if result.cell.cell_id != folder.parent.name:
        raise DamagedResult(f"{folder}: holds cell {result.cell.cell_id}, its folder says otherwise")
    return result


def _parse_result(folder: Path) -> CellResult:
    try:
        text = (folder / RESULT).read_bytes()
    except OSError as error:
        raise DamagedResult(f"{folder}: {RESULT} cannot be read ({error.strerror})") from error
    try:
        data = json.loads(text)
        if data["version"] > RESULT_VERSION:
            raise NotUnderstood(f"{folder}: result version {data['version']}, this FineGrid knows {RESULT_VERSION}")
        return from_json(CellResult, data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # The manifest vouches for these bytes: another FineGrid wrote them.
        raise NotUnderstood(
            f"{folder}: this FineGrid does not understand {RESULT} ({type(error).__name__}: {error})"
        ) from error


def complete_results(layout: Layout, *, skip: Collection[str] = frozenset()) -> Iterator[Path]:
    """Every result folder with a manifest, by cell, epoch and attempt; hashes are not looked at.

    Of a URL they may not be here yet: `read_result`, `read_manifest` and `verify` bring them.

    Args:
        layout: the results folder.
        skip: cell ids to leave out without looking into their folders.
    """
    if (mirror := layout.mirror) is not None:
        yield from _remote_results(layout, mirror, "cells/", skip)
        return
    if not layout.cells.is_dir():
        return
    with os.scandir(layout.cells) as entries:
        names = sorted(entry.name for entry in entries if CELL_ID.fullmatch(entry.name) and entry.name not in skip)
    for cell_id in names:
        yield from results_of(layout, cell_id)


def has_cells(layout: Layout) -> bool:
    """Whether there is any result of any cell, complete or not."""
    if (mirror := layout.mirror) is not None:
        return next(iter(mirror.objects.listed("cells/")), None) is not None
    return layout.cells.is_dir()


def results_of(layout: Layout, cell_id: str) -> list[Path]:
    """The complete result folders of one cell, oldest attempt first."""
    folder = layout.cell(cell_id)
    if (mirror := layout.mirror) is not None:
        return _remote_results(layout, mirror, f"cells/{cell_id}/")
    if folder.is_symlink() or not folder.is_dir():
        return []
    found = [(name, path) for path in folder.iterdir() if (name := AttemptName.parse(path.name)) is not None]
    return [path for _, path in sorted(found) if not path.is_symlink() and (path / MANIFEST).is_file()]


def _remote_results(layout: Layout, mirror: Mirror, prefix: str, skip: Collection[str] = frozenset()) -> list[Path]:
    found = []
    for key in mirror.committed(prefix, depth=RESULT_DEPTH):
        _, cell_id, attempt = key.split("/")
        if CELL_ID.fullmatch(cell_id) and cell_id not in skip and (name := AttemptName.parse(attempt)) is not None:
            found.append((cell_id, name, layout.root / key))
    return [path for *_, path in sorted(found)]


def sweep_temporary(layout: Layout) -> int:
    """Remove temporary folders of processes that are gone; see `jobs.temporary`.

    Returns:
        number of folders removed.
    """
    return sweep(layout.temporary)


def results_path(text: str) -> Path:
    """The folder that a text names: of a URL, the one that stands for it on this machine; no server is asked.

    Raises:
        UserError: a URL that results cannot lie at.
        EnvironmentProblem: the disk refused.
    """
    return make_mirror(cache_root(), text).root if is_url(text) else Path(text)


def cache_root() -> Path:
    """Folder for what can be made again: $FINEGRID_CACHE, else $XDG_CACHE_HOME/finegrid, else ~/.cache/finegrid."""
    own = os.environ.get("FINEGRID_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "finegrid"
