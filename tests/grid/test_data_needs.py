"""Data sets to fetch: each is announced once with its size, and refused where the disk has no room for them."""

from __future__ import annotations

import io
from collections import namedtuple
from pathlib import Path

import pytest
from rich.console import Console

from grid.data_needs import COPIES, announce_data
from jobs.data.hub import is_kept
from jobs.errors import EnvironmentProblem, Problem
from jobs.spec import CellSpec, DataSpec
from tests.grid.documents import cells_of


def cells(*names: str) -> list[CellSpec]:
    made = (cells_of(axes={"seed": [0, 1]}, dataset={"source": "hub", "id": name}) for name in names)
    return [cell for group in made for cell in group]


def announced(declared: list[CellSpec], folder: Path, size: int, *, kept: bool = False) -> tuple[str, list[Problem]]:
    out = io.StringIO()
    console = Console(file=out, width=200)
    problems = announce_data(
        declared,
        cache=folder,
        console=console,
        refused={("dataset", "owner/refused")},
        size=lambda data: size,
        is_kept=lambda data, cache: kept,
    )
    return out.getvalue(), problems


def test_each_is_named_once_with_its_size_and_refused_ones_are_not(tmp_path: Path) -> None:
    text, problems = announced(cells("owner/a", "owner/b", "owner/refused"), tmp_path, 2_500_000)
    assert text.splitlines() == [
        "Fetching the data set owner/a (2.5 MB)",
        "Fetching the data set owner/b (2.5 MB)",
    ]
    assert problems == []


def test_what_is_kept_is_not_fetched(tmp_path: Path) -> None:
    assert announced(cells("owner/a"), tmp_path, 10**15, kept=True) == ("", [])


def test_no_room_is_a_problem_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10**12, 0, 4_000_000_000)
    monkeypatch.setattr("grid.data_needs.shutil.disk_usage", lambda path: usage)
    assert announced(cells("owner/a"), tmp_path, 4_000_000_000 // COPIES)[1] == []
    [problem] = announced(cells("owner/a", "owner/b"), tmp_path, 1_000_000_000)[1]
    assert "6.0 GB are needed for data sets and 4.0 GB are free" in str(problem)


def test_what_the_hub_does_not_answer_is_left_to_the_reader(tmp_path: Path) -> None:
    def size(data: DataSpec) -> int:
        raise EnvironmentProblem("gated")

    console = Console(file=io.StringIO())
    declared = cells("owner/a")
    assert announce_data(declared, cache=tmp_path, console=console, size=size, is_kept=lambda *_: False) == []


def test_rows_count_as_kept_by_their_commit(tmp_path: Path) -> None:
    assert not is_kept(cells("owner/a")[0].data, tmp_path)
    assert is_kept(cells_of()[0].data, tmp_path)
