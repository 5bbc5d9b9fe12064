"""Passes go on while something moves, and say in words why they stop early."""

from __future__ import annotations

from pathlib import Path

from grid.fault_watch import EnvironmentWatch
from grid.passes import MAX_IDLE_PASSES, work
from grid.queue import Queue
from grid.recorder import Recorder
from grid.runner import OnEvent, ShouldStop
from jobs.errors import EnvironmentProblem
from jobs.spec import Event, EventKind
from jobs.storage import Layout
from tests.fakes.cells import batch, cell
from tests.fakes.store import MemoryStore


class ScriptedRunner:
    """Settles one cell in each pass whose script says so."""

    def __init__(self, script: str) -> None:
        self.script = list(script)

    def run_pass(self, queue: Queue, on_event: OnEvent, should_stop: ShouldStop) -> None:
        step = self.script.pop(0)
        if step == "!":
            raise EnvironmentProblem("the disk is full.")
        pack = queue.next_pack()
        assert pack is not None
        if step == "x":
            (packed,) = pack.cells
            data = {"kind": "user", "reason": "no"}
            ids = {"cell_id": packed.cell.cell_id, "attempt": packed.attempt}
            on_event(Event(kind=EventKind.CELL_FAILED, pack_id=pack.pack_id, data=data, **ids))
        else:
            (packed,) = pack.cells
            on_event(Event(kind=EventKind.CELL_INTERRUPTED, pack_id=pack.pack_id, cell_id=packed.cell.cell_id))
        on_event(Event(kind=EventKind.PACK_FINISHED, pack_id=pack.pack_id))

    def close(self) -> None:
        pass


def recorder(root: Path, cells: int) -> Recorder:
    return Recorder(MemoryStore(), Layout(root), [batch(cell(n)) for n in range(1, cells + 1)], epoch=1)


def test_passes_go_on_until_nothing_is_left(tmp_path: Path) -> None:
    runner = ScriptedRunner("x--x--x")
    assert work(runner, recorder(tmp_path, 3), lambda: False) is None
    assert runner.script == []


def test_passes_without_progress_end(tmp_path: Path) -> None:
    reason = work(ScriptedRunner("x" + "-" * MAX_IDLE_PASSES), recorder(tmp_path, 2), lambda: False)
    assert reason is not None and "finished no cell" in reason


def test_an_environment_problem_ends_with_advice(tmp_path: Path) -> None:
    reason = work(ScriptedRunner("!"), recorder(tmp_path, 1), lambda: False)
    assert reason is not None and reason.startswith("the disk is full.") and "same command" in reason


class EnvironmentFails(ScriptedRunner):
    """Fails one cell a pass because of the environment, as long as it is not told to stop."""

    def run_pass(self, queue: Queue, on_event: OnEvent, should_stop: ShouldStop) -> None:
        while not should_stop() and (pack := queue.next_pack()) is not None:
            (packed,) = pack.cells
            data = {"kind": "environment", "reason": "no network"}
            ids = {"cell_id": packed.cell.cell_id, "attempt": packed.attempt}
            on_event(Event(kind=EventKind.CELL_FAILED, pack_id=pack.pack_id, data=data, **ids))
            on_event(Event(kind=EventKind.PACK_FINISHED, pack_id=pack.pack_id))


def test_a_guard_stops_the_passes_with_its_reason(tmp_path: Path) -> None:
    books = recorder(tmp_path, 10)
    reason = work(EnvironmentFails(""), books, lambda: False, guards=(EnvironmentWatch(),))
    assert reason is not None and "no network" in reason
    assert books.queue.num_finished == 3 and not books.queue.is_finished
