"""Machines: requests in Ray's words, how often they fit, and what the driver tells packs because of them."""

from __future__ import annotations

import pytest

from grid.deadlines import MACHINES
from grid.queue import Queue
from grid.splitting import Splitter
from grid.tune_runner.lookout import LOOK_EVERY_S, Lookout
from grid.tune_runner.machines import (
    MACHINES_VARIABLE,
    bundle,
    declared_machines,
    meets,
    rooms_on,
    wait_for_machines,
)
from grid.tune_runner.silence import Worker
from jobs.errors import EnvironmentProblem, UserError
from jobs.spec import CommandKind, Event, EventKind, Resources
from tests.fakes.cells import batch, cell

FULL = Resources(cpus=2, gpus=0.5, memory_bytes=10, accelerator_type="A10G")


def test_a_request_in_rays_words() -> None:
    assert bundle(FULL) == {"CPU": 2.0, "GPU": 0.5, "memory": 10.0, "accelerator_type:A10G": 0.001}
    assert bundle(Resources()) == {"CPU": 1.0}


@pytest.mark.parametrize(
    ("node", "rooms"),
    [
        ({"CPU": 8.0, "GPU": 2.0, "memory": 100.0, "accelerator_type:A10G": 1.0}, 4),
        ({"CPU": 8.0, "GPU": 2.0, "memory": 100.0, "accelerator_type:T4": 1.0}, 0),
        ({"CPU": 5.0, "GPU": 2.0, "memory": 100.0, "accelerator_type:A10G": 1.0}, 2),
        ({"CPU": 8.0, "GPU": 2.0, "memory": 25.0, "accelerator_type:A10G": 1.0}, 2),
        ({"CPU": 8.0, "memory": 100.0, "accelerator_type:A10G": 1.0}, 0),
        ({}, 0),
    ],
)
def test_how_often_a_request_fits(node: dict[str, float], rooms: int) -> None:
    assert rooms_on(node, FULL) == rooms
    assert meets(node, FULL) == (rooms > 0)


@pytest.mark.parametrize(("free", "rooms"), [(2.0, 2), (1.4, 1), (0.7, 1), (0.5, 0)])
def test_shares_of_a_gpu_lie_on_one_device(free: float, rooms: int) -> None:
    assert rooms_on({"CPU": 8.0, "GPU": free}, Resources(gpus=0.6)) == rooms


class Scene:
    """One running pack of five cells, half through its first, on a machine called `here`."""

    def __init__(self, *, going: tuple[str, ...] = (), rooms: int = 0, fails: bool = False) -> None:
        self.now_s = 0.0
        self.queue = Queue([batch(*map(cell, range(5)))], epoch=1, attempts=lambda cell_id: 1, clock=self.clock)
        splitter = Splitter(self.queue, lambda spec: 100.0, least_s=60.0, clock=self.clock)
        pack = self.queue.next_pack()
        assert pack is not None
        self.pack_id, first = pack.pack_id, pack.cells[0].cell.cell_id
        for kind, cell_id in ((EventKind.PACK_STARTED, None), (EventKind.CELL_STARTED, first)):
            event = Event(kind=kind, pack_id=self.pack_id, cell_id=cell_id)
            splitter.on_event(event)
            self.queue.on_event(event)
        self.now_s = 50.0
        beat = Event(kind=EventKind.HEARTBEAT, pack_id=self.pack_id, data={"step": 1, "total_steps": 2})
        splitter.on_event(beat)

        def find_rooms(request: Resources) -> int:
            if fails:
                raise ConnectionError("no answer")
            return rooms

        self.lookout = Lookout(
            self.queue, splitter, find_draining=lambda: going, find_rooms=find_rooms, clock=self.clock
        )
        self.worker = Worker.parse("1:2:here")

    def clock(self) -> float:
        return self.now_s

    def kinds(self) -> list[CommandKind]:
        self.now_s += LOOK_EVERY_S
        return [command.kind for _, command in self.lookout.orders({self.pack_id: self.worker})]


def test_a_pack_leaves_a_machine_that_goes_and_is_told_once() -> None:
    scene = Scene(going=("here",))
    assert scene.lookout.orders({scene.pack_id: scene.worker}) == []
    assert scene.kinds() == [CommandKind.STOP]
    assert scene.kinds() == []
    assert Scene(going=("elsewhere",)).kinds() == []


def test_a_free_machine_gets_cells_of_a_long_pack() -> None:
    assert Scene(rooms=1).kinds() == [CommandKind.GIVE_UP_CELLS]
    assert Scene(rooms=0).kinds() == []


def test_a_cluster_that_does_not_answer_moves_nothing() -> None:
    assert Scene(rooms=1, fails=True).kinds() == []


def test_a_run_waits_until_all_machines_have_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MACHINES.variable, "60")
    counts, slept = iter([1, 2, 3]), []
    wait_for_machines(3, count=lambda: next(counts), clock=lambda: 0.0, sleep=slept.append)
    assert len(slept) == 2


def test_machines_that_do_not_come_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MACHINES.variable, "60")
    times = iter([0.0, 30.0, 61.0])
    with pytest.raises(EnvironmentProblem, match=r"1 of 3 machines .* after 60 s"):
        wait_for_machines(3, count=lambda: 1, clock=lambda: next(times), sleep=lambda seconds: None)


def test_the_number_of_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MACHINES_VARIABLE, raising=False)
    assert declared_machines() == 1
    monkeypatch.setenv(MACHINES_VARIABLE, "4")
    assert declared_machines() == 4
    for wrong in ("0", "-1", "two", ""):
        monkeypatch.setenv(MACHINES_VARIABLE, wrong)
        with pytest.raises(UserError, match="a number of machines"):
            declared_machines()
