"""Steps, rates and row order against transformers and first principles."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
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
    def order(seed: int, epoch: int) -> list[int]:
        return schedule.epoch_order(RecipeSpec(), seed=seed, epoch=epoch, num_train=50).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_orders_of_old_cells_stay() -> None:
    """Written when length bucketing came: a cell without it must train on the rows it always had."""
    order = schedule.epoch_order(RecipeSpec(), seed=7, epoch=1, num_train=10)
    assert order.tolist() == [1, 9, 2, 8, 5, 0, 4, 3, 7, 6]
    assert np.array_equal(order, np.random.Generator(np.random.Philox(key=[7, 1])).permutation(10))


def test_length_bucketing_in_small() -> None:
    """Two windows of two steps of two rows, and a short last step that stays as it is."""
    recipe = RecipeSpec(batch_size=2, length_bucketing=2)
    lengths = np.array([5, 1, 4, 2, 9, 8, 3, 7, 6])
    plain = schedule.epoch_order(RecipeSpec(), seed=0, epoch=0, num_train=9)
    order = schedule.epoch_order(recipe, seed=0, epoch=0, num_train=9, lengths=lengths)
    assert order[8] == plain[8]
    for first in (0, 4):
        window = sorted(plain[first : first + 4], key=lambda row: lengths[row])
        steps = {tuple(order[first : first + 2]), tuple(order[first + 2 : first + 4])}
        assert steps == {tuple(window[:2]), tuple(window[2:])}


def test_short_texts_do_not_always_come_first() -> None:
    recipe = RecipeSpec(batch_size=1, length_bucketing=2)
    lengths = np.arange(200)
    order = schedule.epoch_order(recipe, seed=3, epoch=0, num_train=200, lengths=lengths)
    rising = np.diff(order.reshape(-1, 2)).ravel() > 0
    assert 25 < rising.sum() < 75


def test_equal_lengths_keep_their_shuffled_order() -> None:
    recipe = RecipeSpec(batch_size=4, length_bucketing=3)
    plain = schedule.epoch_order(RecipeSpec(), seed=1, epoch=0, num_train=12).reshape(3, 4)
    order = schedule.epoch_order(recipe, seed=1, epoch=0, num_train=12, lengths=np.full(12, 8)).reshape(3, 4)
    assert sorted(order.tolist()) == sorted(plain.tolist())


def test_length_bucketing_saves_padding() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, 400)

    def padding(bucketing: int | None) -> int:
        recipe = RecipeSpec(epochs=2, batch_size=8, length_bucketing=bucketing)
        steps = schedule.effective_batches(recipe, seed=5, num_train=400, lengths=lengths)
        return sum(int((lengths[rows].max() - lengths[rows]).sum()) for step in steps for rows in step)

    assert padding(25) < 0.2 * padding(None)
    assert padding(25) < padding(2) < padding(None)


def test_length_bucketing_without_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="length_bucketing needs the lengths of all 9"):
        schedule.epoch_order(RecipeSpec(length_bucketing=2), seed=0, epoch=0, num_train=9)


recipes = st.builds(
    RecipeSpec,
    epochs=st.integers(1, 3),
    batch_size=st.integers(1, 6),
    gradient_accumulation=st.integers(1, 4),
    length_bucketing=st.none() | st.integers(2, 5),
)


@settings(deadline=None)
@given(recipes, st.integers(0, 2**32 - 1), st.lists(st.integers(1, 40), min_size=1, max_size=60), st.data())
def test_batches_of_any_recipe(recipe: RecipeSpec, seed: int, texts: list[int], data: st.DataObject) -> None:
    """Every row once an epoch, sizes as without bucketing, the same from any step on, however a step is split."""
    lengths = np.array(texts)

    def steps(of: RecipeSpec, first_step: int = 0) -> list[list[list[int]]]:
        found = schedule.effective_batches(of, seed=seed, num_train=len(texts), lengths=lengths, first_step=first_step)
        return [[rows.tolist() for rows in step] for step in found]

    every = steps(recipe)
    per_epoch = schedule.steps_per_epoch(recipe, len(texts))
    assert len(every) == per_epoch * recipe.epochs
    for epoch in range(recipe.epochs):
        seen = [row for step in every[epoch * per_epoch : (epoch + 1) * per_epoch] for rows in step for row in rows]
        assert sorted(seen) == list(range(len(texts)))
    plain = steps(replace(recipe, length_bucketing=None))
    assert [[len(rows) for rows in step] for step in every] == [[len(rows) for rows in step] for step in plain]
    first = data.draw(st.integers(0, len(every)))
    assert steps(recipe, first) == every[first:]
    product = recipe.batch_size * recipe.gradient_accumulation
    single = replace(recipe, batch_size=1, gradient_accumulation=product)
    assert [list(chain(*step)) for step in steps(single)] == [list(chain(*step)) for step in every]


@pytest.mark.parametrize(("temper", "shares"), [(0.0, [1 / 3, 1 / 3, 1 / 3]), (0.5, [8, 4, 2]), (1.0, [64, 16, 4])])
def test_tempered_rows_have_the_promised_shares(temper: float, shares: list[float]) -> None:
    labels = np.repeat([0, 1, 2], [64, 16, 4])
    weights = schedule.row_weights(labels, 3, temper=temper)
    expected = np.array(shares) / sum(shares)
    np.testing.assert_allclose([weights[labels == c].sum() for c in range(3)], expected, rtol=1e-12)
    orders = [schedule.epoch_order(RecipeSpec(), seed=1, epoch=e, num_train=84, weights=weights) for e in range(400)]
    drawn = np.bincount(labels[np.concatenate(orders)], minlength=3) / (400 * 84)
    np.testing.assert_allclose(drawn, expected, atol=0.005)
    assert all(len(order) == 84 for order in orders)
    often = np.bincount(orders[0], minlength=84)
    assert np.all(np.abs(often - weights * 84) < 1)  # rounded up or down, never further off


def test_rows_with_several_labels_count_as_their_rarest() -> None:
    labels = np.array([[1, 0], [1, 0], [1, 1], [1, 0]], np.uint8)
    np.testing.assert_allclose(schedule.row_weights(labels, 2, temper=0.0), np.array([1, 1, 4, 1]) / 7)


def test_resampled_order_is_a_function_of_seed_and_epoch_and_can_be_entered_late() -> None:
    recipe = RecipeSpec(epochs=3, batch_size=4, resample=0.0)
    weights = schedule.row_weights(np.repeat([0, 1], [15, 5]), 2, temper=0.0)
    every = list(schedule.effective_batches(recipe, seed=3, num_train=20, weights=weights))
    late = list(schedule.effective_batches(recipe, seed=3, num_train=20, weights=weights, first_step=7))
    assert [m.tolist() for step in every[7:] for m in step] == [m.tolist() for step in late for m in step]
