"""What cells need from the hub: every repository is asked about once, and one refusal stops no other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from grid.hub_needs import hub_access, hub_needs, hub_places
from grid.patience import Patience
from jobs.errors import EnvironmentProblem, TransientProblem
from jobs.spec import CellSpec
from tests.grid.documents import cells_of


def cells() -> list[CellSpec]:
    axes = {"model": ["tiny-bert", "owner/a", "owner/b", "owner/c"], "seed": [0, 1]}
    return list(cells_of(axes=axes, dataset={"source": "hub", "id": "owner/rows"}))


def test_places_are_named_once() -> None:
    names = [(kind, location) for kind, location, _ in hub_places(cells())]
    assert sorted(names) == [("dataset", "owner/rows"), *(("model", f"owner/{letter}") for letter in "abc")]


def test_refusals_are_collected_and_not_asked_about_again() -> None:
    asked = []

    def access(kind: str, location: str, revision: str | None) -> Mapping[str, int]:
        asked.append(location)
        if location == "owner/a":
            raise EnvironmentProblem("gated")
        if kind == "dataset":
            raise TransientProblem("503")
        return {}

    no = EnvironmentProblem("no")
    found = hub_needs(cells(), refusals={("model", "owner/b"): no}, access=access, patience=Patience(0))
    assert sorted(asked) == ["owner/a", "owner/c", "owner/rows"]
    assert {name: str(error) for name, error in found.denied.items()} == {
        ("model", "owner/a"): "gated",
        ("model", "owner/b"): "no",
        ("dataset", "owner/rows"): "503",
    }
    assert found.to_fetch == () and found.num_bytes == 0


def test_on_a_cluster_models_are_looked_at_and_not_fetched_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("grid.hub.missing_files", lambda location, revision, cache: {"model.safetensors": 7})
    monkeypatch.setattr("grid.hub.check_access", lambda kind, location, revision: asked.append(location))
    assert hub_access(tmp_path, fetches=True)("model", "owner/a", "c" * 40) == {"model.safetensors": 7}
    assert hub_access(tmp_path, fetches=False)("model", "owner/a", "c" * 40) == {}
    assert hub_access(tmp_path, fetches=False)("model", "owner/b", None) == {}
    assert hub_access(tmp_path, fetches=True)("dataset", "owner/rows", None) == {}
    assert asked == ["owner/b"], "data has been read by then"
