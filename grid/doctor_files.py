"""What else lies in a results folder: checkpoints, leftovers of dead processes, leases, copies of an index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grid.store import opening
from grid.store.lease import read_lease
from grid.store.leftovers import half_folders, sweep_leftovers
from grid.store.ownership import current_holder
from grid.store.places import find_places
from jobs.checkpoints import DAMAGED_SUFFIX, CheckpointName, set_aside
from jobs.durable import verify_folder
from jobs.storage import DamagedResult, Layout, complete_results

_ANY_EPOCH = 10**9


def damaged_checkpoints(layout: Layout) -> Iterator[tuple[Path, str]]:
    """Checkpoints whose bytes are not the ones that were written, each with what is wrong."""
    for folder in sorted(layout.checkpoints.glob("*/*")):
        if CheckpointName.parse(folder.name) is None or folder.is_symlink():
            continue
        try:
            verify_folder(folder)
        except DamagedResult as error:
            if folder.is_dir():  # a running trial removes older ones
                yield folder, str(error)


def file_notes(layout: Layout) -> Iterator[str]:
    """What is not a fault of the store, but good to know; the next run settles most of it."""
    for folder, why in damaged_checkpoints(layout):
        yield f"checkpoint {layout.relative(folder)} is damaged and will be passed over: {why}"
    aside = len(list(layout.checkpoints.glob(f"*/*{DAMAGED_SUFFIX}")))
    if aside:
        yield f"{aside} damaged checkpoints were set aside as *{DAMAGED_SUFFIX}"
    done = {folder.parent.name for folder in complete_results(layout)}
    for folder in half_folders(layout, before_epoch=_ANY_EPOCH, skip=done):
        yield f"{layout.relative(folder)} has no manifest and does not count; the next run removes it"
    leftovers = len(list(layout.temporary.iterdir())) if layout.temporary.is_dir() else 0
    if leftovers:
        yield f"{leftovers} unfinished folders in {layout.temporary.name}/; a run sweeps what is stale"
    if layout.quarantine.is_dir():
        quarantined = len(list(layout.quarantine.glob("*/*")))
        yield f"{quarantined} damaged result folders were set aside in {layout.quarantine.name}/"
    yield from _owner_notes(layout)


def _owner_notes(layout: Layout) -> Iterator[str]:
    holder = current_holder(layout)
    if holder is not None:
        yield f"in use by {holder}"
    record = read_lease(layout.lease)
    if record is not None and not record.released and holder is None:
        yield f"the lease of {record.holder} was not given back; its process is gone, the next run takes it over"
    places = find_places(layout)
    if places is not None and places.is_shared:
        yield f"the folder lies on a network: the index of this machine is {places.index}"


def mend_files(layout: Layout) -> tuple[str, ...]:
    """Set damaged checkpoints aside and remove leftovers.

    Returns:
        what was set aside, each with the reason.

    Raises:
        StoreBusy: a run is using the store.
        EnvironmentProblem: the disk refused.
    """
    places, ownership = opening.own(layout)
    try:
        moved = []
        for folder, why in damaged_checkpoints(layout):
            target = set_aside(folder)
            if target is not None:
                moved.append(f"{layout.relative(target)}: {why}")
        done = {folder.parent.name for folder in complete_results(layout)}
        sweep_leftovers(layout, before_epoch=_ANY_EPOCH, skip=done, local=places.index.parent)
        return tuple(moved)
    finally:
        ownership.release()
