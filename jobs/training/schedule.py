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


def epoch_order(seed: int, epoch: int, num_train: int) -> np.ndarray:
    """Order of the training rows in one epoch: a function of seed and epoch alone, so nothing needs saving."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(num_train)


def effective_batches(recipe: RecipeSpec, *, seed: int, num_train: int) -> Iterator[list[np.ndarray]]:
    """Row indices of every optimiser step, split into its micro-batches, epoch after epoch.

    Args:
        recipe: epochs, batch size and accumulation.
        seed: the cell's seed.
        num_train: training rows.
    Yields:
        for each step its micro-batches, each an array of row indices.
    """
    for epoch in range(recipe.epochs):
        order = epoch_order(seed, epoch, num_train)
        micro = [order[i : i + recipe.batch_size] for i in range(0, num_train, recipe.batch_size)]
        for first in range(0, len(micro), recipe.gradient_accumulation):
            yield micro[first : first + recipe.gradient_accumulation]
