"""F28: a loss that is not finite stops its cell before the update, with step and last finite loss; never a score."""

from __future__ import annotations

import dataclasses
import re

from tests.fakes.hurt_trial import HURT_VARIABLE
from tests.faults.conftest import CleanDump, MakeTiny
from tests.faults.harness import Grid
from tests.faults.interrupted import OFTEN, STEPWISE, cell_ids


def of_state(grid: Grid, state: str) -> list[dict[str, object]]:
    return [row for row in grid.attempts() if row["state"] == state]


def test_f28_a_cell_that_diverges_fails_alone_and_has_no_score(make_tiny: MakeTiny, clean_dump: CleanDump) -> None:
    tiny = make_tiny(axes={"strategy": ["lora"], "seed": [0, 1]}, compute=STEPWISE, checkpoint=OFTEN)
    grid = dataclasses.replace(tiny, trial_module="tests.fakes.hurt_trial")
    finished = grid.run(env={HURT_VARIABLE: "nan:1:9"})  # after an evaluation, so that there is a score to forget
    assert finished.returncode == 1, finished.stderr
    (failed,) = of_state(grid, "failed")
    assert failed["kind"] == "diverged"
    assert re.search(r"loss not finite at step 9 of 12; last finite loss \d", str(failed["reason"]))
    assert [folder.parent.name for folder in grid.result_folders()] == [of_state(grid, "done")[0]["cell_id"]]
    assert cell_ids(grid) == []

    assert grid.run().returncode == 1, "it waits for a changed recipe"
    assert len(grid.attempts()) == 2
    grid.run_until_done(1, "--retry-failed", "diverged")
    assert grid.dump() == clean_dump(tiny)
