"""The table of states: done is final, and every other state leads to it."""

import pytest

from grid.store.states import STEPS, IllegalStep, check_step
from jobs.spec import CellState


def test_every_state_has_an_entry():
    assert set(STEPS) == set(CellState)


def test_done_is_final():
    for following in CellState:
        with pytest.raises(IllegalStep):
            check_step("0" * 16, CellState.DONE, following)


def test_every_other_state_may_become_done_and_running():
    for present in set(CellState) - {CellState.DONE}:
        check_step("0" * 16, present, CellState.DONE)
        check_step("0" * 16, present, CellState.RUNNING)


def test_nothing_becomes_pending_again():
    for present in CellState:
        with pytest.raises(IllegalStep, match="cannot become pending"):
            check_step("0" * 16, present, CellState.PENDING)


def test_only_what_was_handed_out_is_interrupted():
    with pytest.raises(IllegalStep):
        check_step("0" * 16, CellState.PENDING, CellState.INTERRUPTED)
