"""The queue: who is handed out when, who is blamed when a pack is lost, and that no cell is lost or doubled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.queue import Batch, Limits, Place, Queue, Verdict
from jobs.spec import CellSpec, Event, EventKind, FailureKind, PackedCell, PackSpec
from tests.fakes.cells import batch, cell


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Desk:
    """A queue with a movable clock, counting attempts as a store does."""

    batches: list[Batch]
    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.handed_out: list[PackSpec] = []
        self.counts: Counter[str] = Counter()
        self.queue = Queue(
            self.batches, epoch=7, attempts=self._attempt, hand_out=self._hand_out, limits=self.limits, clock=self.clock
        )

    def _attempt(self, cell_id: str) -> int:
        return self.counts[cell_id] + 1

    def _hand_out(self, pack: PackSpec) -> None:
        self.counts.update(packed.cell.cell_id for packed in pack.cells)
        self.handed_out.append(pack)

    def take(self, **kwargs: Any) -> PackSpec:
        pack = self.queue.next_pack(**kwargs)
        assert pack is not None
        return pack

    def take_later(self) -> PackSpec:
        assert self.queue.next_pack() is None
        assert self.queue.wait_s is not None and self.queue.wait_s > 0
        self.clock.now_s += self.queue.wait_s
        return self.take()

    def tell(self, pack: PackSpec, kind: EventKind, index: int | None = None, /, **data: Any) -> tuple[Verdict, ...]:
        packed = pack.cells[index] if index is not None else None
        return self.queue.on_event(event(pack, kind, packed, **data))

    def start(self, pack: PackSpec, *indices: int) -> None:
        for index in indices:
            self.tell(pack, EventKind.CELL_STARTED, index)

    def kill(self, pack: PackSpec, kind: FailureKind = FailureKind.TRANSIENT) -> dict[int, Verdict]:
        verdicts = self.tell(pack, EventKind.PACK_LOST, kind=kind, reason="worker_died")
        return {verdict.packed.cell.seed: verdict for verdict in verdicts}


def event(pack: PackSpec, kind: EventKind, packed: PackedCell | None = None, /, **data: Any) -> Event:
    if packed is None:
        return Event(kind=kind, pack_id=pack.pack_id, data=data)
    ids = {"cell_id": packed.cell.cell_id, "epoch": packed.epoch, "attempt": packed.attempt}
    return Event(kind=kind, pack_id=pack.pack_id, data=data, **ids)


def seeds(pack: PackSpec) -> list[int]:
    return [packed.cell.seed for packed in pack.cells]


def test_packs_come_in_planned_order_with_epoch_attempt_and_resources() -> None:
    desk = Desk([batch(cell(1), cell(2), cpus=2), batch(cell(3))])
    first, second = desk.take(), desk.take()
    assert seeds(first) == [1, 2] and seeds(second) == [3]
    assert [(p.epoch, p.attempt) for p in first.cells] == [(7, 1), (7, 1)]
    assert first.resources.cpus == 2 and first.pack_id != second.pack_id
    assert desk.queue.next_pack() is None and desk.queue.wait_s is None and not desk.queue.is_finished


def test_a_warm_base_goes_first() -> None:
    desk = Desk([batch(cell(1), base="a"), batch(cell(2), base="b")])
    assert seeds(desk.take(warm_base="b")) == [2]
    assert seeds(desk.take(warm_base="b")) == [1]


def test_a_cell_may_stand_in_one_batch_only() -> None:
    with pytest.raises(ValueError, match="two packs"):
        Desk([batch(cell(1)), batch(cell(1))])


def test_hand_out_that_raises_keeps_the_batch() -> None:
    def refuse(pack: PackSpec) -> None:
        raise OSError("disk full")

    queue = Queue([batch(cell(1))], epoch=1, attempts=lambda cell_id: 1, hand_out=refuse)
    with pytest.raises(OSError, match="disk full"):
        queue.next_pack()
    assert queue.places() == {cell(1).cell_id: Place.READY}


def test_finished_and_failed_cells_are_final() -> None:
    desk = Desk([batch(cell(1), cell(2))])
    pack = desk.take()
    desk.start(pack, 0, 1)
    desk.tell(pack, EventKind.CELL_FINISHED, 0)
    desk.tell(pack, EventKind.CELL_FAILED, 1, kind="diverged", reason="loss is nan")
    assert desk.tell(pack, EventKind.PACK_FINISHED) == ()
    assert desk.queue.is_finished and desk.queue.num_finished == 2


def test_interrupted_cells_rejoin_at_the_front_together() -> None:
    desk = Desk([batch(cell(1), cell(2), cell(3)), batch(cell(9), base="b")])
    pack = desk.take()
    desk.tell(pack, EventKind.CELL_INTERRUPTED, 1)
    desk.tell(pack, EventKind.CELL_INTERRUPTED, 2)
    again = desk.take()
    assert seeds(again) == [2, 3] and [p.attempt for p in again.cells] == [2, 2]


def test_events_of_an_older_attempt_or_an_ended_pack_change_nothing() -> None:
    desk = Desk([batch(cell(1))])
    old = desk.take()
    desk.kill(old)
    desk.tell(old, EventKind.CELL_FINISHED, 0)
    again = desk.take_later()
    desk.queue.on_event(event(again, EventKind.CELL_FINISHED, old.cells[0]))
    assert desk.queue.places() == {cell(1).cell_id: Place.RUNNING}


def test_a_transient_failure_is_tried_again_with_longer_and_longer_waits_then_final() -> None:
    desk = Desk([batch(cell(1))], limits=Limits(max_tries=3, backoff_s=2.0))
    waits = []
    pack = desk.take()
    for _ in range(2):
        desk.tell(pack, EventKind.CELL_FAILED, 0, kind="transient", reason="503")
        desk.tell(pack, EventKind.PACK_FINISHED)
        waits.append(desk.queue.wait_s)
        assert desk.queue.places() == {cell(1).cell_id: Place.RETRY}
        pack = desk.take_later()
    assert waits == [2.0, 8.0] and pack.cells[0].attempt == 3
    desk.tell(pack, EventKind.CELL_FAILED, 0, kind="transient", reason="503")
    desk.tell(pack, EventKind.PACK_FINISHED)
    assert desk.queue.is_finished


def test_transient_failures_of_one_pack_return_together() -> None:
    desk = Desk([batch(cell(1), cell(2), cell(3))])
    pack = desk.take()
    for index in (0, 2):
        desk.tell(pack, EventKind.CELL_FAILED, index, kind="transient")
    assert seeds(desk.take_later()) == [1, 3]


def test_an_out_of_memory_cell_gets_one_try_alone() -> None:
    desk = Desk([batch(cell(1), cell(2))])
    pack = desk.take()
    desk.tell(pack, EventKind.CELL_FAILED, 0, kind="out_of_memory")
    desk.tell(pack, EventKind.CELL_FINISHED, 1)
    desk.tell(pack, EventKind.PACK_FINISHED)
    alone = desk.take()
    assert seeds(alone) == [1]
    desk.tell(alone, EventKind.CELL_FAILED, 0, kind="out_of_memory")
    desk.tell(alone, EventKind.PACK_FINISHED)
    assert desk.queue.is_finished


def test_a_lost_worker_blames_the_live_cells_and_the_others_go_on_at_once() -> None:
    desk = Desk([batch(cell(1), cell(2), cell(3), cell(4))])
    pack = desk.take()
    desk.start(pack, 0, 1, 2)
    desk.tell(pack, EventKind.CELL_FINISHED, 0)
    verdicts = desk.kill(pack)
    assert set(verdicts) == {2, 3, 4}
    assert verdicts[4].kind is None and verdicts[2].kind is FailureKind.TRANSIENT
    assert not any(verdict.is_final for verdict in verdicts.values())
    assert seeds(desk.take()) == [4]
    assert seeds(desk.take_later()) == [2, 3]


def test_a_cell_that_always_kills_its_worker_ends_failed_and_its_neighbours_done() -> None:
    """Whoever shares a pack with cell 3 loses the worker; only cell 3 may be failed for it."""
    desk = Desk([batch(*(cell(n) for n in range(1, 9)))], limits=Limits(max_tries=3))
    failed: list[int] = []
    kills = 0
    while not desk.queue.is_finished:
        pack = desk.queue.next_pack() or desk.take_later()
        desk.start(pack, *range(len(pack.cells)))
        if 3 in seeds(pack):
            kills += 1
            failed += [seed for seed, verdict in desk.kill(pack).items() if verdict.is_final]
            continue
        for index in range(len(pack.cells)):
            desk.tell(pack, EventKind.CELL_FINISHED, index)
        desk.tell(pack, EventKind.PACK_FINISHED)
    assert failed == [3] and kills <= 8


@pytest.mark.parametrize("kind", [FailureKind.ENVIRONMENT, FailureKind.BUG])
def test_a_raise_while_loading_fails_the_whole_pack(kind: FailureKind) -> None:
    desk = Desk([batch(cell(1), cell(2)), batch(cell(3), base="b")])
    verdicts = desk.kill(desk.take(), kind)
    assert all(v.is_final and v.kind is kind for v in verdicts.values()) and len(verdicts) == 2
    assert seeds(desk.take()) == [3]


def test_a_bug_raised_midway_is_isolated_in_halves() -> None:
    desk = Desk([batch(cell(1), cell(2), cell(3))])
    pack = desk.take()
    desk.start(pack, 0, 1)
    verdicts = desk.kill(pack, FailureKind.BUG)
    assert not any(verdict.is_final for verdict in verdicts.values())
    innocent, first, solo = desk.take(), desk.take(), desk.take()
    assert [seeds(innocent), seeds(first), seeds(solo)] == [[3], [1], [2]]
    desk.start(solo, 0)
    final = desk.kill(solo, FailureKind.BUG)[2]
    assert final.is_final and final.kind is FailureKind.BUG


def test_a_cell_its_trial_kept_silent_about_is_a_visible_bug() -> None:
    desk = Desk([batch(cell(1))])
    (verdict,) = desk.tell(desk.take(), EventKind.PACK_FINISHED)
    assert verdict.is_final and verdict.kind is FailureKind.BUG and desk.queue.is_finished


ENDINGS = [EventKind.CELL_FINISHED, EventKind.CELL_FAILED, EventKind.CELL_INTERRUPTED]


class Chaos:
    """Plays a random but lawful world on a queue and keeps its own books of outcomes."""

    def __init__(self, rnd: Random, sizes: list[int]) -> None:
        self.rnd = rnd
        numbers = iter(range(1, sum(sizes) + 1))
        groups = [[cell(next(numbers)) for _ in range(size)] for size in sizes]
        self.all_cells: list[CellSpec] = [item for group in groups for item in group]
        self.desk = Desk([batch(*group, base=f"b{i % 2}") for i, group in enumerate(groups)])
        self.running: list[PackSpec] = []
        self.final: Counter[str] = Counter()
        self.interruptions = 0

    def step(self) -> None:
        self.check()
        if not self.running or self.rnd.random() < 0.5:
            pack = self.desk.queue.next_pack()
            if pack is not None:
                self.running.append(pack)
                return
        if not self.running:
            self.desk.clock.now_s += self.desk.queue.wait_s or 0.0
            return
        pack = self.rnd.choice(self.running)
        if self.rnd.randrange(4) == 0:
            self.end(pack)
        else:
            self.touch(pack)

    def touch(self, pack: PackSpec) -> None:
        packed = self.rnd.choice(pack.cells)
        kind = self.rnd.choice([EventKind.CELL_STARTED, EventKind.HEARTBEAT, *ENDINGS])
        if kind is EventKind.CELL_INTERRUPTED:
            self.interruptions += 1
            kind = kind if self.interruptions < 20 else EventKind.CELL_FINISHED
        failure = self.rnd.choice(list(FailureKind))
        was_open = packed in self.desk.queue.open_cells(pack.pack_id)
        self.desk.queue.on_event(event(pack, kind, packed, kind=failure))
        place = self.desk.queue.places()[packed.cell.cell_id]
        if was_open and place is Place.FINISHED:
            self.final[packed.cell.cell_id] += 1

    def end(self, pack: PackSpec) -> None:
        self.running.remove(pack)
        was_open = self.desk.queue.open_cells(pack.pack_id)
        if self.rnd.random() < 0.5:
            ending = event(pack, EventKind.PACK_FINISHED)
        else:
            ending = event(pack, EventKind.PACK_LOST, kind=self.rnd.choice(list(FailureKind)))
        verdicts = self.desk.queue.on_event(ending)
        assert sorted(v.packed.cell.seed for v in verdicts) == sorted(p.cell.seed for p in was_open)
        self.final.update(verdict.packed.cell.cell_id for verdict in verdicts if verdict.is_final)

    def check(self) -> None:
        places = self.desk.queue.places()
        assert set(places) == {item.cell_id for item in self.all_cells}, "a cell was lost"
        waiting = [item.cell_id for group in self.desk.queue._waiting for item in group.cells]
        running = [p.cell.cell_id for pack in self.running for p in self.desk.queue.open_cells(pack.pack_id)]
        done = [cell_id for cell_id, place in places.items() if place is Place.FINISHED]
        assert len(waiting) + len(running) + len(done) == len(self.all_cells), "a cell was doubled"
        tries = [(p.cell.cell_id, p.attempt) for pack in self.desk.handed_out for p in pack.cells]
        assert len(tries) == len(set(tries)), "an attempt number was given twice"


@settings(max_examples=150, deadline=None)
@given(rnd=st.randoms(use_true_random=False), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_no_sequence_of_events_loses_or_doubles_a_cell(rnd: Random, sizes: list[int]) -> None:
    chaos = Chaos(rnd, sizes)
    for _ in range(600):
        if chaos.desk.queue.is_finished:
            break
        chaos.step()
    chaos.check()
    assert chaos.desk.queue.is_finished
    assert chaos.final == Counter({item.cell_id: 1 for item in chaos.all_cells})
