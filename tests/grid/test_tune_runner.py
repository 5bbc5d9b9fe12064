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

    def test_killed_workers_cost_tries_and_no_cell(self, stage: Callable[..., Stage]) -> None:
        """Once killed: tried again. Killed after publishing: kept. Killing always: a row, after three tries."""
        done = stage(
            batch(cell(1), cell(2, variant="die_once"), cell(3)),
            batch(cell(4, variant="publish_and_die_once"), cell(5), base="b"),
            batch(cell(6, variant="die"), base="c"),
        ).run()
        assert done.store.dump() == {6: ("failed", "transient")} | {n: ("done", n / 10) for n in range(1, 6)}
        tries = {int(cell_id, 16): number for cell_id, number in done.store.attempts.items()}
        assert (tries[1], tries[2], tries[4], tries[6]) == (1, 2, 1, 3)
        assert done.store.failures[cell(6).cell_id][1].startswith("worker_died")

    def test_a_stop_reaches_a_cell_that_would_go_on_for_ever(self, stage: Callable[..., Stage]) -> None:
        stopped = stage(batch(cell(1, variant="hang"), cell(2)), batch(cell(3, variant="hang"), base="b", cpus=2))
        stopped.run(should_stop=lambda: stopped.has(EventKind.HEARTBEAT))
        assert {state for state, _ in stopped.store.dump().values()} == {"interrupted"}
        threads = {event.data["threads"] for event in stopped.kinds(EventKind.PACK_STARTED)}
        assert threads == {"1"}  # those of its pack, not all of the machine


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


def test_an_address_where_nobody_answers_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from grid.tune_runner import RayConnection

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(EnvironmentProblem, match="nobody answers at RAY_ADDRESS=127"):
        RayConnection(Devices(cpus=1), tmp_path / "logs").check()


def test_what_ray_prints_goes_to_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from grid.tune_runner.connection import RayLog

    log = RayLog(tmp_path / "logs")
    log.open()
    print("(raylet) A worker died")
    log.close()
    print("a result")
    assert capsys.readouterr().out == "a result\n"
    assert "(raylet) A worker died" in (tmp_path / "logs" / "ray.log").read_text("utf-8")


def test_folders_of_killed_runs_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from grid.tune_runner import temporary

    monkeypatch.setattr(temporary, "_MAX_PATH", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, mine = tmp_path / "finegrid-ray-999999999-abc", temporary.temporary_folder()
    left.mkdir()
    assert temporary.temporary_folder().is_dir() and mine.is_dir() and not left.exists()
