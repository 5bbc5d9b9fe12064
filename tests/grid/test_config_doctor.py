"""`finegrid doctor CONFIG`: everything a run would look at before its first trial, and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.faults.hub_grids import hub_grid, nothing_created


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


def test_doctor_of_a_config_says_all_and_creates_nothing(hub: FakeHub, tmp_path: Path) -> None:
    grid = hub_grid(hub, tmp_path)
    command = ("doctor", str(grid.config), "--results", str(grid.folder), "--local", "--json")
    fine = grid.command(*command)
    assert fine.returncode == 0, fine.stderr
    facts = fine.json["facts"]
    assert facts["cells"] == "1 declared, 0 done, 1 to run" and "owner/bert" in facts["to be fetched"]
    assert {"ray", "torch", "bitsandbytes", "devices", "hub's cache", "HF_TOKEN"} <= set(facts)
    assert not any(request.path.endswith("model.safetensors") for request in hub.requests)

    bad = grid.command(*command, "--set", "compute={device: cuda}", env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert bad.returncode == 3
    assert {problem["path"] for problem in bad.json["problems"]} == {"compute.device", "axes.model", "dataset.id"}
    assert grid.command(*command, "--set", "axes.num_labels=[64]").returncode == 2
    assert nothing_created(grid)
