"""Puts a cell on a stock classifier and takes it off again: its head, what PEFT adds, and the leaves that train.

Names of a cell's tensors: `head.<name in the classifier>`, `<module>.lora_A`, `<module>.ia3_l`, `prefix.<name>`, and
for strategy full `base.<name in the classifier>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from jobs.errors import BugError
from jobs.models.base import BASE_PREFIX
from jobs.models.head import head_roots
from jobs.models.stock import StockBase
from jobs.peft_fields import config_of, ia3_fields, lora_fields, prefix_fields, without_adapters
from jobs.spec import Strategy
from jobs.training.adapters import PREFIX
from jobs.training.cell_run import CellRun

_WRAPPERS = re.compile(r"^base_model\.(model\.)?|\.modules_to_save\.default|\.default(?=\.|$)")
_PROMPT = "prompt_encoder."


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """A cell on the classifier."""

    model: Any
    """Takes input_ids and attention_mask, gives logits."""
    places: Mapping[str, str]
    """Our name of a tensor -> the parameter's name in the model."""


def mount(base: StockBase, run: CellRun) -> Mounted:
    """Give the classifier a cell's head and whatever PEFT adds for it; `link` then gives them their numbers.

    Args:
        base: with no cell on it.
        run: the cell.
    Returns:
        the model, with everything in it frozen.
    Raises:
        BugError: PEFT trains other tensors than those that the cell was set up with.
    Side effects:
        changes the base's model; `unmount` restores it, also after this failed.
    """
    cell = run.packed.cell
    base.put_head(run.num_labels)
    model: Any = base.model
    if cell.strategy.has_peft_folder:
        model = get_peft_model(base.model, config_of(_fields(base, run)))
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    else:
        roots = head_roots(base.family)
        names = [name for name, _ in base.model.named_parameters()]
        trained = [n for n in names if cell.strategy is Strategy.FULL or n.partition(".")[0] in roots]
    places = {_our_name(name, base): name for name in trained}
    if {name: _shape(model, place) for name, place in places.items()} != run.shapes:
        odd = sorted(places.keys() ^ run.shapes.keys())[:4]
        raise BugError(f"cell {run.cell_id}: PEFT trains other tensors than those set up: {', '.join(odd)}")
    model.requires_grad_(False)
    return Mounted(model=model, places=places)


def link(mounted: Mounted, leaves: Mapping[str, Tensor]) -> None:
    """Let the model compute with a cell's row of numbers, and its gradients gather there.

    Args:
        mounted: the cell.
        leaves: by our names, [1, *shape], float32, with gradients.
    """
    for name, place in mounted.places.items():
        parameter = nn.Parameter(leaves[name].detach()[0])
        gradient = leaves[name].grad
        parameter.grad = None if gradient is None else gradient[0]
        _put(mounted.model, place, parameter)


def unmount(base: StockBase, mounted: Mounted | None) -> None:
    """Leave nothing of a cell on the classifier but a head that the next one replaces.

    Args:
        base: the classifier.
        mounted: the cell; None when mounting failed half-way.
    """
    if mounted is not None and isinstance(mounted.model, PeftModel):
        without_adapters(mounted.model)
    elif mounted is not None:
        for name, tensor in base.pristine.items():
            _put(base.model, name, nn.Parameter(tensor, requires_grad=False))
    base.model.requires_grad_(False)
    base.model.eval()


def _fields(base: StockBase, run: CellRun) -> dict[str, Any]:
    cell, head = run.packed.cell, head_roots(base.family)
    if cell.strategy is Strategy.PREFIX:
        return prefix_fields(cell, base.prefix_geometry, head=head)
    modules = list(dict.fromkeys(n.rpartition(".")[0] for n in run.shapes if n.endswith((".lora_A", ".ia3_l"))))
    is_transposed = any(isinstance(base.model.get_submodule(name), Conv1D) for name in modules)
    if cell.strategy is Strategy.IA3:
        feedforward = [n.removesuffix(".ia3_l") for n, s in run.shapes.items() if n.endswith(".ia3_l") and s[0] == 1]
        return ia3_fields(modules, feedforward, fan_in_fan_out=is_transposed, head=head)
    return lora_fields(cell, modules, fan_in_fan_out=is_transposed, head=head)


def _our_name(name: str, base: StockBase) -> str:
    plain = _WRAPPERS.sub("", name)
    if plain.startswith(_PROMPT):
        return f"{PREFIX}{plain.removeprefix(_PROMPT)}"
    if ".lora_" in plain:
        return plain.removesuffix(".weight")
    if plain.endswith(".ia3_l"):
        return plain
    is_head = plain.partition(".")[0] in head_roots(base.family)
    return f"head.{plain}" if is_head else f"{BASE_PREFIX}{plain}"


def _shape(model: nn.Module, name: str) -> tuple[int, ...]:
    return tuple(model.get_parameter(name).shape)


def _put(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    owner, _, own_name = name.rpartition(".")
    model.get_submodule(owner).register_parameter(own_name, parameter)
