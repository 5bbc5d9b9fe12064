"""What dead processes leave in a results folder, and its removal by the next run that owns the store."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from grid.store.remote import unfinished
from jobs.failpoints import failpoint
from jobs.storage import MANIFEST, AttemptName, Layout, sweep_temporary
from jobs.temporary import sweep

_OWN_TEMPORARY = re.compile(r"\.(ballast|store\.json|index\.json)\.[0-9a-f]{8}\.tmp")
"""Files that only the owner of a store writes, or that are complete when they are needed."""
logger = logging.getLogger(__name__)


def sweep_leftovers(layout: Layout, *, before_epoch: int, skip: Collection[str], local: Path) -> int:
    """Remove what no living process of this store can still be writing.

    Args:
        layout: the results folder, owned by the caller.
        before_epoch: the claimed epoch: attempts of earlier ones are fenced.
        skip: cells whose folders need no look: they are done.
        local: where the index lies on this machine.

    Returns:
        number of files and folders removed.
    """
    num_removed = sweep_temporary(layout)
    if local != layout.root:
        num_removed += sweep(local / "tmp")
    for file in {*_own_temporaries(layout.root), *_own_temporaries(local)}:
        file.unlink(missing_ok=True)
        num_removed += 1
    for folder in half_folders(layout, before_epoch=before_epoch, skip=skip):
        logger.warning("%s has no manifest: what a dead attempt left is removed", folder)
        shutil.rmtree(folder, ignore_errors=True)
        num_removed += 1
    num_removed += _sweep_url(layout, before_epoch)
    failpoint("claim.swept")
    return num_removed


def _sweep_url(layout: Layout, before_epoch: int) -> int:
    mirror = layout.mirror
    if mirror is None:
        return 0
    keys = list(unfinished(mirror, before_epoch=before_epoch))
    for key in keys:
        logger.warning("%s/%s has no manifest: what a dead attempt uploaded is removed", mirror.url, key)
        mirror.withdraw(key)
    return len(keys)


def half_folders(layout: Layout, *, before_epoch: int, skip: Collection[str] = frozenset()) -> Iterator[Path]:
    """Attempt folders without a manifest, of earlier epochs: a copy that was cut off, or a store without rename."""
    if not layout.cells.is_dir():
        return
    for cell in sorted(path for path in layout.cells.iterdir() if path.name not in skip):
        if cell.is_symlink() or not cell.is_dir():
            continue
        for folder in sorted(cell.iterdir()):
            name = AttemptName.parse(folder.name)
            if name is None or name.epoch >= before_epoch or folder.is_symlink() or not folder.is_dir():
                continue
            if not (folder / MANIFEST).exists():
                yield folder


def _own_temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.glob(".*.tmp") if _OWN_TEMPORARY.fullmatch(path.name) and path.is_file()]
