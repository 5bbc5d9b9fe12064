"""F3: SIGKILL while a checkpoint or a result is written. The older checkpoint is used, nothing half-written is seen."""

from __future__ import annotations

import signal

import pytest

from jobs.durable import verify_folder
from tests.faults.conftest import CleanDump, MakeTiny
from tests.faults.harness import armed
from tests.faults.interrupted import OFTEN, STEPWISE, cell_ids, checkpoints, resumed_from, told


@pytest.mark.parametrize(
    "point",
    [
        "ckpt.before_replace",
        pytest.param("ckpt.file_written", marks=pytest.mark.faults),
        # In CI results are killed by F6 and tests/grid/store/test_crash.py, without training.
        pytest.param("result.before_replace", marks=pytest.mark.faults),
    ],
)
def test_f03_killed_while_saving(make_tiny: MakeTiny, clean_dump: CleanDump, point: str) -> None:
    grid = make_tiny(axes={"strategy": ["lora"], "seed": [0]}, compute=STEPWISE, checkpoint=OFTEN)
    assert grid.run(env=armed("ckpt.pruned")).returncode == -signal.SIGKILL
    (cell_id,) = cell_ids(grid)
    ((first, _),) = checkpoints(grid, cell_id)

    assert grid.run(env=armed(point)).returncode == -signal.SIGKILL
    assert grid.result_folders() == []
    standing = checkpoints(grid, cell_id)
    for _, folder in standing:
        verify_folder(folder)
    if point != "result.before_replace":
        assert [name for name, _ in standing] == [first]

    grid.run_until_done()
    assert resumed_from(grid, cell_id)[-1] == standing[-1][0].step
    assert next(line["step"] for line in told(grid, "cell_resumed")) == first.step
    assert grid.dump() == clean_dump(grid)
    assert cell_ids(grid) == []
    assert not any(grid.layout.temporary.iterdir())
