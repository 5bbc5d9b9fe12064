"""Splitting: the longest pack gives cells to idle devices, in parts worth moving, and never twice at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from grid.queue import Batch, Queue
from grid.splitting import Splitter
from jobs.spec import CellSpec, CommandKind, Event, EventKind, PackSpec
from tests.fakes.cells import batch, cell


@dataclass
class Scene:
    """A queue whose packs tell what a test wants them to; every cell is estimated at 100 s."""

    batches: list[Batch]
    now_s: float = 0.0
    packs: list[PackSpec] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = Queue(self.batches, epoch=1, attempts=lambda cell_id: 1, clock=lambda: self.now_s)
        self.splitter = Splitter(self.queue, self.estimate, least_s=60.0, clock=lambda: self.now_s)

    def estimate(self, spec: CellSpec) -> float:
        return 100.0

    def start(self, live: int = 1) -> PackSpec:
        pack = self.queue.next_pack()
        assert pack is not None
        self.packs.append(pack)
        self.tell(EventKind.PACK_STARTED, pack)
        for number in range(live):
            self.tell(EventKind.CELL_STARTED, pack, number)
        return pack

    def tell(self, kind: EventKind, pack: PackSpec, number: int | None = None, /, **data: object) -> None:
        cell_id = None if number is None else pack.cells[number].cell.cell_id
        event = Event(kind=kind, pack_id=pack.pack_id, cell_id=cell_id, data=data)
        self.splitter.on_event(event)
        self.queue.on_event(event)

    def ids(self, pack: PackSpec, *numbers: int) -> tuple[str, ...]:
        return tuple(pack.cells[number].cell.cell_id for number in numbers)

    def given_up(self, idle: int) -> dict[str, tuple[str, ...]]:
        orders = self.splitter.commands(idle)
        assert all(command.kind is CommandKind.GIVE_UP_CELLS for _, command in orders)
        return {pack_id: command.cell_ids for pack_id, command in orders}


def scene(*sizes: int) -> Scene:
    numbers = iter(range(1000))
    return Scene([batch(*(cell(next(numbers)) for _ in range(size))) for size in sizes])


def half_way(running: Scene, pack: PackSpec, seconds: float = 50.0) -> None:
    """Its one live cell is half through."""
    running.now_s += seconds
    running.tell(EventKind.HEARTBEAT, pack, step=50, total_steps=100)


def test_an_idle_device_gets_half_of_what_waits() -> None:
    at = scene(5)
    pack = at.start()
    half_way(at, pack)
    # 50 s of the live cell and 4 x 100 s are left: 250 + 200.
    given = at.given_up(idle=1)
    assert len(given[pack.pack_id]) == 2
    assert pack.cells[0].cell.cell_id not in given[pack.pack_id]


def test_given_up_cells_go_on_together_in_one_pack_an_idle_device() -> None:
    at = scene(7)
    pack = at.start()
    half_way(at, pack)
    (moved,) = at.given_up(idle=2).values()
    assert len(moved) == 4
    for number, packed in enumerate(pack.cells):
        if packed.cell.cell_id in moved:
            at.tell(EventKind.CELL_INTERRUPTED, pack, number)
    packs = [at.queue.next_pack(), at.queue.next_pack()]
    assert [len(next_pack.cells) for next_pack in packs if next_pack] == [2, 2]
    assert at.queue.next_pack() is None


@pytest.mark.parametrize("idle", [0, -1])
def test_nobody_idle_nothing_moves(idle: int) -> None:
    at = scene(5)
    half_way(at, at.start())
    assert at.given_up(idle) == {}


def test_nothing_moves_while_packs_wait() -> None:
    at = scene(5, 5)
    half_way(at, at.start())
    assert at.given_up(idle=1) == {}
    half_way(at, at.start())
    assert at.given_up(idle=1) != {}


def test_a_pack_that_has_not_begun_is_left_alone() -> None:
    at = scene(5)
    at.start(live=0)
    at.now_s = 1000.0
    assert at.given_up(idle=1) == {}
    assert at.splitter.num_loading() == 1


def test_loading_does_not_count_as_slow_training() -> None:
    at = scene(5)
    pack = at.start(live=0)
    at.now_s = 5000.0
    at.tell(EventKind.CELL_STARTED, pack, 0)
    half_way(at, pack, seconds=5.0)
    # At this pace 45 s are left: not worth moving.
    assert at.given_up(idle=1) == {}


def test_the_longest_pack_gives() -> None:
    at = scene(3, 9)
    short, long = at.start(), at.start()
    half_way(at, short)
    at.tell(EventKind.HEARTBEAT, long, step=50, total_steps=100)
    assert set(at.given_up(idle=1)) == {long.pack_id}


def test_a_slow_pack_is_long() -> None:
    at = scene(5, 5)
    slow, fast = at.start(), at.start()
    at.now_s = 100.0
    at.tell(EventKind.HEARTBEAT, slow, step=10, total_steps=100)
    at.tell(EventKind.HEARTBEAT, fast, step=90, total_steps=100)
    assert set(at.given_up(idle=1)) == {slow.pack_id}


def test_what_is_not_worth_moving_stays() -> None:
    at = scene(2)
    pack = at.start()
    half_way(at, pack, seconds=10.0)
    # 10 s and 20 s are left.
    assert at.given_up(idle=3) == {}


def test_an_order_is_not_repeated_before_it_can_have_been_followed() -> None:
    at = scene(9)
    pack = at.start()
    half_way(at, pack)
    assert at.given_up(idle=1) != {}
    at.now_s += 30
    assert at.given_up(idle=1) == {}
    at.now_s += 31
    assert at.given_up(idle=1) != {}


def test_cells_in_training_move_when_none_waits() -> None:
    at = scene(4)
    pack = at.start(live=4)
    at.now_s = 200.0
    at.tell(EventKind.HEARTBEAT, pack, step=100, total_steps=400)
    assert len(at.given_up(idle=1)[pack.pack_id]) == 2


def test_the_last_cell_never_moves() -> None:
    at = scene(1)
    pack = at.start()
    half_way(at, pack, seconds=5000.0)
    assert at.given_up(idle=5) == {}


def test_cells_that_are_through_do_not_count() -> None:
    at = scene(5)
    pack = at.start(live=2)
    at.now_s = 100.0
    at.tell(EventKind.CELL_FINISHED, pack, 0)
    at.tell(EventKind.HEARTBEAT, pack, step=0, total_steps=100)
    (moved,) = at.given_up(idle=1).values()
    assert set(moved) <= set(at.ids(pack, 2, 3, 4))


def test_a_lost_pack_is_forgotten() -> None:
    at = scene(5)
    pack = at.start()
    half_way(at, pack)
    at.tell(EventKind.PACK_LOST, pack, kind="transient", reason="worker died")
    assert at.given_up(idle=1) == {}
