"""A cell on its way: the rows it takes, from the start and from any step on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.models.loading import Base
from jobs.spec import RecipeSpec
from jobs.training.cell_run import CellRun
from tests.jobs.training.helpers import make_run, tiny_base

RECIPE = RecipeSpec(epochs=2, batch_size=4, gradient_accumulation=2, length_bucketing=3)
ROWS = 45


@pytest.fixture(scope="module")
def base(cache: Path) -> Base:
    return tiny_base("bert", cache)


def rows_of_steps(run: CellRun) -> list[list[int]]:
    """Rows of every step that is left, as the engine asks for them."""
    steps = []
    while run.step < run.total_steps:
        micro = [run.next_micro_batch()]
        while not micro[-1].completes_step:
            micro.append(run.next_micro_batch())
        steps.append([row for part in micro for row in part.rows.tolist()])
        assert {part.step_rows for part in micro} == {len(steps[-1])}
        run.step += 1
    return steps


def test_length_bucketing_reaches_the_batches(base: Base) -> None:
    bucketed = make_run(base, 1, recipe=RECIPE, num_train=ROWS)
    plain = make_run(base, 1, recipe=RecipeSpec(epochs=2, batch_size=4, gradient_accumulation=2), num_train=ROWS)
    lengths = bucketed.data.train_lengths
    assert lengths.tolist() == [len(text) for text in bucketed.data.tokens["train"]]

    def spread(run: CellRun) -> float:
        return float(np.mean([np.ptp(lengths[rows]) for rows in rows_of_steps(run)]))

    assert spread(bucketed) < 0.7 * spread(plain)


@pytest.mark.parametrize("first", [0, 1, 5, 6, 7, 11, 12])
def test_the_rows_of_any_step_on_are_the_same(base: Base, first: int) -> None:
    """A cell that goes on at a step takes the rows that it would have taken uninterrupted: six steps an epoch."""
    every = rows_of_steps(make_run(base, 1, recipe=RECIPE, num_train=ROWS))
    assert len(every) == 12
    resumed = make_run(base, 1, recipe=RECIPE, num_train=ROWS)
    resumed.step = first
    assert rows_of_steps(resumed) == every[first:]
