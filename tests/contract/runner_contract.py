"""What every runner must do, as one test class that each runner's tests inherit.

Trials are `tests.fakes.trial`: a cell's variant is its script.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from grid.queue import Batch, Limits
from grid.recorder import Recorder
from grid.runner import Runner, Site
from jobs.spec import Event, EventKind, PackedCell
from jobs.storage import Layout
from tests.fakes.cells import batch, cell
from tests.fakes.store import MemoryStore

LIMITS = Limits(max_tries=3, backoff_s=0.1)


class Stage:
    """A runner, a store and a recorder over some batches."""

    def __init__(self, runner: Runner, site: Site, batches: list[Batch]) -> None:
        self.runner = runner
        self.store = MemoryStore()
        self.events: list[Event] = []
        self.times_s: list[float] = []
        self.recorder = Recorder(self.store, Layout(site.results), batches, epoch=1, watch=self._watch, limits=LIMITS)

    def _watch(self, event: Event, packed: PackedCell | None) -> None:
        self.events.append(event)
        self.times_s.append(time.monotonic())

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> Stage:
        self.runner.run_pass(self.recorder.queue, self.recorder.on_event, should_stop)
        return self

    def kinds(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]

    def has(self, kind: EventKind) -> bool:
        return any(event.kind is kind for event in self.events)


class RunnerContract:
    """Inherit, give a `site` and a `runner` fixture."""

    @pytest.fixture
    def stage(self, runner: Runner, site: Site) -> Callable[..., Stage]:
        return lambda *batches: Stage(runner, site, list(batches))

    def test_every_cell_is_done_and_a_failing_one_is_a_row(self, stage: Callable[..., Stage]) -> None:
        done = stage(
            batch(cell(1), cell(2, variant="fail.diverged"), cell(3)),
            batch(cell(4, variant="flaky"), base="base-b"),
            batch(cell(5, variant="oom_unless_alone"), cell(6)),
        ).run()
        assert done.store.dump() == {
            1: ("done", 0.1),
            2: ("failed", "diverged"),
            3: ("done", 0.3),
            4: ("done", 0.4),
            5: ("done", 0.5),
            6: ("done", 0.6),
        }
        assert done.recorder.queue.is_finished
        assert done.store.failures[cell(2).cell_id] == ("diverged", "scripted diverged")
        assert done.store.attempts[cell(4).cell_id] == 2

    def test_a_pack_that_raises_midway_costs_only_the_guilty_cell(
        self, stage: Callable[..., Stage], site: Site
    ) -> None:
        done = stage(batch(cell(1), cell(2, variant="raise.user"), cell(3))).run()
        assert done.store.dump() == {1: ("done", 0.1), 2: ("failed", "user"), 3: ("done", 0.3)}
        guilty = cell(2).cell_id
        assert done.store.failures[guilty] == ("user", "scripted user")
        log = (site.results / done.store.logs[guilty]).read_text("utf-8")
        assert "scripted user" in log and "Traceback" in log

    def test_told_to_stop_it_gives_everything_back_and_a_next_pass_finishes(self, stage: Callable[..., Stage]) -> None:
        stopped = stage(batch(cell(1), cell(2, variant="slow"), cell(3)), batch(cell(4), base="b", cpus=2))
        stopped.run(should_stop=lambda: stopped.has(EventKind.CELL_FINISHED))
        states = {number: state for number, (state, _) in stopped.store.dump().items()}
        assert states[1] == "done" and "running" not in states.values()
        assert not stopped.recorder.queue.is_finished and stopped.recorder.queue.num_running_packs == 0
        stopped.run()
        assert stopped.store.dump() == {n: ("done", n / 10) for n in (1, 2, 3, 4)}
        assert stopped.store.history.count("1 running") == 1

    def test_what_on_event_raises_ends_the_pass_and_reaches_the_caller(self, stage: Callable[..., Stage]) -> None:
        broken = stage(batch(cell(1), cell(2, variant="slow")))

        def full(folder: Path) -> bool:
            raise OSError("no space left on device")

        broken.store.ingest = full  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no space left"):
            broken.run()

    def test_a_second_pack_of_the_same_base_finds_the_process_warm(self, stage: Callable[..., Stage]) -> None:
        done = stage(batch(cell(1)), batch(cell(2)), batch(cell(3))).run()
        starts = done.kinds(EventKind.PACK_STARTED)
        assert len({event.data["pid"] for event in starts}) < 3
        assert max(event.data["packs_in_process"] for event in starts) >= 2
