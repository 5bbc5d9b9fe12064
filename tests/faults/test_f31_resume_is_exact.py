"""F31: stopped three times, within and between epochs, with dropout and shuffled rows; every bit as without a stop."""

from __future__ import annotations

import pytest

from tests.faults.conftest import CleanDump, MakeTiny
from tests.faults.interrupted import OFTEN, STEPWISE, cell_ids, resumed_from, stop_when_further

pytestmark = pytest.mark.faults

RECIPE = {"epochs": 90, "gradient_accumulation": 2, "eval_every": 7}


def test_f31_three_stops_change_no_bit(make_tiny: MakeTiny, clean_dump: CleanDump) -> None:
    """The dump holds hashes of weights, predictions and curves: no row was seen twice, none was left out."""
    axes = {"strategy": ["lora", "head", "full"], "seed": [0]}
    grid = make_tiny(
        axes={**axes, "strategy": ["lora"], "seed": [0]}, recipe=RECIPE, compute=STEPWISE, checkpoint=OFTEN
    )
    stops = [stop_when_further(grid, 1, by_steps=4) for _ in range(3)]
    (cell_id,) = cell_ids(grid)
    grid.run_until_done()
    assert resumed_from(grid, cell_id) == [stop[cell_id] for stop in stops]
    assert grid.dump() == clean_dump(grid)
