"""What cells need from the hub: every repository is asked about once, and one refusal stops no other."""

from __future__ import annotations

from collections.abc import Mapping

from grid.hub_needs import hub_needs, hub_places
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
