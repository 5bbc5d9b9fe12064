"""F32: the hub is offline, closed or busy: downloads happen in preflight, trials need none, messages name the cache."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.faults.hub_grids import hub_grid, nothing_created


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


def test_f32_everything_is_fetched_before_the_first_trial_and_serves_without_a_hub(
    hub: FakeHub, tmp_path: Path
) -> None:
    grid = hub_grid(hub, tmp_path)
    finished = grid.run()
    assert finished.returncode == 0, finished.stderr
    assert "Fetched owner/bert" in finished.stderr
    fetched = {request.path for request in hub.requests if "/resolve/" in request.path}
    assert any(path.endswith("model.safetensors") for path in fetched)
    assert not any(path.endswith(("pytorch_model.bin", "README.md")) for path in fetched if "/owner/bert/" in path)

    again = grid.elsewhere(tmp_path / "again")
    hub.requests.clear()
    offline = again.run(env={"HF_HUB_OFFLINE": "1"})
    assert offline.returncode == 0, offline.stderr
    assert hub.requests == []
    assert again.dump() == grid.dump()


def test_f32_offline_without_a_cache_names_the_cache_and_the_way_out(hub: FakeHub, tmp_path: Path) -> None:
    grid = hub_grid(hub, tmp_path)
    for env in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        finished = grid.run("--json", env=env)
        assert finished.returncode == 3, finished.stderr
        assert {problem["path"] for problem in finished.json["problems"]} == {"axes.model", "dataset.id"}
        assert "is not cached and the hub cannot be reached" in finished.stderr
        assert str(tmp_path / "caches" / "huggingface") in finished.stderr
        assert "finegrid prefetch" in finished.stderr
        assert nothing_created(grid)
    assert hub.requests == []


@pytest.mark.parametrize("status", [429, 503])
def test_f32_a_busy_hub_is_asked_again_within_a_budget(hub: FakeHub, tmp_path: Path, status: int) -> None:
    grid = hub_grid(hub, tmp_path)
    hub.broken_status = status
    began_s = time.monotonic()
    refused = grid.run(env={"FINEGRID_HUB_PATIENCE_S": "2"})
    assert refused.returncode == 3, refused.stderr
    assert f"the hub answered {status}" in refused.stderr and "next try in 1 s" in refused.stderr
    assert "what was fetched stays in" in refused.stderr
    assert time.monotonic() - began_s < 30
    assert nothing_created(grid)


def test_f32_a_hub_that_recovers_in_time_is_waited_for(hub: FakeHub, tmp_path: Path) -> None:
    grid = hub_grid(hub, tmp_path)
    hub.busy_answers = 2
    finished = grid.run(env={"FINEGRID_HUB_PATIENCE_S": "60"})
    assert finished.returncode == 0, finished.stderr
    assert "next try in" in finished.stderr


@pytest.mark.faults
def test_f32_a_hub_that_is_too_slow_is_not_waited_for_without_end(hub: FakeHub, tmp_path: Path) -> None:
    grid = hub_grid(hub, tmp_path)
    hub.delay_s = 40.0
    began_s = time.monotonic()
    refused = grid.run(timeout_s=110)
    assert refused.returncode == 3, refused.stderr
    assert "did not answer in time" in refused.stderr and "what was fetched stays in" in refused.stderr
    assert time.monotonic() - began_s < 90
    assert nothing_created(grid)
