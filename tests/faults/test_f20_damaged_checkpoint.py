"""F20: cut, empty and bit-flipped checkpoints are found by their hashes, renamed and told; the older one is used."""

from __future__ import annotations

import os
from pathlib import Path

from jobs.checkpoints import DAMAGED_SUFFIX
from tests.faults.conftest import CleanDump, MakeTiny
from tests.faults.interrupted import LONG, OFTEN, STEPWISE, cell_ids, checkpoints, resumed_from, stop_when_further, told

TENSORS = "tensors.safetensors"


def cut(folder: Path) -> None:
    path = folder / TENSORS
    os.truncate(path, path.stat().st_size // 2)


def empty(folder: Path) -> None:
    os.truncate(folder / "state.json", 0)


def flip(folder: Path) -> None:
    with (folder / TENSORS).open("r+b") as file:
        file.seek(-9, os.SEEK_END)
        (byte,) = file.read(1)
        file.seek(-9, os.SEEK_END)
        file.write(bytes([byte ^ 1]))


def test_f20_damaged_checkpoints_cost_an_interval_and_no_number(make_tiny: MakeTiny, clean_dump: CleanDump) -> None:
    axes, keep = {"strategy": ["lora"], "seed": [0]}, {**OFTEN, "keep": 4}
    grid = make_tiny(axes=axes, recipe=LONG, compute=STEPWISE, checkpoint=keep)
    stop_when_further(grid, 1, by_steps=8)
    (cell_id,) = cell_ids(grid)
    (whole, _), *damaged = checkpoints(grid, cell_id)
    for (_, folder), damage in zip(damaged, (cut, empty, flip), strict=True):
        damage(folder)

    grid.run_until_done()
    lines = told(grid, "checkpoint_damaged")
    assert {line["level"] for line in lines} == {"warning"}
    assert [line["step"] for line in lines] == [name.step for name, _ in reversed(damaged)]
    for line, (_, folder) in zip(lines, reversed(damaged), strict=True):
        assert f"{folder.name}{DAMAGED_SUFFIX}" in line["message"]
    assert resumed_from(grid, cell_id) == [whole.step]
    assert grid.dump() == clean_dump(grid)
    assert cell_ids(grid) == []
