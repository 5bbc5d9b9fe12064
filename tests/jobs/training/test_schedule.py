"""Steps, rates and row order against transformers and first principles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import get_scheduler

from jobs.spec import RecipeSpec
from jobs.training import schedule


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [{"warmup_steps": 0}, {"warmup_steps": 7}, {"warmup_ratio": 0.1}])
def test_rates_equal_transformers(kind: str, warmup: dict[str, float]) -> None:
    recipe = RecipeSpec(learning_rate=2e-3, schedule=kind, **warmup)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-3)
    name = "constant_with_warmup" if kind == "constant" else kind
    theirs = get_scheduler(name, optimizer, schedule.warmup_steps(recipe, 45), 45)
    for step in range(45):
        ours = schedule.learning_rate(recipe, step=step, total_steps=45)
        assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(("rows", "batch", "accumulate"), [(10, 4, 1), (10, 4, 2), (9, 3, 2), (5, 8, 3)])
def test_every_row_once_an_epoch(rows: int, batch: int, accumulate: int) -> None:
    recipe = RecipeSpec(epochs=3, batch_size=batch, gradient_accumulation=accumulate)
    steps = list(schedule.effective_batches(recipe, seed=3, num_train=rows))
    per_epoch = schedule.steps_per_epoch(recipe, rows)
    assert len(steps) == 3 * per_epoch
    for epoch in range(3):
        seen = np.concatenate([m for step in steps[epoch * per_epoch : (epoch + 1) * per_epoch] for m in step])
        assert sorted(seen.tolist()) == list(range(rows))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    assert np.array_equal(schedule.epoch_order(1, 2, 50), schedule.epoch_order(1, 2, 50))
    assert not np.array_equal(schedule.epoch_order(1, 2, 50), schedule.epoch_order(1, 3, 50))
    assert not np.array_equal(schedule.epoch_order(1, 2, 50), schedule.epoch_order(2, 2, 50))
