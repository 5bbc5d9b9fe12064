"""The stock sequence classifier of a checkpoint without its weights: names and shapes to look things up in."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from jobs.errors import BugError


def classifier_skeleton(config: Any, *, num_labels: int) -> Any:
    """The stock sequence classifier for a config, on the meta device: names and shapes, no numbers."""
    config = copy.deepcopy(config)
    if config.num_labels != num_labels:
        config.num_labels = num_labels
    # Any other type would be this process' default while the skeleton is made, for cells in other threads as well.
    config.dtype = torch.float32
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config)


def linear_layers(model: nn.Module) -> dict[str, type[nn.Module]]:
    """Name and kind of every layer that could carry an adapter, heads included."""
    return {name: type(module) for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}


def prefix_of(names: Sequence[str], linear: Mapping[str, type[nn.Module]]) -> str:
    """What stands before the base's module names in the stock classifier.

    Args:
        names: linear layers of the base, by their names in it.
        linear: those of the classifier.
    Returns:
        of all candidates the one that fits most names, with its dot.
    Raises:
        BugError: the classifier has no such layer.
    """
    first = names[0]
    candidates = [name.removesuffix(first) for name in linear if name == first or name.endswith(f".{first}")]
    if not candidates:
        raise BugError(f"the stock classifier has no layer {first}")
    return max(candidates, key=lambda prefix: sum(f"{prefix}{name}" in linear for name in names))
