"""The Ray Tune runner keeps the runner contract, and survives what only processes can suffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grid.devices import Devices
from grid.runner import Site
from jobs.errors import EnvironmentProblem
from jobs.spec import EventKind
from tests.contract.runner_contract import RunnerContract, Stage
from tests.fakes.cells import batch, cell

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def ray_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    from grid.tune_runner import RayConnection

    with RayConnection(Devices(cpus=2), tmp_path_factory.mktemp("logs")):
        yield


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(results=tmp_path / "results", cache=tmp_path / "cache", trial_module="tests.fakes.trial")


@pytest.fixture
def runner(ray_here: None, site: Site) -> Iterator[object]:
    from grid.tune_runner import TuneRunner

    runner = TuneRunner(site)
    yield runner
    runner.close()


class TestTuneRunner(RunnerContract):
    pass

    def test_a_worker_killed_once_costs_a_try_and_no_cell(self, stage: Callable[..., Stage]) -> None:
        done = stage(batch(cell(1), cell(2, variant="die_once"), cell(3))).run()
        assert done.store.dump() == {1: ("done", 0.1), 2: ("done", 0.2), 3: ("done", 0.3)}
        assert done.store.failures[cell(2).cell_id][1].startswith("worker_died")
        assert done.store.history.count("1 running") == 1

    def test_a_result_published_just_before_its_worker_died_is_kept(self, stage: Callable[..., Stage]) -> None:
        done = stage(batch(cell(1, variant="publish_and_die_once"), cell(2))).run()
        assert done.store.dump() == {1: ("done", 0.1), 2: ("done", 0.2)}
        assert done.store.attempts[cell(1).cell_id] == 1

    def test_a_cell_that_always_kills_its_worker_ends_as_a_row(self, stage: Callable[..., Stage]) -> None:
        killer = stage(batch(cell(1, variant="die")), batch(cell(2), base="b"))
        killer.run()
        assert killer.store.dump() == {1: ("failed", "transient"), 2: ("done", 0.2)}
        assert killer.store.attempts[cell(1).cell_id] == 3

    def test_a_stop_reaches_a_cell_that_would_go_on_for_ever(self, stage: Callable[..., Stage]) -> None:
        stopped = stage(batch(cell(1, variant="hang"), cell(2)), batch(cell(3, variant="hang"), base="b", cpus=2))
        stopped.run(should_stop=lambda: stopped.has(EventKind.HEARTBEAT))
        assert {state for state, _ in stopped.store.dump().values()} == {"interrupted"}

    def test_a_worker_has_the_threads_of_its_pack(self, stage: Callable[..., Stage]) -> None:
        done = stage(batch(cell(1), cpus=2)).run()
        assert [event.data["threads"] for event in done.kinds(EventKind.PACK_STARTED)] == ["2"]


def test_what_fits_on_no_machine_is_refused_instead_of_waiting(runner: object, site: Site) -> None:
    stage = Stage(runner, site, [batch(cell(1), cpus=64)])
    with pytest.raises(EnvironmentProblem, match="64 CPUs"):
        stage.run()


def test_a_private_ray_is_refused_beside_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from grid.tune_runner import RayConnection, connection

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(connection, "read_ray_address", lambda: "10.0.0.1:6379")
    monkeypatch.setattr(connection.services, "find_gcs_addresses", lambda: frozenset({"10.0.0.1:6379"}))
    with pytest.raises(EnvironmentProblem, match="RAY_ADDRESS=auto"):
        RayConnection(Devices(cpus=1), tmp_path / "logs").check()
    monkeypatch.setattr(connection.services, "find_gcs_addresses", lambda: frozenset())
    RayConnection(Devices(cpus=1), tmp_path / "logs").check()
    assert not (tmp_path / "logs").exists()
