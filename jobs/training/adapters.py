"""What a cell adds to a model (LoRA, scaling vectors, prefixes): names, shapes, initial values as PEFT has them.

Sources: LoRA, Hu et al., arXiv 2106.09685: A Kaiming-uniform with a = sqrt(5), B zero. (IA)^3, Liu et al., arXiv
2205.05638: ones. Prefix tuning, Li and Liang, arXiv 2101.00190: standard normal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jobs.errors import UserError
from jobs.models.base import Base
from jobs.models.stock import StockBase
from jobs.peft_fields import PrefixGeometry
from jobs.spec import CellSpec, Ia3Spec, LoraSpec, PrefixSpec
from jobs.training.bank import Shapes
from jobs.training.prepare import match_targets

PREFIX = "prefix."
"""In front of the names of a prefix's tensors."""


def added_shapes(base: Base, cell: CellSpec) -> Shapes:
    """Names and shapes of what a cell adds to the model besides its head.

    Raises:
        UserError: a declared target matches no layer, or the model cannot carry what is declared.
    """
    shapes: Shapes = {}
    if cell.strategy.has_adapters and cell.lora is not None:
        shapes |= adapter_shapes(base, cell.lora)
    if cell.ia3 is not None:
        shapes |= ia3_shapes(base, cell.ia3)
    if cell.prefix is not None and isinstance(base, StockBase):
        shapes |= prefix_shapes(base.prefix_geometry, cell.prefix)
    return shapes


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
    # Only a declared family's own list can be wrong.
    key = "lora.targets" if lora.targets else "family.targets"
    names = list(match_targets(tuple(base.linear_shapes), lora.targets or base.family.targets, key=key))
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


def scaled_layers(base: Base, ia3: Ia3Spec) -> tuple[list[str], list[str]]:
    """Layers of strategy ia3, in module order.

    Args:
        base: what the cell trains on.
        ia3: the declared settings; the family's own lists where they say nothing.
    Returns:
        all of them, and those whose inputs are scaled.
    Raises:
        UserError: a name matches no layer, or no layer that is scaled.
    """
    family, names = base.family, tuple(base.linear_shapes)
    targets = ia3.targets or family.ia3_targets
    if not targets:
        raise UserError(f"ia3.targets is required: nothing is known about layers of model type {family.key}")
    scaled = match_targets(names, targets, key="ia3.targets")
    given = ia3.feedforward
    if given is None:  # what the family scales at its input, as far as it is among the layers
        given = tuple(name for name in family.ia3_feedforward if any(f".{own}".endswith(f".{name}") for own in scaled))
    feedforward = match_targets(scaled, given, key="ia3.feedforward") if given else ()
    return list(scaled), list(feedforward)


def ia3_shapes(base: Base, ia3: Ia3Spec) -> Shapes:
    """Names and shapes of a cell's scaling vectors, in module order."""
    scaled, feedforward = scaled_layers(base, ia3)
    shapes: Shapes = {}
    for name in scaled:
        inputs, outputs = base.linear_shapes[name]
        shapes[f"{name}.ia3_l"] = (1, inputs) if name in feedforward else (outputs, 1)
    return shapes


def prefix_shapes(geometry: PrefixGeometry, prefix: PrefixSpec) -> Shapes:
    """Names and shapes of a cell's prefix: the vectors themselves, or the network that makes them."""
    numbers = 2 * geometry.layers * geometry.width
    if not prefix.projection:
        return {f"{PREFIX}embedding.weight": (prefix.tokens, numbers)}
    return {
        f"{PREFIX}embedding.weight": (prefix.tokens, geometry.width),
        f"{PREFIX}transform.0.weight": (geometry.hidden, geometry.width),
        f"{PREFIX}transform.0.bias": (geometry.hidden,),
        f"{PREFIX}transform.2.weight": (numbers, geometry.hidden),
        f"{PREFIX}transform.2.bias": (numbers,),
    }


def initial_adapters(shapes: Shapes, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw fresh adapters: LoRA and ia3 change nothing at first, prefixes are random."""
    tensors: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        tensors[name] = torch.ones(shape) if name.endswith("ia3_l") else torch.zeros(shape)
        if name.endswith("lora_A") or (name.startswith(f"{PREFIX}transform") and name.endswith("weight")):
            nn.init.kaiming_uniform_(tensors[name], a=math.sqrt(5), generator=generator)
        elif name.startswith(f"{PREFIX}transform"):  # a bias, as torch's linear layers draw it
            bound = tensors[f"{name.removesuffix('bias')}weight"].shape[1] ** -0.5
            tensors[name].uniform_(-bound, bound, generator=generator)
        elif name.startswith(PREFIX):
            tensors[name].normal_(generator=generator)
    return tensors


def seeded_generator(seed: int) -> torch.Generator:
    """A CPU generator of a cell's own: the draw is the same on every device."""
    return torch.Generator().manual_seed(seed)
