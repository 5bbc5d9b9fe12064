"""How long a cell trains and how fast: steps, warm-up, decay, order of rows. Pure functions of the spec."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from jobs.spec import RecipeSpec


def steps_per_epoch(recipe: RecipeSpec, num_train: int) -> int:
    """Optimiser steps in one pass over the training rows; a short last batch counts."""
    micro_batches = math.ceil(num_train / recipe.batch_size)
    return math.ceil(micro_batches / recipe.gradient_accumulation)


def warmup_steps(recipe: RecipeSpec, total_steps: int) -> int:
    """Steps until the full rate; a ratio is rounded up, as HF Trainer does."""
    if recipe.warmup_ratio is not None:
        return math.ceil(recipe.warmup_ratio * total_steps)
    return recipe.warmup_steps


def learning_rate(recipe: RecipeSpec, *, step: int, total_steps: int) -> float:
    """Rate of one optimiser step.

    Args:
        recipe: schedule, rate and warm-up.
        step: 0 for the first step.
        total_steps: steps of the whole training.
    Returns:
        the rate.
    Source:
        transformers.optimization: get_cosine/linear/constant_schedule_with_warmup.
    """
    warmup = warmup_steps(recipe, total_steps)
    if step < warmup:
        return recipe.learning_rate * step / max(1, warmup)
    progress = (step - warmup) / max(1, total_steps - warmup)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
    if recipe.schedule == "linear":
        return recipe.learning_rate * max(0.0, 1.0 - progress)
    return recipe.learning_rate


def row_weights(labels: np.ndarray, num_labels: int, *, temper: float) -> np.ndarray:
    """How often a row is drawn under tempered re-sampling, relative to the others.

    Args:
        labels: int64 [rows], or uint8 [rows, classes]; a row with several labels counts as its rarest one.
        num_labels: classes.
        temper: 1: every row alike; 0: every label alike. A label with n rows gets a share like n ** temper.
    Returns:
        float64 [rows], their sum is 1.
    """
    if labels.ndim == 1:
        counts_n = np.bincount(labels, minlength=num_labels)[labels].astype(np.float64)
    else:
        counts_C = labels.sum(axis=0, dtype=np.int64)
        counts_n = np.where(labels > 0, counts_C, len(labels)).min(axis=1).astype(np.float64)
    weights_n = counts_n ** (temper - 1.0)
    return np.asarray(weights_n / weights_n.sum())


def _drawn(generator: np.random.Generator, weights_n: np.ndarray) -> np.ndarray:
    """As many rows as there are, each its expected number of times, rounded up or down at random."""
    rows = generator.permutation(len(weights_n))
    points = (np.arange(len(rows)) + generator.random()) / len(rows)
    places = np.searchsorted(np.cumsum(weights_n[rows]), points, side="right")
    return generator.permutation(rows[np.minimum(places, len(rows) - 1)])


def epoch_order(
    recipe: RecipeSpec,
    *,
    seed: int,
    epoch: int,
    num_train: int,
    lengths: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Order of the training rows in one epoch: a function of what is given here alone, so nothing needs saving.

    With `recipe.length_bucketing` the shuffled rows of every so many optimiser steps are sorted by length and dealt
    out again, step by step, in shuffled order: a step's rows are then of similar length. A short last step keeps its
    rows and its place, so that no row is more often in it than others. Which rows make a step depends on
    batch_size x gradient_accumulation only, not on how a step is split.

    Args:
        recipe: batch size, accumulation, length bucketing.
        seed: the cell's seed.
        epoch: 0 for the first one.
        num_train: training rows.
        lengths: tokens of every training row; needed for length bucketing, else not looked at.
        weights: of `row_weights`; None: no re-sampling.
    Returns:
        every row index once; with weights as many, drawn by them.
    Raises:
        ValueError: length bucketing without lengths.
    """
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = generator.permutation(num_train) if weights is None else _drawn(generator, weights)
    if recipe.length_bucketing is None:
        return order
    if lengths is None or len(lengths) != num_train:
        raise ValueError(f"recipe.length_bucketing needs the lengths of all {num_train} training rows")
    rows_per_step = recipe.batch_size * recipe.gradient_accumulation
    full = num_train - num_train % rows_per_step
    dealt = []
    for first in range(0, full, rows_per_step * recipe.length_bucketing):
        window = order[first : min(first + rows_per_step * recipe.length_bucketing, full)]
        steps = window[np.argsort(lengths[window], kind="stable")].reshape(-1, rows_per_step)
        dealt.append(generator.permutation(steps).ravel())
    return np.concatenate([*dealt, order[full:]])


def effective_batches(
    recipe: RecipeSpec,
    *,
    seed: int,
    num_train: int,
    lengths: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    first_step: int = 0,
) -> Iterator[list[np.ndarray]]:
    """Row indices of every optimiser step, split into its micro-batches, epoch after epoch.

    Args:
        recipe: epochs, batch size, accumulation and length bucketing.
        seed: the cell's seed.
        num_train: training rows.
        lengths: tokens of every training row; needed for length bucketing.
        weights: of `row_weights`; None: every row once an epoch.
        first_step: optimiser steps made already; they are left out.
    Yields:
        for each step its micro-batches, each an array of row indices.
    """
    per_epoch = steps_per_epoch(recipe, num_train)
    for epoch in range(first_step // max(1, per_epoch), recipe.epochs):
        order = epoch_order(recipe, seed=seed, epoch=epoch, num_train=num_train, lengths=lengths, weights=weights)
        micro = [order[i : i + recipe.batch_size] for i in range(0, num_train, recipe.batch_size)]
        made = max(0, first_step - epoch * per_epoch) * recipe.gradient_accumulation
        for first in range(made, len(micro), recipe.gradient_accumulation):
            yield micro[first : first + recipe.gradient_accumulation]
