"""Attention over ragged rows, plugged into transformers' public attention interface.

Every family calls it with [1, heads, N, width] for all tokens of a pass; texts are told apart by the
batch in `PackState`, so no family needs code of its own. Plain matmul, softmax, matmul: at the lengths of
short texts the fused CPU kernels cost more than the multiplication itself.

Shapes: S texts, L longest text, N tokens, H query heads, K key heads, D head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from jobs.training.dropout import DropoutSites, PackState
from jobs.training.ragged import RaggedBatch, pad_rows, unpad_rows

ATTENTION_NAME = "finegrid_ragged"
STATE_ATTRIBUTE = "finegrid_state"
SITE_ATTRIBUTE = "finegrid_site"
GROUP_ATTRIBUTE = "finegrid_dropout_group"


def ragged_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each text of the running batch.

    Args:
        module: the attention layer; carries the pack state and its dropout site.
        query: [1, H, N, D].
        key: [1, K, N, D].
        value: [1, K, N, D].
        attention_mask: always None here; texts are separated by the batch.
        scaling: factor on the scores; default 1/sqrt(D).
        dropout: ignored: the base stays in evaluation mode, masks come from keys.
        sliding_window: tokens a query may look back, or None.
        is_causal: whether later tokens are hidden; default: the module's own word.
        softcap: soft limit on the scores, or None.
    Returns:
        [1, N, H, D] and None for the weights.
    """
    state: PackState = getattr(module, STATE_ATTRIBUTE)
    batch = state.current
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    groups = query.shape[1] // key.shape[1]
    query_SHLD = _by_text(query, batch)
    key_SHLD = _repeat_heads(_by_text(key, batch), groups)
    value_SHLD = _repeat_heads(_by_text(value, batch), groups)

    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores_SHLL = torch.matmul(query_SHLD * factor, key_SHLD.transpose(2, 3))
    if softcap is not None:
        scores_SHLL = torch.tanh(scores_SHLL / softcap) * softcap
    scores_SHLL = scores_SHLL + batch.attention_bias(causal=causal, window=sliding_window, dtype=scores_SHLL.dtype)
    weights_SHLL = torch.softmax(scores_SHLL, dim=-1, dtype=torch.float32).to(value.dtype)
    weights_SHLL = _drop_weights(weights_SHLL, module, batch)
    out_SLHD = torch.matmul(weights_SHLL, value_SHLD).transpose(1, 2)
    out_NHD = unpad_rows(out_SLHD.reshape(-1, *out_SLHD.shape[2:]), batch.attention_scatter_N)
    return out_NHD.unsqueeze(0), None


def _by_text(x_1HND: Tensor, batch: RaggedBatch) -> Tensor:
    x_NHD = x_1HND.squeeze(0).transpose(0, 1)
    return pad_rows(x_NHD, batch.attention_gather_SL, batch.attention_scatter_N).transpose(1, 2)


def _repeat_heads(x_SKLD: Tensor, groups: int) -> Tensor:
    return x_SKLD if groups == 1 else x_SKLD.repeat_interleave(groups, dim=1)


def _drop_weights(weights_SHLL: Tensor, module: nn.Module, batch: RaggedBatch) -> Tensor:
    """Drop attention weights with keys of (query token, head) and columns of key places."""
    p = attention_dropout(module)
    if p == 0.0 or batch.row_keys_N is None:
        return weights_SHLL
    site: int = getattr(module, SITE_ATTRIBUTE)
    group: DropoutSites = getattr(module, GROUP_ATTRIBUTE)
    heads = torch.arange(1, weights_SHLL.shape[1] + 1, device=weights_SHLL.device) << 40
    keys_SHL = batch.row_keys_N[batch.attention_gather_SL].unsqueeze(1) ^ heads.view(1, -1, 1)
    width, dtype = weights_SHLL.shape[-1], weights_SHLL.dtype
    return weights_SHLL * group.multiplier(batch, site, keys_SHL, width, p=p, dtype=dtype)


def attention_dropout(module: nn.Module) -> float:
    """The attention dropout a layer was built with, whatever its family calls it."""
    for name in ("dropout", "attn_dropout", "attention_dropout"):
        value = getattr(module, name, None)
        if value is not None:
            return float(value) if isinstance(value, int | float) else float(value.p)
    return 0.0


AttentionInterface.register(ATTENTION_NAME, ragged_attention)
