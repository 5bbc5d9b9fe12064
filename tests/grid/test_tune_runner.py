"""The Ray Tune runner keeps the runner contract, and survives what only processes can suffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grid.devices import Devices
from grid.queue import Limits
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
