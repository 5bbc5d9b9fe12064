"""F34: a branch of the hub moves between two runs: the commit of the first run stays in store and identity."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.hub import FakeHub
from tests.faults.hub_grids import MODEL_FILES, hub_grid, rows_file


def test_f34_a_second_run_goes_on_with_the_commits_of_the_first(tmp_path: Path) -> None:
    with FakeHub() as hub:
        grid = hub_grid(hub, tmp_path)
        assert grid.run().returncode == 0
        old = set(hub.repo("model", "owner/bert").commits) | set(hub.repo("dataset", "owner/emo").commits)  # type: ignore[union-attr]
        hub.commit("model", "owner/bert", {**MODEL_FILES, "model.safetensors": b"\1" * 20_000})
        hub.commit("dataset", "owner/emo", rows_file("other"))
        hub.requests.clear()

        finished = grid.run("--set", "axes.seed=[0,1]")
        assert finished.returncode == 0, finished.stderr
        assert grid.count("done") == 2 and len(grid.states()) == 2, "the finished cell is still the same cell"
        assert not any("/revision/main" in request.path for request in hub.requests), "nobody asked where main is now"

        fresh = grid.elsewhere(tmp_path / "fresh")
        assert fresh.run("--set", "axes.seed=[0,1]").returncode == 0
        new = set(hub.repo("model", "owner/bert").commits) - old  # type: ignore[union-attr]
        assert set(fresh.result_folders()).isdisjoint(grid.result_folders())
        assert {folder.parent.name for folder in fresh.result_folders()}.isdisjoint(
            folder.parent.name for folder in grid.result_folders()
        ), "another commit is another cell"
        assert any(commit in fresh.dump() for commit in new) and not any(commit in grid.dump() for commit in new)
