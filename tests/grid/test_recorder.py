"""The recorder: the store first, stale news dropped, damaged results tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.queue import Limits
from grid.recorder import Recorder
from grid.store import Store
from jobs.spec import CellState, Event, EventKind, FailureKind, PackedCell, PackSpec
from jobs.storage import Layout, publish
from tests.fakes.cells import batch, cell
from tests.fakes.store import MemoryStore
from tests.fakes.trial import result


class Books:
    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.store = MemoryStore()
        self.seen: list[Event] = []
        self.recorder = Recorder(
            self.store,
            self.layout,
            [batch(cell(1), cell(2))],
            epoch=3,
            watch=lambda event, packed: self.seen.append(event),
            limits=Limits(backoff_s=0.0),
        )

    def take(self) -> PackSpec:
        pack = self.recorder.queue.next_pack()
        assert pack is not None
        return pack

    def tell(self, pack: PackSpec, kind: EventKind, packed: PackedCell | None = None, /, **data: object) -> None:
        ids = {} if packed is None else {"cell_id": packed.cell.cell_id, "attempt": packed.attempt}
        self.recorder.on_event(Event(kind=kind, pack_id=pack.pack_id, data=data, **ids))


def test_a_pack_is_in_the_store_before_a_runner_has_it(tmp_path: Path) -> None:
    books = Books(tmp_path)
    pack = books.take()
    assert books.store.dump() == {1: ("running", None), 2: ("running", None)}
    assert [(p.epoch, p.attempt) for p in pack.cells] == [(3, 1), (3, 1)]


def test_news_of_an_ended_pack_is_dropped(tmp_path: Path) -> None:
    books = Books(tmp_path)
    pack = books.take()
    books.tell(pack, EventKind.PACK_LOST, kind="user", reason="no such column")
    folder = publish(books.layout, result(pack.cells[0]), {})
    books.tell(pack, EventKind.CELL_FINISHED, pack.cells[0], folder=str(folder))
    assert books.store.dump() == {1: ("failed", "user"), 2: ("failed", "user")}


def test_a_published_result_counts_even_if_its_trial_never_told(tmp_path: Path) -> None:
    books = Books(tmp_path)
    pack = books.take()
    publish(books.layout, result(pack.cells[0]), {})
    books.tell(pack, EventKind.PACK_LOST, kind="user", reason="no such column")
    assert books.store.dump() == {1: ("done", 0.1), 2: ("failed", "user")}
    assert [event.kind for event in books.seen if event.cell_id == cell(1).cell_id] == [EventKind.CELL_FINISHED]


def test_a_damaged_result_is_a_transient_failure(tmp_path: Path) -> None:
    books = Books(tmp_path)
    pack = books.take()
    folder = publish(books.layout, result(pack.cells[0]), {})
    (folder / "result.json").write_text("{}", encoding="utf-8")
    books.tell(pack, EventKind.CELL_FINISHED, pack.cells[0], folder=str(folder))
    assert books.store.dump()[1] == ("failed", "transient")
    assert [p.cell.seed for p in books.take().cells] == [1]


def test_the_view_hears_of_cells_that_fail_with_their_pack(tmp_path: Path) -> None:
    books = Books(tmp_path)
    pack = books.take()
    books.tell(pack, EventKind.PACK_LOST, kind="environment", reason="no such model")
    failed = [event for event in books.seen if event.kind is EventKind.CELL_FAILED]
    assert [event.data["reason"] for event in failed] == ["no such model"] * 2
    assert books.store.logs[cell(1).cell_id] == "logs/3-p00001.jsonl"


class RealBooks:
    """One cell, handed out, with the real store behind the recorder."""

    def __init__(self, root: Path) -> None:
        self.store = Store.open(root, grid="toy")
        self.store.claim("{}")
        self.store.declare([cell(1)])
        self.seen: list[Event] = []
        self.recorder = Recorder(
            self.store,
            self.store.layout,
            [batch(cell(1))],
            epoch=1,
            watch=lambda event, packed: self.seen.append(event),
            limits=Limits(backoff_s=0.0),
        )
        pack = self.recorder.queue.next_pack()
        assert pack is not None
        self.pack, self.packed = pack, pack.cells[0]

    def publish(self) -> None:
        publish(self.store.layout, result(self.packed), {})

    def tell(self, kind: EventKind, /, **data: object) -> None:
        cell_id = None if kind in (EventKind.PACK_LOST, EventKind.PACK_FINISHED) else self.packed.cell.cell_id
        self.recorder.on_event(Event(kind=kind, pack_id=self.pack.pack_id, cell_id=cell_id, data=data))

    def check_done(self) -> None:
        """Done in the store, finished in the queue, and told so: nothing is handed out again."""
        assert self.store.states()[self.packed.cell.cell_id].state is CellState.DONE
        assert self.recorder.queue.next_pack() is None
        assert self.recorder.queue.is_finished
        assert [event.kind for event in self.seen if event.cell_id] == [EventKind.CELL_FINISHED]
        assert "folder" in next(event.data for event in self.seen if event.cell_id)


@pytest.mark.parametrize("kind", [EventKind.CELL_FAILED, EventKind.CELL_INTERRUPTED])
def test_a_cell_that_failed_behind_its_published_result_is_done(tmp_path: Path, kind: EventKind) -> None:
    """Such as one whose manifest reached the object store, but not the answer to it."""
    books = RealBooks(tmp_path)
    with books.store:
        books.publish()
        books.tell(kind, kind=str(FailureKind.TRANSIENT), reason="the server cannot be reached")
        books.tell(EventKind.PACK_FINISHED)
        books.check_done()


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.BUG])
def test_a_result_that_comes_between_the_loss_of_its_pack_and_the_verdict_counts(
    tmp_path: Path, kind: FailureKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was given up on may live, and publish in this very moment."""
    books = RealBooks(tmp_path)
    with books.store:
        monkeypatch.setattr(books.recorder, "_recover", lambda pack_id: books.publish())
        books.tell(EventKind.PACK_LOST, kind=str(kind), reason="silent")
        books.check_done()
