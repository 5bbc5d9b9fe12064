"""F30: the same cells again, in another order and in other packs, leave the same bytes."""

from __future__ import annotations

import json

import pytest

from tests.faults.conftest import MakeTiny

pytestmark = pytest.mark.faults


def test_f30_order_and_neighbours_change_no_byte(make_tiny: MakeTiny) -> None:
    first = make_tiny(folder="first")
    first.run_until_done(1)
    swapped = make_tiny(
        folder="swapped",
        axes={"seed": [1, 0], "strategy": ["qlora", "lora"]},
        compute={"slots": 1, "cpus_per_trial": 1},
    )
    swapped.run_until_done(1)
    cells = [set(grid.dump().splitlines()[1:]) for grid in (first, swapped)]
    assert len(cells[0]) == 4
    assert {without_compute(line) for line in cells[0]} == {without_compute(line) for line in cells[1]}


def without_compute(line: str) -> str:
    """How it was computed is declared as well, and differs here on purpose."""
    cell = json.loads(line)
    del cell["spec"]["compute"]
    return json.dumps(cell, sort_keys=True)
