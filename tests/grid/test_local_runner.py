"""The in-process runner keeps the runner contract; a keyboard interrupt ends the trial under way."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from grid.local_runner import LocalRunner
from grid.runner import Site
from tests.contract.runner_contract import RunnerContract, Stage
from tests.fakes.cells import batch, cell


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(results=tmp_path / "results", cache=tmp_path / "cache", trial_module="tests.fakes.trial")


@pytest.fixture
def runner(site: Site) -> LocalRunner:
    return LocalRunner(site)


class TestLocalRunner(RunnerContract):
    pass


def test_a_stop_before_the_first_pack_hands_nothing_out(runner: LocalRunner, site: Site) -> None:
    stage = Stage(runner, site, [batch(cell(1))])
    stage.run(should_stop=lambda: True)
    assert stage.store.dump() == {} and not stage.recorder.queue.is_finished


def test_a_hanging_cell_ends_by_the_stop_command(runner: LocalRunner, site: Site) -> None:
    stage = Stage(runner, site, [batch(cell(1, variant="hang"), cell(2))])
    stage.run(should_stop=lambda: len(stage.events) > 5)
    assert stage.store.dump() == {1: ("interrupted", None), 2: ("interrupted", None)}


def test_a_keyboard_interrupt_passes_and_the_trial_is_closed(runner: LocalRunner, site: Site) -> None:
    stage = Stage(runner, site, [batch(cell(1, variant="hang"))])

    def interrupted() -> bool:
        if len(stage.events) > 3:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        stage.run(should_stop=interrupted)


def test_a_module_that_cannot_be_imported_fails_the_cells_not_the_runner(tmp_path: Path) -> None:
    site = Site(results=tmp_path, cache=tmp_path, trial_module="tests.fakes.no_such_trial")
    stage = Stage(LocalRunner(site), site, [batch(cell(1), cell(2))]).run()
    assert stage.store.dump() == {1: ("failed", "bug"), 2: ("failed", "bug")}


def test_a_library_does_not_advise_people_to_install_what_nobody_needs(runner: LocalRunner) -> None:
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)
