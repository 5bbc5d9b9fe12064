"""`finegrid prefetch`: on a login node with a network, then a run without one; the same cells either way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.models.tiny import tiny_folder
from tests.fakes.hub import FakeHub
from tests.faults.harness import REAL, armed
from tests.faults.hub_grids import MODEL_FILES, hub_grid, nothing_created, rows_file


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


def test_prefetch_then_run_without_network(hub: FakeHub, tmp_path: Path) -> None:
    grid = hub_grid(hub, tmp_path)
    fetched = grid.command("prefetch", str(grid.config), "--results", str(grid.folder), "--json")
    assert fetched.returncode == 0, fetched.stderr
    assert [(item["kind"], item["name"]) for item in fetched.json["ready"]] == [
        ("model", "owner/bert"),
        ("dataset", "owner/emo"),
    ]
    assert fetched.json["fetched_bytes"] >= 20_000 and nothing_created(grid)

    # Another tool moves the branch in the shared cache, and so does the hub: what was fetched stays what runs.
    hub.commit("model", "owner/bert", {**MODEL_FILES, "config.json": b'{"model_type": "bert", "new": 1}'})
    reference = tmp_path / "caches" / "huggingface" / "hub" / "models--owner--bert" / "refs" / "main"
    reference.parent.mkdir(exist_ok=True)
    reference.write_text("f" * 40, encoding="utf-8")
    hub.requests.clear()
    ran = grid.run(env={"HF_HUB_OFFLINE": "1"})
    assert ran.returncode == 0, ran.stderr
    assert hub.requests == []
    revisions = {item["revision"] for item in fetched.json["ready"]}
    assert all(revision in grid.dump() for revision in revisions)


def test_half_a_model_is_noticed_without_network_and_completed_with_one(hub: FakeHub, tmp_path: Path) -> None:
    grid = hub_grid(hub, tmp_path)
    command = ("prefetch", str(grid.config), "--results", str(grid.folder))
    assert grid.command(*command).returncode == 0
    (weights,) = (tmp_path / "caches" / "huggingface").rglob("snapshots/*/model.safetensors")
    weights.resolve().unlink()
    offline = grid.run(env={"HF_HUB_OFFLINE": "1"})
    assert offline.returncode == 3 and "model owner/bert is not cached" in offline.stderr
    again = grid.command(*command, "--json")
    assert again.returncode == 0 and again.json["fetched_bytes"] == 20_000
    shutil.rmtree(tmp_path / "caches" / "finegrid" / "fetched")
    assert grid.run(env={"HF_HUB_OFFLINE": "1"}).returncode == 0, "a cache that another tool filled serves as well"


def test_refusals_and_wrong_configs(hub: FakeHub, tmp_path: Path) -> None:
    hub.add_repo("model", "owner/gated", MODEL_FILES, gated=True)
    grid = hub_grid(hub, tmp_path, axes={"model": ["owner/gated", "owner/bert"]})
    refused = grid.command("prefetch", str(grid.config), "--results", str(grid.folder), "--json")
    assert refused.returncode == 3 and "is gated" in json.dumps(refused.json)
    some = grid.command("prefetch", str(grid.config), "--skip-unavailable", "--json")
    assert some.returncode == 0 and list(some.json["unavailable"]) == ["owner/gated"]
    assert grid.command("prefetch", str(grid.config), "--set", "recipe.epochs=-1").returncode == 2
    local = grid.command("prefetch", "demo")
    assert local.returncode == 0 and "needs nothing from the hub" in local.stdout


def test_a_prefetch_killed_between_files_goes_on_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    grid = hub_grid(hub, tmp_path)
    command = ("prefetch", str(grid.config), "--json")
    killed = grid.command(*command, env=armed("hub.file_fetched"))
    assert killed.returncode == -9
    assert grid.run(env={"HF_HUB_OFFLINE": "1"}).returncode == 3, "half a model is no model"
    again = grid.command(*command)
    assert again.returncode == 0, again.stderr
    assert grid.run(env={"HF_HUB_OFFLINE": "1"}).returncode == 0


@pytest.mark.faults
def test_a_real_model_of_the_hub_trains_through_ray_without_network(hub: FakeHub, tmp_path: Path, cache: Path) -> None:
    folder = tiny_folder("bert", cache)
    hub.add_repo("model", "owner/bert", {path.name: path.read_bytes() for path in folder.iterdir()})
    hub.add_repo("dataset", "owner/emo", rows_file())
    small = {
        "variants": None,
        "axes": {"variant": None},
        "recipe": {"epochs": 1, "batch_size": 4, "max_length": 16},
        "compute": {"numerics": "exact", "device": "cpu", "cost_probe": False},
    }
    grid = hub_grid(hub, tmp_path, trial_module=REAL, fills=False, **small)
    assert grid.command("prefetch", str(grid.config)).returncode == 0
    hub.requests.clear()
    ran = grid.through_ray().run(env={"HF_HUB_OFFLINE": "1"})
    assert ran.returncode == 0, ran.stderr
    # The same with the hub there: nobody but preflight asks it, and the cell is the same.
    online = grid.elsewhere(tmp_path / "online").run()
    assert online.returncode == 0, online.stderr
    asked = [request.path for request in hub.requests]
    assert asked and all("/revision/main" in path or path.startswith("/api/") for path in asked), asked
    assert grid.elsewhere(tmp_path / "online").dump() == grid.dump()
