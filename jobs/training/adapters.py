"""LoRA tensors of one cell: names, shapes, initial values.

Source: Hu et al., arXiv 2106.09685; initialisation as PEFT: A Kaiming-uniform with a = sqrt(5), B zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jobs.errors import UserError
from jobs.models.loading import Base
from jobs.spec import LoraSpec
from jobs.training.bank import Shapes
from jobs.training.prepare import match_targets


def adapter_shapes(base: Base, lora: LoraSpec) -> Shapes:
    """Names and shapes of a cell's LoRA tensors on this base, A before B, in module order.

    Raises:
        UserError: a target matches no layer, or a declared layer has none.
    """
    shapes: Shapes = {}
    for name in _adapted(base, lora):
        inputs, outputs = base.linear_shapes[name]
        shapes[f"{name}.lora_A"] = (lora.r, inputs)
        shapes[f"{name}.lora_B"] = (outputs, lora.r)
    return shapes


def _adapted(base: Base, lora: LoraSpec) -> list[str]:
    """Modules that get adapters."""
    names = list(match_targets(tuple(base.linear_shapes), lora.targets or base.family.targets))
    if lora.layers is None:
        return names
    layer_of = {name: _layer(name, base.family.layers) for name in names}
    have = sorted({layer for layer in layer_of.values() if layer is not None})
    if unknown := sorted(set(lora.layers) - set(have)):
        names_of = ", ".join(map(str, unknown))
        raise UserError(f"lora.layers = {names_of}: this model's targets stand in layers {have[0]} to {have[-1]}")
    return [name for name in names if layer_of[name] in lora.layers]


def _layer(name: str, layers: str) -> int | None:
    """Number of the layer that a module belongs to; None: to none."""
    number = name.removeprefix(f"{layers}.").partition(".")[0]
    return int(number) if name.startswith(f"{layers}.") and number.isdecimal() else None


def initial_adapters(shapes: Shapes, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw fresh adapters: the update starts at zero because every B does."""
    tensors = {}
    for name, shape in shapes.items():
        tensors[name] = torch.zeros(shape)
        if name.endswith("lora_A"):
            nn.init.kaiming_uniform_(tensors[name], a=math.sqrt(5), generator=generator)
    return tensors


def seeded_generator(seed: int) -> torch.Generator:
    """A CPU generator of a cell's own: the draw is the same on every device."""
    return torch.Generator().manual_seed(seed)
