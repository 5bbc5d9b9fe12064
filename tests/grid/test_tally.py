"""Counting a run from its events: every cell in one state, late events change nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.tally import Tally
from jobs.spec import CellState, Event, EventKind
from tests.jobs.samples import cell

CELLS = [cell(number) for number in range(1, 5)]


def event(kind, number=None, *, pack="p", **data):
    return Event(kind=kind, pack_id=pack, cell_id=cell(number).cell_id if number else None, data=data)


@pytest.fixture
def tally():
    tally = Tally()
    tally.plan(CELLS, done=3, waiting=1)
    return tally


def test_cells_move_from_state_to_state(tally):
    assert not tally.take(event(EventKind.CELL_STARTED, 1))
    tally.take(event(EventKind.CELL_STARTED, 2))
    assert tally.take(event(EventKind.CELL_FINISHED, 1))
    assert tally.take(event(EventKind.CELL_FAILED, 2))
    assert +tally.counts == {CellState.DONE: 1, CellState.FAILED: 1, CellState.PENDING: 2}


def test_a_retried_cell_is_running_again_and_then_done_once(tally):
    for kind in (EventKind.CELL_STARTED, EventKind.CELL_FAILED, EventKind.CELL_STARTED, EventKind.CELL_FINISHED):
        tally.take(event(kind, 1))
    assert not tally.take(event(EventKind.CELL_FINISHED, 1))
    assert not tally.take(event(EventKind.CELL_FAILED, 1))
    assert (tally.counts[CellState.DONE], tally.counts[CellState.FAILED], tally.num_over) == (1, 0, 1)


@pytest.mark.parametrize("kind", [EventKind.PACK_LOST, EventKind.PACK_FINISHED])
def test_what_a_pack_leaves_running_is_interrupted(tally, kind):
    tally.take(event(EventKind.CELL_STARTED, 1))
    tally.take(event(EventKind.CELL_STARTED, 2, pack="q"))
    tally.take(event(kind))
    assert tally.counts[CellState.INTERRUPTED] == 1
    assert tally.counts[CellState.RUNNING] == 1


def test_unknown_cells_and_events_change_nothing(tally):
    before = tally.counts.copy()
    assert not tally.take(event(EventKind.CELL_FINISHED, 99))
    tally.take(event(EventKind.PACK_STARTED))
    assert tally.counts == before


def test_steps_count_as_part_of_the_work(tally):
    assert tally.share() == 0
    tally.take(event(EventKind.HEARTBEAT, live=2, waiting=0, finished=0, step=50, total_steps=100))
    assert tally.share() == 0.25
    tally.take(event(EventKind.CELL_STARTED, 1))
    tally.take(event(EventKind.CELL_FINISHED, 1))
    tally.take(event(EventKind.HEARTBEAT, live=1, waiting=0, finished=1, step=75, total_steps=100))
    assert tally.share() == 0.375
    tally.take(event(EventKind.HEARTBEAT))
    assert tally.share() == 0.25


def test_a_run_without_cells_is_complete():
    tally = Tally()
    tally.plan([], done=5, waiting=0)
    assert tally.share() == 1


KINDS = st.sampled_from(list(EventKind))


@given(st.lists(st.tuples(KINDS, st.integers(1, 6), st.sampled_from("pq"), st.floats(0, 200), st.integers(0, 200))))
def test_no_sequence_of_events_loses_or_doubles_a_cell(steps):
    tally = Tally()
    tally.plan(CELLS, done=0, waiting=0)
    num_over = 0
    done = set()
    for kind, number, pack, step, total in steps:
        now = event(kind, number, pack=pack, live=number, step=step, total_steps=total)
        num_over += tally.take(now)
        done |= {cell_id for cell_id, state in tally.states.items() if state is CellState.DONE}
        assert sum(tally.counts.values()) == len(CELLS)
        assert all(count >= 0 for count in tally.counts.values())
        assert 0 <= tally.share() <= 1
        assert all(tally.states[cell_id] is CellState.DONE for cell_id in done)
    assert num_over >= tally.num_over
