"""Folders of checkpoints: order, who may use which, pruning, setting aside, removal, and a kill at every step."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from jobs import checkpoints
from jobs.checkpoints import (
    DAMAGED_SUFFIX,
    CheckpointName,
    checkpoints_of,
    newest_step,
    prune_checkpoints,
    remove_checkpoints,
    save_checkpoint,
    set_aside,
    sweep_checkpoints,
)
from jobs.durable import COMMIT_POINTS, DamagedResult, verify_folder
from jobs.errors import EnvironmentProblem, UserError
from jobs.storage import Layout
from jobs.temporary import sweep

CELL, OTHER = "0123456789abcdef", "f" * 16
POINTS = ("ckpt.begun", *(f"ckpt.{point}" for point in COMMIT_POINTS), "ckpt.pruned")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "results with 'quotes' and\nnewline")


def save(layout: Layout, epoch: int, attempt: int, step: int, cell_id: str = CELL) -> Path:
    name = CheckpointName.new(epoch, attempt, step)
    return save_checkpoint(layout, cell_id, name, {"state": lambda path: path.write_text(f"{step}") and None})


def steps(layout: Layout, epoch: int = 9, attempt: int = 9) -> list[tuple[int, int, int]]:
    return [(n.epoch, n.attempt, n.step) for n, _ in checkpoints_of(layout, CELL, epoch=epoch, attempt=attempt)]


def test_newest_is_by_epoch_then_attempt_then_step(layout: Layout) -> None:
    for place in ((1, 2, 500), (2, 1, 9), (1, 10, 7), (2, 1, 10), (1, 9, 8)):
        verify_folder(save(layout, *place))
    assert steps(layout) == [(1, 2, 500), (1, 9, 8), (1, 10, 7), (2, 1, 9), (2, 1, 10)]
    assert newest_step(layout, CELL, epoch=2, attempt=1) == 10
    assert newest_step(layout, OTHER, epoch=2, attempt=1) == 0


def test_what_later_attempts_wrote_is_not_for_an_earlier_one(layout: Layout) -> None:
    for place in ((1, 1, 5), (1, 2, 9), (2, 1, 3)):
        save(layout, *place)
    assert steps(layout, 1, 1) == [(1, 1, 5)]
    assert steps(layout, 1, 3) == [(1, 1, 5), (1, 2, 9)]
    assert prune_checkpoints(layout, CELL, epoch=1, attempt=2, keep=1) == 1
    assert steps(layout) == [(1, 2, 9), (2, 1, 3)]


def test_only_folders_of_ours_are_looked_at(layout: Layout, tmp_path: Path) -> None:
    folder = save(layout, 1, 1, 5)
    (folder.parent / "notes").mkdir()
    (folder.parent / "1-1-7-0123abcd").symlink_to(folder)
    (folder.parent / "1-1-6-0123ABCD").mkdir()
    (folder.parent / "1-1-8").mkdir()
    assert steps(layout) == [(1, 1, 5)]
    for name in ("../1-1-1-01234567", "1-1-1-01234567\n", "1-1-1-01234567.tmp", "-1-1-1-01234567"):
        assert CheckpointName.parse(name) is None
    with pytest.raises(UserError, match="cell id"):
        checkpoints_of(layout, "../x", epoch=1, attempt=1)


def test_pruning_keeps_the_newest(layout: Layout) -> None:
    for step in (3, 1, 2, 4):
        save(layout, 1, 1, step)
    assert prune_checkpoints(layout, CELL, epoch=1, attempt=1, keep=2) == 2
    assert steps(layout) == [(1, 1, 3), (1, 1, 4)]
    assert not list(layout.temporary.iterdir())


def test_a_damaged_one_is_renamed_and_never_looked_at_again(layout: Layout) -> None:
    folder = save(layout, 1, 1, 5)
    aside = set_aside(folder)
    assert aside == folder.with_name(folder.name + DAMAGED_SUFFIX)
    assert aside.is_dir()
    assert steps(layout) == []
    assert set_aside(folder) is None


def test_removal_takes_everything_of_a_cell(layout: Layout) -> None:
    set_aside(save(layout, 1, 1, 5))
    save(layout, 1, 1, 6)
    other = save(layout, 1, 1, 7, OTHER)
    assert remove_checkpoints(layout, CELL)
    assert not remove_checkpoints(layout, CELL)
    assert [path.name for path in layout.checkpoints.iterdir()] == [OTHER]
    assert other.is_dir()
    assert not list(layout.temporary.iterdir())


def test_sweeping_removes_those_of_done_cells_alone(layout: Layout) -> None:
    assert sweep_checkpoints(layout, {CELL}) == 0
    save(layout, 1, 1, 5)
    save(layout, 1, 1, 5, OTHER)
    (layout.checkpoints / "notes").mkdir()
    assert sweep_checkpoints(layout, {CELL, "0" * 16}) == 1
    assert sorted(path.name for path in layout.checkpoints.iterdir()) == [OTHER, "notes"]


def test_a_link_in_the_place_of_a_folder_is_left_alone(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    layout.checkpoints.mkdir(parents=True)
    layout.checkpoint(CELL).symlink_to(tmp_path / "precious")
    assert not remove_checkpoints(layout, CELL)
    assert steps(layout) == []
    with pytest.raises(EnvironmentProblem, match="symbolic link"):
        save(layout, 1, 1, 5)
    assert (tmp_path / "precious").is_dir()


def test_a_full_disk_does_not_keep_space_from_being_freed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    save(layout, 1, 1, 5)

    def full(parent: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints, "new_temporary", full)
    assert remove_checkpoints(layout, CELL)
    assert not layout.checkpoint(CELL).exists()


@pytest.mark.parametrize("point", [*POINTS, "ckpt.before_removal"])
def test_killed_at_any_step_the_newest_checkpoint_is_whole(layout: Layout, point: str) -> None:
    for step in (1, 2):
        save(layout, 1, 1, step)
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        os.environ |= {"FINEGRID_FAILPOINTS": "1", "GRID_FAILPOINT": point}
        try:
            save(layout, 1, 1, 3)
            prune_checkpoints(layout, CELL, epoch=1, attempt=1, keep=2)
            remove_checkpoints(layout, CELL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    is_visible = "ckpt.after_replace" in POINTS[: POINTS.index(point) + 1] if point in POINTS else True
    assert newest_step(layout, CELL, epoch=1, attempt=1) == (3 if is_visible else 2)
    for _, folder in checkpoints_of(layout, CELL, epoch=1, attempt=1):
        verify_folder(folder)
    sweep(layout.temporary)
    assert not list(layout.temporary.iterdir())


def test_a_file_that_is_cut_is_noticed(layout: Layout) -> None:
    folder = save(layout, 1, 1, 5)
    os.truncate(folder / "state", 0)
    with pytest.raises(DamagedResult, match="0 bytes"):
        verify_folder(folder)
