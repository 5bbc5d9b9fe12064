"""SIGKILL at every failpoint of the sources, through the cheapest command that reaches it, and P1 to P4 after it.

Each case: the armed process dies there; no half-written result is visible; every declared cell is
in one state; the same command again finishes; finished cells were not computed again; the store
equals that of the undisturbed run; nothing temporary remains.
"""

from __future__ import annotations

import ast
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.durable import verify_folder
from tests.fakes.hub import FakeHub
from tests.faults.conftest import CleanDump, MakeTiny, MakeToy
from tests.faults.failpoint_names import failpoint_names
from tests.faults.harness import CALM_VARIABLE, ROOT, Finished, Grid, armed, wait_until
from tests.faults.hub_grids import hub_grid
from tests.faults.places import as_network
from tests.faults.ray_processes import find, hit

PLAIN = (
    "owner.locked",
    "index.before_rename",
    "claim.locked",
    "claim.swept",
    "claim.inserted",
    "claim.committed",
    "start.inserted",
    "start.committed",
    "result.begun",
    "result.file_written",
    "result.before_manifest",
    "result.manifest_written",
    "result.before_replace",
    "result.after_replace",
    "result.parent_synced",
    "db.begun",
    "db.inserted",
    "db.committed",
    "pass.before",
    "pass.after",
    "run.before_finish",
    "finish.committed",
)
FAILING = ("fail.inserted", "fail.committed")
STOPPED = ("signal.received", "stop.sent", "interrupt.inserted")
CHECKPOINTED = (
    "ckpt.begun",
    "ckpt.file_written",
    "ckpt.before_manifest",
    "ckpt.manifest_written",
    "ckpt.before_replace",
    "ckpt.after_replace",
    "ckpt.parent_synced",
    "ckpt.pruned",
    "ckpt.before_removal",
)
SHARED = ("lease.created", "lease.renewed", "lease.released", "copy.before_replace", "copy.after_replace")
SHARED_FAILING = ("journal.appended",)
FROM_THE_HUB = ("pin.inserted", "hub.file_fetched")
REBUILT = ("rebuild.before_rename",)
RAY_LOST = ("ray.lost",)
_URL = "tests/faults/test_object_store.py"
ELSEWHERE = {
    "index.before_migration": "tests/grid/store/test_schema.py",
    **dict.fromkeys(("epoch.claimed", "upload.file_sent", "upload.before_manifest", "upload.manifest_sent"), _URL),
    "withdraw.manifest_gone": _URL,
}
"""Where a point needs more than this file has (an old store): the test file that names it."""

IN_CI = {"db.begun", "result.before_replace"}
"""The others only in `make faults`."""


def cases(points: tuple[str, ...]) -> list[object]:
    return [pytest.param(point, marks=[] if point in IN_CI else pytest.mark.faults) for point in points]


def expect_killed_and_whole(grid: Grid, killed: Finished) -> dict[str, tuple[int, int]]:
    """P1 to P3 right after the kill; the attempts by which cells were done."""
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    for folder in grid.result_folders():
        verify_folder(folder)
    if not grid.states():
        return {}
    return {row["cell_id"]: (row["epoch"], row["attempt"]) for row in grid.attempts() if row["state"] == "done"}


def expect_resumed(grid: Grid, done: dict[str, tuple[int, int]], clean: str) -> None:
    """P4 and the oracle after the same command was given again."""
    after = {row["cell_id"]: (row["epoch"], row["attempt"]) for row in grid.attempts() if row["state"] == "done"}
    assert done.items() <= after.items(), "a finished cell was computed again"
    assert grid.dump() == clean
    assert grid.count("done") == len(grid.states())
    assert not any(grid.layout.temporary.iterdir())
    assert not any(grid.layout.checkpoints.glob("*"))


def kill_and_resume(grid: Grid, point: str, clean: str) -> None:
    done = expect_killed_and_whole(grid, grid.run(env=armed(point)))
    grid.run_until_done()
    expect_resumed(grid, done, clean)


@pytest.mark.parametrize("point", cases(PLAIN))
def test_killed_while_a_cell_is_worked_on(toy: Grid, clean_dump: CleanDump, point: str) -> None:
    kill_and_resume(toy, point, clean_dump(toy))


@pytest.mark.parametrize("point", cases(FAILING))
def test_killed_while_a_failure_is_recorded(make_toy: MakeToy, clean_dump: CleanDump, point: str) -> None:
    grid = make_toy(scripts=("flaky",), seeds=(0,))
    kill_and_resume(grid, point, clean_dump(grid))


@pytest.mark.parametrize("point", cases(STOPPED))
def test_killed_while_stopping(make_toy: MakeToy, clean_dump: CleanDump, point: str) -> None:
    grid = make_toy(scripts=("hang",), seeds=(0, 1))
    running = grid.start(env=armed(point))
    wait_until(lambda: grid.count("running"), what="the first cell")
    running.kill(signal.SIGTERM)
    done = expect_killed_and_whole(grid, running.wait())
    finished = grid.run(env={CALM_VARIABLE: "1"})
    assert finished.returncode == 0, finished.stderr
    expect_resumed(grid, done, clean_dump(grid))


@pytest.mark.parametrize("point", cases(CHECKPOINTED))
def test_killed_while_a_checkpoint_is_written_or_removed(
    make_tiny: MakeTiny, clean_dump: CleanDump, point: str
) -> None:
    # The longer cell is saved when the shorter one leaves.
    axes = {"strategy": ["lora"], "seed": [0], "num_samples": [24, 64]}
    grid = make_tiny(axes=axes, checkpoint={"every_s": 0.001, "keep": 1})
    kill_and_resume(grid, point, clean_dump(grid))


@pytest.mark.parametrize("point", cases(SHARED))
def test_killed_on_a_shared_folder(toy: Grid, clean_dump: CleanDump, tmp_path: Path, point: str) -> None:
    clean = clean_dump(toy)
    kill_and_resume(shared(toy, tmp_path), point, clean)


@pytest.mark.parametrize("point", cases(SHARED_FAILING))
def test_killed_while_a_failure_is_recorded_on_a_shared_folder(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path, point: str
) -> None:
    grid = make_toy(scripts=("flaky",), seeds=(0,))
    clean = clean_dump(grid)
    kill_and_resume(shared(grid, tmp_path), point, clean)


def shared(grid: Grid, folder: Path) -> Grid:
    """The same grid on what looks like a network folder, with an index and a lease of its own."""
    return replace(grid, cache=folder / "own-cache", env=as_network(grid.folder) | {"FINEGRID_LEASE_S": "3"})


@pytest.mark.parametrize("point", cases(FROM_THE_HUB))
def test_killed_while_the_hub_is_asked(tmp_path: Path, clean_dump: CleanDump, point: str) -> None:
    with FakeHub() as hub:
        grid = hub_grid(hub, tmp_path)
        killed = expect_killed_and_whole(grid, grid.run(env=armed(point)))
        grid.run_until_done()
        expect_resumed(grid, killed, clean_dump(grid))


@pytest.mark.parametrize("point", cases(REBUILT))
def test_killed_while_the_index_is_made_anew(toy: Grid, clean_dump: CleanDump, point: str) -> None:
    toy.run_until_done()
    rebuild: Callable[..., Finished] = lambda **more: toy.command("doctor", str(toy.folder), "--rebuild", **more)  # noqa: E731
    done = expect_killed_and_whole(toy, rebuild(env=armed(point)))
    assert rebuild().returncode == 0
    expect_resumed(toy, done, clean_dump(toy))


@pytest.mark.ray
@pytest.mark.parametrize("point", cases(RAY_LOST))
def test_killed_when_ray_was_lost(make_toy: MakeToy, clean_dump: CleanDump, point: str) -> None:
    grid = make_toy(scripts=("done", "hang"), seeds=(0,), local=False)
    running = grid.start(env=armed(point))
    wait_until(lambda: grid.count("done") == 1 and grid.count("running") == 1, what="a cell under way")
    hit(find(running, "raylet")[0])
    done = expect_killed_and_whole(grid, running.wait())
    finished = grid.run(env={CALM_VARIABLE: "1"})
    assert finished.returncode == 0, finished.stderr
    expect_resumed(grid, done, clean_dump(grid))


def test_every_failpoint_of_the_sources_is_killed_somewhere() -> None:
    here = [*PLAIN, *FAILING, *STOPPED, *CHECKPOINTED, *SHARED, *SHARED_FAILING, *FROM_THE_HUB, *REBUILT, *RAY_LOST]
    assert len(set(here)) == len(here)
    assert failpoint_names() == set(here) | set(ELSEWHERE)
    for point, path in ELSEWHERE.items():
        names = {node.value for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))) if _is_text(node)}
        assert any(point in name for name in names), f"{path} does not name {point}"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
