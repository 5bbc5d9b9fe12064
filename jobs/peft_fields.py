"""What PEFT has to be told about a cell: the same fields make the trained model and the exported folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peft import PeftConfig, PeftModel
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper, PeftType
from torch import nn

from jobs.errors import BugError
from jobs.spec import CellSpec


@dataclass(frozen=True, kw_only=True)
class PrefixGeometry:
    """Keys and values of one layer, as the model has them."""

    layers: int
    heads: int
    """Heads of keys and values."""
    width: int
    """Numbers of a key, all heads together."""
    hidden: int
    """Width of the network that makes them, where one does."""


def lora_fields(cell: CellSpec, targets: Sequence[str], *, fan_in_fan_out: bool, head: Sequence[str]) -> dict[str, Any]:
    """Fields of a LoRA cell.

    Args:
        cell: its declaration.
        targets: the adapted layers, as PEFT is to look for them.
        fan_in_fan_out: their weights lie transposed, as in GPT-2.
        head: the classifier's children that are trained whole.
    """
    if cell.lora is None:
        raise BugError(f"cell {cell.cell_id} has adapters but no lora settings")
    return {
        "bias": "none",
        "fan_in_fan_out": fan_in_fan_out,
        "lora_alpha": cell.lora.alpha,
        "lora_dropout": cell.lora.dropout,
        "modules_to_save": list(head),
        "peft_type": "LORA",
        "r": cell.lora.r,
        "target_modules": list(targets),
        "task_type": "SEQ_CLS",
    }


def ia3_fields(
    targets: Sequence[str], feedforward: Sequence[str], *, fan_in_fan_out: bool, head: Sequence[str]
) -> dict[str, Any]:
    """Fields of an ia3 cell; arguments as for LoRA, `feedforward` the layers whose inputs are scaled."""
    return {
        "fan_in_fan_out": fan_in_fan_out,
        "feedforward_modules": list(feedforward),
        "modules_to_save": list(head),
        "peft_type": "IA3",
        "target_modules": list(targets),
        "task_type": "SEQ_CLS",
    }


def prefix_fields(cell: CellSpec, geometry: PrefixGeometry, *, head: Sequence[str]) -> dict[str, Any]:
    """Fields of a prefix cell."""
    if cell.prefix is None:
        raise BugError(f"cell {cell.cell_id} has no prefix settings")
    return {
        "encoder_hidden_size": geometry.hidden,
        "modules_to_save": list(head),
        "num_attention_heads": geometry.heads,
        "num_layers": geometry.layers,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": cell.prefix.tokens,
        "peft_type": "PREFIX_TUNING",
        "prefix_projection": cell.prefix.projection,
        "task_type": "SEQ_CLS",
        "token_dim": geometry.width,
    }


def config_of(fields: Mapping[str, Any]) -> PeftConfig:
    """The fields as PEFT's own object."""
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(fields["peft_type"])]
    config: PeftConfig = kind(**{name: value for name, value in fields.items() if name != "peft_type"})
    return config


def without_adapters(model: PeftModel) -> Any:
    """Take what PEFT put around a classifier's layers off again; its trained head is thrown away.

    PEFT's own `unload` fails for ia3 where a part that is saved whole has no weight of its own (DeBERTa's pooler), and
    prefixes have none.

    Args:
        model: as `get_peft_model` or `from_pretrained` made it.
    Returns:
        the classifier that it was made from.
    """
    classifier = model.get_base_model()
    for name, module in list(classifier.named_modules()):
        if isinstance(module, BaseTunerLayer):
            _put(classifier, name, module.get_base_layer())
        elif isinstance(module, ModulesToSaveWrapper):
            _put(classifier, name, module.original_module)
    vars(classifier).pop("peft_config", None)  # its mark of a model that carries adapters
    return classifier


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
