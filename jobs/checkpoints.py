"""Folders of checkpoints: their names and order, writing, setting aside, and removal. What is in them is the trial's.

    checkpoints/<cell_id>/<epoch>-<attempt>-<step>-<nonce>/{manifest.json,...}

Nothing here imports torch: the driver sweeps what a killed trial left.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.durable import Writer, commit_folder, disk_problem
from jobs.failpoints import failpoint
from jobs.mirror import mirror_of
from jobs.storage import RESULT_DEPTH, Layout, check_cell_id, make_cell_folder
from jobs.temporary import new_temporary

DAMAGED_SUFFIX = ".corrupt"
_NAME = re.compile(r"(?P<epoch>[0-9]{1,9})-(?P<attempt>[0-9]{1,9})-(?P<step>[0-9]{1,12})-(?P<nonce>[0-9a-f]{8})")
_CELL_FOLDER = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, order=True)
class CheckpointName:
    """The name of a checkpoint's folder, read; sorts by epoch, attempt, step."""

    epoch: int
    attempt: int
    step: int
    nonce: str

    @classmethod
    def new(cls, epoch: int, attempt: int, step: int) -> CheckpointName:
        """A name that nothing else has."""
        return cls(epoch, attempt, step, secrets.token_hex(4))

    @classmethod
    def parse(cls, name: str) -> CheckpointName | None:
        """Read a folder name; None when it is not one of ours (or set aside)."""
        match = _NAME.fullmatch(name)
        return cls(int(match["epoch"]), int(match["attempt"]), int(match["step"]), match["nonce"]) if match else None

    def __str__(self) -> str:
        """The folder name."""
        return f"{self.epoch}-{self.attempt}-{self.step}-{self.nonce}"


def checkpoints_of(layout: Layout, cell_id: str, *, epoch: int, attempt: int) -> list[tuple[CheckpointName, Path]]:
    """The checkpoints of one cell that an attempt may go on from, complete or not, oldest first.

    Args:
        layout: the results folder.
        cell_id: the cell.
        epoch: of the attempt that asks.
        attempt: its number; what later attempts wrote is not for it.
    """
    folder = layout.checkpoint(cell_id)
    if (mirror := layout.mirror) is not None:
        keys = mirror.committed(f"{layout.relative(folder)}/", depth=RESULT_DEPTH)
        paths = [layout.root / key for key in keys]
    elif folder.is_symlink() or not folder.is_dir():
        return []
    else:
        paths = [path for path in folder.iterdir() if not path.is_symlink()]
    found = [(name, path) for path in paths if (name := CheckpointName.parse(path.name)) is not None]
    return sorted((n, p) for n, p in found if (n.epoch, n.attempt) <= (epoch, attempt))


def bring_checkpoint(layout: Layout, folder: Path) -> None:
    """Fetch a checkpoint that lies at a URL; does nothing where it is here.

    Raises:
        DamagedResult: a file of it is gone.
        EnvironmentProblem, TransientProblem: the server refused or is away.
    """
    if (mirror := layout.mirror) is not None:
        mirror.bring(folder)


def newest_step(layout: Layout, cell_id: str, *, epoch: int, attempt: int) -> int:
    """Step of the newest checkpoint that an attempt may go on from, by its name; 0 without one."""
    found = checkpoints_of(layout, cell_id, epoch=epoch, attempt=attempt)
    return found[-1][0].step if found else 0


def save_checkpoint(layout: Layout, cell_id: str, name: CheckpointName, writers: Mapping[str, Writer]) -> Path:
    """Write a checkpoint so that it is either complete or not there.

    Args:
        layout: the results folder.
        cell_id: the cell.
        name: a new one.
        writers: file name -> callable that writes it.

    Returns:
        the new folder.

    Raises:
        EnvironmentProblem: the disk refused; nothing is visible then.
    """
    target = layout.checkpoint(cell_id) / str(name)
    try:
        make_cell_folder(target.parent)
        temporary = new_temporary(layout.temporary)
    except OSError as error:
        raise disk_problem(target, error) from error
    failpoint("ckpt.begun")
    mirror = layout.mirror
    if mirror is None:
        commit_folder(temporary, target, writers, stage="ckpt")
        return target
    commit_folder(temporary, target, writers, stage="ckpt", share=lambda f: mirror.share(f, layout.relative(target)))
    # Another machine may go on from it: what lies here would only become old.
    shutil.rmtree(target, ignore_errors=True)
    return target


def prune_checkpoints(layout: Layout, cell_id: str, *, epoch: int, attempt: int, keep: int) -> int:
    """Remove all but the newest checkpoints of a cell; those of later attempts are left alone.

    Returns:
        number of checkpoints removed.
    """
    stale = checkpoints_of(layout, cell_id, epoch=epoch, attempt=attempt)[:-keep]
    removed = sum(_remove(layout, path) for _, path in stale)
    failpoint("ckpt.pruned")
    return removed


def set_aside(folder: Path) -> Path | None:
    """Rename a damaged checkpoint so that nothing looks at it again; at a URL it is removed.

    Returns:
        its new name; None when it was gone already.
    """
    target = folder.with_name(folder.name + DAMAGED_SUFFIX)
    root = folder.parent.parent.parent
    if (mirror := mirror_of(root)) is not None:
        mirror.withdraw(Layout(root).relative(folder))
    try:
        folder.rename(target)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_problem(target, error) from error
    return target


def remove_checkpoints(layout: Layout, cell_id: str) -> bool:
    """Remove everything that stands under a cell's checkpoints, those set aside included.

    Returns:
        False when there was nothing, or the disk refused.
    """
    failpoint("ckpt.before_removal")
    return _remove(layout, layout.checkpoint(cell_id))


def sweep_checkpoints(layout: Layout, done: Collection[str]) -> int:
    """Remove checkpoints of done cells, left where a kill came between a result and their removal.

    Args:
        layout: the results folder.
        done: ids of the cells whose result is in the store.

    Returns:
        number of cells whose checkpoints were removed.
    """
    names = [name for name in _cells_with_checkpoints(layout) if _CELL_FOLDER.fullmatch(name)]
    return sum(remove_checkpoints(layout, check_cell_id(name)) for name in names if name in done)


def _cells_with_checkpoints(layout: Layout) -> list[str]:
    if (mirror := layout.mirror) is not None:
        return sorted({key.split("/")[1] for key, _ in mirror.objects.listed("checkpoints/")})
    if not layout.checkpoints.is_dir() or layout.checkpoints.is_symlink():
        return []
    with os.scandir(layout.checkpoints) as entries:
        return sorted(entry.name for entry in entries)


def _remove(layout: Layout, folder: Path) -> bool:
    """Let a folder vanish in one step, so that a kill leaves no half of it, then free its space."""
    mirror = layout.mirror
    was_remote = mirror is not None and mirror.withdraw(layout.relative(folder))
    return _remove_here(layout, folder) or was_remote


def _remove_here(layout: Layout, folder: Path) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        temporary = new_temporary(layout.temporary)
        folder.rename(temporary / folder.name)
    except FileNotFoundError:
        return False  # somebody else was faster
    except OSError:
        temporary = folder  # a full disk has no room for a new folder, and this is what makes some
    shutil.rmtree(temporary, ignore_errors=True)  # what stays is swept with other temporary folders
    return not folder.exists()
