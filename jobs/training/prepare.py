"""Turns a loaded base into one that serves packs: adapters, dropout and attention hooked in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from jobs.errors import UserError
from jobs.training.attention import GROUP_ATTRIBUTE, POOLED_ATTRIBUTE, SITE_ATTRIBUTE, STATE_ATTRIBUTE
from jobs.training.dropout import DropoutSites, PackedDropout, PackState
from jobs.training.frozen import MOST_REORDERED_BYTES
from jobs.training.linear import PackedLinear, linear_shape
from jobs.training.pooled_only import compute_pooled_only

if TYPE_CHECKING:
    from jobs.models.families import Family


def prepare_base(model: nn.Module, state: PackState, family: Family) -> dict[str, tuple[int, int]]:
    """Freeze a base and hook adapters, dropout and pack state into it.

    Args:
        model: transformers base model, loaded with our attention.
        state: shared by all hooks.
        family: names its layers, and the pooling layer, which sees texts instead of tokens and is left alone.
    Returns:
        (in, out) of every linear layer that can carry an adapter, by module name, in module order.
    Side effects:
        replaces linear and dropout modules of the model; sets it to evaluation mode.
    """
    model.requires_grad_(False)
    model.eval()
    shapes = {}
    reorders = _reordered_bytes(model) <= MOST_REORDERED_BYTES
    last = _last_layer(model, family)
    narrow = tuple(f"{last}.{name}" for name in family.row_wise)
    groups: dict[tuple[object, ...], DropoutSites] = defaultdict(DropoutSites)
    for site, (name, module) in enumerate(list(model.named_modules())):
        shape = linear_shape(module)
        if name == family.pooler:
            continue
        is_narrow = any(name == own or name.startswith(f"{own}.") for own in narrow)
        if shape is not None:
            # Layers that carry adapters are chosen by name, so a group is one layer kind through the depth.
            group = groups["linear", shape[0], name.rpartition(".")[2], is_narrow]
            packed = PackedLinear(
                module, name=name, state=state, site=site, shape=shape, group=group, reorders=reorders
            )
            _replace(model, name, packed)
            shapes[name] = shape
        elif type(module) is nn.Dropout and not _is_attention_dropout(model, name):
            group = groups["dropout", module.p, is_narrow]
            _replace(model, name, PackedDropout(state, p=module.p, site=site, group=group))
        elif hasattr(module, "is_causal"):
            pooled_only = name.startswith(f"{last}.")
            setattr(module, STATE_ATTRIBUTE, state)
            setattr(module, SITE_ATTRIBUTE, site)
            setattr(module, POOLED_ATTRIBUTE, pooled_only)
            setattr(module, GROUP_ATTRIBUTE, groups["attention", pooled_only])
            groups["attention", pooled_only].add(site)
    # Rows have no padding; looking for it would make the host wait for a GPU in every step.
    model.__dict__["warn_if_padding_and_no_attention_mask"] = lambda *_: None
    for name in narrow:
        compute_pooled_only(model.get_submodule(name), state)
    return shapes


def _reordered_bytes(model: nn.Module) -> int:
    """Copies of all linear layers for both directions, in two bytes a number."""
    shapes = (linear_shape(module) for module in model.modules())
    return sum(2 * 2 * shape[0] * shape[1] for shape in shapes if shape is not None)


def _last_layer(model: nn.Module, family: Family) -> str:
    return f"{family.layers}.{len(list(model.get_submodule(family.layers).children())) - 1}"


def _is_attention_dropout(model: nn.Module, name: str) -> bool:
    """True for the dropout of attention weights: our attention draws that mask itself."""
    parent, _, child = name.rpartition(".")
    return child in ("dropout", "attn_dropout") and hasattr(model.get_submodule(parent), "is_causal")


def match_targets(names: Sequence[str], targets: Sequence[str], *, key: str = "lora.targets") -> tuple[str, ...]:
    """Module names that end with one of the targets, in module order.

    Args:
        names: linear layers of the base.
        targets: suffixes such as `q_proj` or `attention.self.query`.
        key: where they are declared, for the message.
    Returns:
        the matching names.
    Raises:
        UserError: a target matches nothing; lists what there is.
    """
    matched = tuple(n for n in names if any(n == t or n.endswith(f".{t}") for t in targets))
    for target in targets:
        if not any(n == target or n.endswith(f".{target}") for n in names):
            known = sorted({n.rsplit(".", 1)[-1] for n in names})
            raise UserError(f"{key}: {target!r} matches no linear layer of this model; it has {', '.join(known)}")
    return matched


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent_name, _, child = name.rpartition(".")
    parent = model.get_submodule(parent_name) if parent_name else model
    setattr(parent, child, new)
