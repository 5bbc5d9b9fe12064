"""4-bit storage of a frozen model by bitsandbytes: how it is asked for, checked, counted and expanded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from jobs.errors import BugError
from jobs.models.device import Compute
from jobs.spec import QuantizationSpec
from jobs.training.linear import linear_shape


def four_bit_settings(
    quantization: QuantizationSpec, *, dtype: torch.dtype, skip: Sequence[str], device: str
) -> dict[str, Any]:
    """What `from_pretrained` needs to store a model in 4 bits.

    Args:
        quantization: the declared form.
        dtype: type of the arithmetic.
        skip: modules that stay in full precision; naming any replaces the library's own list.
        device: where the model is to live.
    """
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization.type,
            bnb_4bit_use_double_quant=quantization.double,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=list(skip),
        ),
        "device_map": {"": device},
    }


def true_parameters(model: nn.Module) -> int:
    """Number of weights, counting two per byte where a layer is stored in 4 bits."""
    return sum(_numel(module) for module in model.modules())


def _numel(module: nn.Module) -> int:
    shape = linear_shape(module)
    own = dict(module.named_parameters(recurse=False))
    if shape is None or not is_4bit(module):
        return sum(p.numel() for p in own.values())
    bias = own.get("bias")
    return shape[0] * shape[1] + (bias.numel() if bias is not None else 0)


def is_4bit(module: nn.Module) -> bool:
    """True for a layer whose weights are stored in 4 bits."""
    return type(module).__name__ in ("Linear4bit", "LinearNF4", "LinearFP4")


def linear4bit(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and modules of all layers that are stored in 4 bits."""
    for name, module in list(model.named_modules()):
        if is_4bit(module):
            yield name, module


def check_quantised(model: nn.Module, kept: Sequence[str]) -> None:
    """Assert what must and must not be 4-bit, and switch off bitsandbytes' in-place CPU repacking.

    Args:
        model: as loaded.
        kept: modules that must be in full precision.
    Raises:
        BugError: nothing was quantised, or what must not.
    """
    found = dict(linear4bit(model))
    for module in found.values():
        module.support_avx512bf16_for_cpu = False
    if not found:
        raise BugError("qlora asked for a 4-bit base, but no layer of the loaded model is 4-bit")
    for name in found:
        if any(name == own or name.startswith(f"{own}.") for own in kept):
            raise BugError(f"{name} was quantised; it must stay in full precision")


def make_resident(model: nn.Module, compute: Compute) -> None:
    """Replace 4-bit layers by plain ones that hold the dequantised weights: same numbers, no cost a step."""
    import bitsandbytes.functional as bnb

    for name, module in linear4bit(model):
        weight_OI = bnb.dequantize_4bit(module.weight.data, module.weight.quant_state).to(compute.dtype)
        plain = nn.Linear(weight_OI.shape[1], weight_OI.shape[0], bias=module.bias is not None, device="meta")
        plain.weight = nn.Parameter(weight_OI, requires_grad=False)
        if module.bias is not None:
            plain.bias = nn.Parameter(module.bias.data.to(compute.dtype), requires_grad=False)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, plain)
