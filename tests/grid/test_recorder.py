"""The recorder: the store first, stale news dropped, damaged results tried again."""

from __future__ import annotations

from pathlib import Path

from grid.queue import Limits
from grid.recorder import Recorder
from jobs.spec import Event, EventKind, PackedCell, PackSpec
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
