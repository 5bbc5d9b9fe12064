"""A run whose environment is at fault for everything stops early; one in which something works goes on."""

from __future__ import annotations

from grid.fault_watch import MAX_PACKS, EnvironmentWatch
from jobs.spec import Event, EventKind, FailureKind


def failure(pack: int, kind: FailureKind = FailureKind.ENVIRONMENT, event: EventKind = EventKind.CELL_FAILED) -> Event:
    return Event(kind=event, pack_id=f"p{pack}", cell_id="c", data={"kind": str(kind), "reason": "CUDA is broken."})


def watch_of(*events: Event) -> EnvironmentWatch:
    watch = EnvironmentWatch()
    for event in events:
        watch.on_event(event)
    return watch


def test_several_packs_in_a_row_stop_the_run_with_advice() -> None:
    watch = watch_of(*(failure(n) for n in range(MAX_PACKS)))
    assert watch.must_stop() and watch.reason is not None
    assert "CUDA is broken. Mend this" in watch.reason and "same command" in watch.reason


def test_many_cells_of_one_pack_are_no_proof() -> None:
    assert not watch_of(*(failure(1) for _ in range(20))).must_stop()


def test_a_finished_cell_or_another_kind_of_failure_begins_the_count_anew() -> None:
    done = Event(kind=EventKind.CELL_FINISHED, pack_id="p2", cell_id="d")
    for between in (done, failure(2, FailureKind.DIVERGED)):
        assert not watch_of(failure(1), failure(2), between, failure(3), failure(4)).must_stop()


def test_a_lost_worker_in_between_proves_nothing() -> None:
    lost = failure(2, FailureKind.TRANSIENT, EventKind.PACK_LOST)
    assert watch_of(failure(1), failure(2), lost, failure(3, event=EventKind.PACK_LOST)).must_stop()
