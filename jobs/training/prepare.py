"""Turns a loaded base into one that serves packs: adapters, dropout and attention hooked in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from jobs.errors import UserError
from jobs.training.attention import GROUP_ATTRIBUTE, SITE_ATTRIBUTE, STATE_ATTRIBUTE
from jobs.training.dropout import DropoutSites, PackedDropout, PackState
from jobs.training.ragged import RaggedBatch, pad_rows, unpad_rows


class PackedLinear(nn.Module):
    """A frozen linear layer of the base plus the low-rank update of every cell in the pass."""

    def __init__(
        self,
        base: nn.Module,
        *,
        name: str,
        state: PackState,
        site: int,
        shape: tuple[int, int],
        group: DropoutSites,
    ) -> None:
        """Wrap a layer; shape is (in, out); the group gathers layers of the same kind and width."""
        super().__init__()
        self.base = base
        self.name = name
        self.site = site
        self.in_features, self.out_features = shape
        self._state = state
        self._group = group
        group.add(site)

    def forward(self, x_1NI: Tensor) -> Tensor:
        """Base output plus scaling * B A drop(x), each cell with its own A and B."""
        y_1NO: Tensor = self.base(x_1NI)
        adapters = self._state.adapters
        if adapters is None or self.name not in adapters:
            return y_1NO
        batch = self._state.current
        update_NO = _low_rank_update(self._drop(x_1NI.squeeze(0), batch), *adapters[self.name], self._state, batch)
        return y_1NO + update_NO.unsqueeze(0)

    def _drop(self, x_NI: Tensor, batch: RaggedBatch) -> Tensor:
        p_n = self._state.adapter_dropout_n
        if p_n is None or batch.row_keys_N is None:
            return x_NI
        p_N = p_n[batch.cell_scatter_N // _places_per_cell(batch)]
        width, dtype = self.in_features, x_NI.dtype
        return x_NI * self._group.multiplier(batch, self.site, batch.row_keys_N, width, p=p_N, dtype=dtype)


def _low_rank_update(x_NI: Tensor, a_nrI: Tensor, b_nOr: Tensor, state: PackState, batch: RaggedBatch) -> Tensor:
    a_nrI, b_nOr = a_nrI.to(x_NI.dtype), b_nOr.to(x_NI.dtype)
    if batch.cell_gather_nR is None:
        x_nRI = x_NI.reshape(batch.num_cells, -1, x_NI.shape[-1])
    else:
        x_nRI = pad_rows(x_NI, batch.cell_gather_nR, batch.cell_scatter_N)
    hidden_nRr = torch.bmm(x_nRI, a_nrI.transpose(1, 2))
    if state.scaling_n is not None:
        hidden_nRr = hidden_nRr * state.scaling_n.to(x_NI.dtype).view(-1, 1, 1)
    update_PO = torch.bmm(hidden_nRr, b_nOr.transpose(1, 2)).reshape(-1, b_nOr.shape[1])
    return update_PO if batch.cell_gather_nR is None else unpad_rows(update_PO, batch.cell_scatter_N)


def _places_per_cell(batch: RaggedBatch) -> int:
    if batch.cell_gather_nR is not None:
        return int(batch.cell_gather_nR.shape[1])
    return batch.num_tokens // batch.num_cells


def linear_shape(module: nn.Module) -> tuple[int, int] | None:
    """(in, out) of a linear layer of any kind (torch, bitsandbytes, GPT-2's Conv1D), else None."""
    if isinstance(module, nn.Linear):  # bitsandbytes' layers are its subclasses
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        inputs, outputs = module.weight.shape
        return int(inputs), int(outputs)
    return None


def prepare_base(model: nn.Module, state: PackState, *, pooler: str | None) -> dict[str, tuple[int, int]]:
    """Freeze a base and hook adapters, dropout and pack state into it.

    Args:
        model: transformers base model, loaded with our attention.
        state: shared by all hooks.
        pooler: name of the pooling layer, which sees texts instead of tokens and is left alone.
    Returns:
        (in, out) of every linear layer that can carry an adapter, by module name, in module order.
    Side effects:
        replaces linear and dropout modules of the model; sets it to evaluation mode.
    """
    model.requires_grad_(False)
    model.eval()
    shapes = {}
    groups: dict[tuple[object, ...], DropoutSites] = defaultdict(DropoutSites)
    for site, (name, module) in enumerate(list(model.named_modules())):
        shape = linear_shape(module)
        if name == pooler:
            continue
        if shape is not None:
            # Layers that carry adapters are chosen by name, so a group is one layer kind through the depth.
            group = groups["linear", shape[0], name.rpartition(".")[2]]
            _replace(model, name, PackedLinear(module, name=name, state=state, site=site, shape=shape, group=group))
            shapes[name] = shape
        elif type(module) is nn.Dropout and not _is_attention_dropout(model, name):
            group = groups["dropout", module.p]
            _replace(model, name, PackedDropout(state, p=module.p, site=site, group=group))
        elif hasattr(module, "is_causal"):
            setattr(module, STATE_ATTRIBUTE, state)
            setattr(module, SITE_ATTRIBUTE, site)
            setattr(module, GROUP_ATTRIBUTE, groups[("attention",)])
            groups[("attention",)].add(site)
    return shapes


def _is_attention_dropout(model: nn.Module, name: str) -> bool:
    """True for the dropout of attention weights: our attention draws that mask itself."""
    parent, _, child = name.rpartition(".")
    return child in ("dropout", "attn_dropout") and hasattr(model.get_submodule(parent), "is_causal")


def match_targets(names: Sequence[str], targets: Sequence[str]) -> tuple[str, ...]:
    """Module names that end with one of the targets, in module order.

    Args:
        names: linear layers of the base.
        targets: suffixes such as `q_proj` or `attention.self.query`.
    Returns:
        the matching names.
    Raises:
        UserError: a target matches nothing; lists what there is.
    """
    matched = tuple(n for n in names if any(n == t or n.endswith(f".{t}") for t in targets))
    for target in targets:
        if not any(n == target or n.endswith(f".{target}") for n in names):
            known = sorted({n.rsplit(".", 1)[-1] for n in names})
            raise UserError(
                f"lora.targets: {target!r} matches no linear layer of this model; it has {', '.join(known)}"
            )
    return matched


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent_name, _, child = name.rpartition(".")
    parent = model.get_submodule(parent_name) if parent_name else model
    setattr(parent, child, new)
