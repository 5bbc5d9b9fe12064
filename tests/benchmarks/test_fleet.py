"""The simulated fleet: near the lower bound with the real planner, queue and splitter, and better than simpler ways."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

import pytest


def fleet() -> ModuleType:
    return import_module("fleet")


@cache
def ratio(policy: str, gpus: int) -> float:
    return float(fleet().simulate(fleet().grid_cells(1000), gpus, 1, policy).over_bound)


@pytest.mark.parametrize("gpus", [1, 8])
def test_within_five_percent_of_the_lower_bound(gpus: int) -> None:
    assert 1.0 <= ratio("finegrid", gpus) <= 1.05


def test_every_part_of_it_helps() -> None:
    assert ratio("finegrid", 8) < ratio("no splitting", 8) < ratio("FIFO packs", 8)
    assert ratio("finegrid", 8) < ratio("one cell a trial", 8) - 0.5


def test_the_bound_is_one() -> None:
    """A single cell on one device takes exactly what the bound says: start, load, its rounds alone."""
    module = fleet()
    cells = module.grid_cells(100)[:1]
    assert module.simulate(cells, 1, 0, "finegrid").over_bound == pytest.approx(1.0, abs=1e-9)
