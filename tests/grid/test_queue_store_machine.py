"""Queue, recorder and the real store together: no order of events loses, doubles or changes a cell.

Events come late, twice, from packs that ended and from runs that died; results are published and
never told, or arrive damaged; the driver crashes, stops and begins again with other declarations.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from grid.queue import Batch, Limits, Place
from grid.recorder import Recorder
from grid.runner import given_back, lost
from grid.store import Store, schema
from jobs.spec import CellState, Event, EventKind, FailureKind, PackedCell
from jobs.storage import Layout, publish
from tests.fakes.cells import batch, cell
from tests.jobs.samples import result

CELLS = [cell(number) for number in range(1, 6)]
WORDS = [EventKind.CELL_STARTED, EventKind.CELL_INTERRUPTED, EventKind.CHECKPOINTED, EventKind.HEARTBEAT]
PLACES = {
    Place.RUNNING: {CellState.RUNNING},
    Place.FINISHED: {CellState.DONE, CellState.FAILED},
    Place.READY: {CellState.PENDING, CellState.INTERRUPTED, CellState.FAILED},
    Place.RETRY: {CellState.FAILED, CellState.INTERRUPTED},
}
"""What the store may say of a cell in each place of the queue."""

SIZES = st.lists(st.integers(1, 3), min_size=5, max_size=5)
DECLARED = st.sets(st.integers(0, len(CELLS) - 1), min_size=2)
PICK = st.integers(0, 5) | st.integers(0, 99)

Key = tuple[str, int, int]


def key_of(packed: PackedCell) -> Key:
    return packed.cell.cell_id, packed.epoch, packed.attempt


class RunMachine(RuleBasedStateMachine):
    """A run's books under every kind of news, checked against what was handed out and published."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.layout = Layout(Path(self.folder.name, "results"))
        self.handed_out: list[tuple[str, PackedCell]] = []  # (pack, cell), oldest first, of all runs
        self.newest: dict[str, Key] = {}  # cell -> attempt that was handed out last
        self.published: dict[Key, tuple[Path, float]] = {}
        self.winners: dict[str, tuple[Key, float]] = {}  # cells that were seen done
        self.said: list[Event] = []
        self.declared = list(CELLS[:3])

    @initialize(sizes=SIZES)
    def first_run(self, sizes: list[int]) -> None:
        self.begin(sizes)

    # What a run does

    def begin(self, sizes: list[int]) -> None:
        self.store = Store.open(self.layout.root, grid="toy")
        self.store.claim("{}")
        self.store.declare(self.declared)
        self.store.ingest_all()
        self.expect_fresh_states()
        done = {cell_id for cell_id, row in self.store.states().items() if row.state is CellState.DONE}
        self.todo = [spec for spec in self.declared if spec.cell_id not in done]
        limits = Limits(max_tries=2, backoff_s=0.0)
        batches = cut(self.todo, sizes)
        self.recorder = Recorder(self.store, self.layout, batches, epoch=self.store.epoch, limits=limits)

    def tell(self, event: Event) -> None:
        self.said.append(event)
        self.recorder.on_event(event)

    @rule()
    def take_a_pack(self) -> None:
        pack = self.recorder.queue.next_pack()
        for packed in pack.cells if pack else ():
            self.handed_out.append((pack.pack_id, packed))
            assert key_of(packed) > self.newest.get(packed.cell.cell_id, ("", 0, 0)), "attempts only grow"
            self.newest[packed.cell.cell_id] = key_of(packed)

    @rule(declared=DECLARED, sizes=SIZES)
    def stop_and_begin_again(self, declared: set[int], sizes: list[int]) -> None:
        """A signal: every running pack gives its cells back, and the run ends in order."""
        queue = self.recorder.queue
        for pack in queue.running_packs():
            for event in given_back(queue, pack.pack_id):
                self.tell(event)
        self.store.ingest_all()
        self.store.finish_run(143)
        self.restart(declared, sizes)

    @precondition(lambda self: self.store.epoch < 5)
    @rule(declared=DECLARED, sizes=SIZES)
    def crash_and_begin_again(self, declared: set[int], sizes: list[int]) -> None:
        self.restart(declared, sizes)

    def restart(self, declared: set[int], sizes: list[int]) -> None:
        self.store.close()
        self.declared = [CELLS[number] for number in sorted(declared)]
        self.begin(sizes)

    # What trials say, however late and however often

    def pick(self, number: int) -> tuple[str, PackedCell]:
        """A cell that was handed out: 0 is the newest, so that most news are timely."""
        return self.handed_out[-1 - number % len(self.handed_out)]

    @precondition(lambda self: self.handed_out)
    @rule(number=PICK, kind=st.sampled_from(WORDS))
    def say(self, number: int, kind: EventKind) -> None:
        pack_id, packed = self.pick(number)
        self.tell(news(kind, pack_id, packed))

    @precondition(lambda self: self.handed_out)
    @rule(number=PICK, kind=st.sampled_from(FailureKind))
    def fail(self, number: int, kind: FailureKind) -> None:
        pack_id, packed = self.pick(number)
        self.tell(news(EventKind.CELL_FAILED, pack_id, packed, kind=str(kind), reason="why"))

    @precondition(lambda self: self.handed_out)
    @rule(number=PICK, accuracy=st.floats(0, 1), is_told=st.booleans(), is_damaged=st.sampled_from([0, 0, 0, 1]))
    def finish(self, number: int, accuracy: float, is_told: bool, is_damaged: int) -> None:
        """Publish once an attempt; its trial may die before it tells, and the disk may have spoiled it."""
        pack_id, packed = self.pick(number)
        self.publish(packed, accuracy)
        folder = self.published[key_of(packed)][0]
        if is_damaged and not self.is_done(packed.cell.cell_id):
            (folder / "result.json").write_text("{}", encoding="utf-8")
        if is_told:
            self.tell(news(EventKind.CELL_FINISHED, pack_id, packed, folder=str(folder)))

    def publish(self, packed: PackedCell, accuracy: float) -> None:
        if key_of(packed) not in self.published:
            told = result(packed.cell, epoch=packed.epoch, attempt=packed.attempt, accuracy=accuracy)
            self.published[key_of(packed)] = publish(self.layout, told, {}), accuracy

    @precondition(lambda self: self.zombies())
    @rule(number=PICK, accuracy=st.floats(0, 1))
    def finish_as_a_zombie(self, number: int, accuracy: float) -> None:
        """A trial of an earlier run speaks, whose pack and cell have the same names in this run."""
        zombies = self.zombies()
        pack_id, packed = zombies[number % len(zombies)]
        self.publish(packed, accuracy)
        folder = str(self.published[key_of(packed)][0])
        self.tell(news(EventKind.CELL_FINISHED, pack_id, packed, folder=folder))

    def zombies(self) -> list[tuple[str, PackedCell]]:
        queue = self.recorder.queue
        running = {(p.pack_id, packed.cell.cell_id) for p in queue.running_packs() for packed in p.cells}
        old = [item for item in self.handed_out if item[1].epoch < self.store.epoch]
        return [(pack_id, packed) for pack_id, packed in old if (pack_id, packed.cell.cell_id) in running]

    @precondition(lambda self: self.handed_out)
    @rule(number=PICK, kind=st.none() | st.sampled_from(FailureKind))
    def end_pack(self, number: int, kind: FailureKind | None) -> None:
        pack_id = self.pick(number)[0]
        self.tell(lost(pack_id, kind, "worker_died") if kind else Event(kind=EventKind.PACK_FINISHED, pack_id=pack_id))

    @precondition(lambda self: self.said)
    @rule(number=PICK)
    def say_again(self, number: int) -> None:
        self.recorder.on_event(self.said[-1 - number % len(self.said)])

    # What must hold

    @invariant()
    def every_declared_cell_is_in_one_place_and_the_store_agrees(self) -> None:
        if not hasattr(self, "recorder"):
            return
        states, places = self.store.states(), self.recorder.queue.places()
        assert {cell_id for cell_id, row in states.items() if not row.retired} == {s.cell_id for s in self.declared}
        assert set(places) == {spec.cell_id for spec in self.todo}
        for cell_id, place in places.items():
            assert states[cell_id].state in PLACES[place], (cell_id, place, states[cell_id])

    @invariant()
    def done_is_final_and_won_by_the_newest_attempt(self) -> None:
        if not hasattr(self, "store"):
            return
        for cell_id, row in self.store.states().items():
            if cell_id in self.winners:
                key = self.winners[cell_id][0]
                assert (row.state, row.epoch, row.attempt) == (CellState.DONE, *key[1:])
            elif row.state is CellState.DONE:
                key = (cell_id, row.epoch, row.attempt)
                assert key == self.newest[cell_id], "a result of an older attempt was let in"
                self.winners[cell_id] = key, self.published[key][1]

    def is_done(self, cell_id: str) -> bool:
        return self.store.states()[cell_id].state is CellState.DONE

    def expect_fresh_states(self) -> None:
        assert all(row.state is not CellState.RUNNING for row in self.store.states().values())
        self.done_is_final_and_won_by_the_newest_attempt()

    def teardown(self) -> None:
        """From wherever it stands, one more run brings every cell to its one result."""
        if not hasattr(self, "recorder"):
            self.folder.cleanup()
            return
        self.store.close()
        self.declared = list(CELLS)
        self.begin([2, 2, 1])
        while not self.recorder.queue.is_finished:
            pack = self.recorder.queue.next_pack()
            assert pack is not None
            for packed in pack.cells:
                self.newest[packed.cell.cell_id] = key_of(packed)
                self.publish(packed, 0.5)
                folder = str(self.published[key_of(packed)][0])
                self.tell(news(EventKind.CELL_FINISHED, pack.pack_id, packed, folder=folder))
            self.tell(Event(kind=EventKind.PACK_FINISHED, pack_id=pack.pack_id))
        self.done_is_final_and_won_by_the_newest_attempt()
        assert set(self.winners) == {spec.cell_id for spec in CELLS}
        self.check_results()
        self.store.close()
        self.folder.cleanup()

    def check_results(self) -> None:
        engine = schema.open_read_only(self.layout.root)
        with engine.connect() as connection:
            rows = connection.execute(schema.metrics.select().where(schema.metrics.c.name == "accuracy")).all()
            num_results = len(connection.execute(schema.results.select()).all())
        engine.dispose()
        assert {row.cell_id: row.value for row in rows} == {name: won[1] for name, won in self.winners.items()}
        assert num_results == len(rows) == len(CELLS)


def cut(cells: list[Any], sizes: list[int]) -> list[Batch]:
    """Batches of the given sizes; what is left makes the last one."""
    batches, start = [], 0
    for size in [*sizes, len(cells)]:
        if cells[start : start + size]:
            batches.append(batch(*cells[start : start + size]))
        start += size
    return batches


def news(kind: EventKind, pack_id: str, packed: PackedCell, /, **data: object) -> Event:
    event = Event(kind=kind, pack_id=pack_id, cell_id=packed.cell.cell_id, epoch=packed.epoch, attempt=packed.attempt)
    return replace(event, data=data)


RunMachine.TestCase.settings = settings(
    max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestRunMachine = RunMachine.TestCase


def test_a_zombie_of_an_earlier_run_does_not_speak_for_the_same_names() -> None:
    """The machine found this: pack and attempt numbers begin anew with every run, epochs do not."""
    machine = RunMachine()
    machine.first_run([3, 1, 1, 1, 1])
    machine.take_a_pack()
    machine.crash_and_begin_again({0, 1, 2}, [3, 1, 1, 1, 1])
    machine.take_a_pack()
    machine.finish_as_a_zombie(0, 0.25)
    machine.every_declared_cell_is_in_one_place_and_the_store_agrees()
    machine.teardown()
