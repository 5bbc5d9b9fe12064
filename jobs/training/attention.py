"""Attention over ragged rows, plugged into transformers' public attention interface.

Every family calls it with [1, heads, N, width] for all tokens of a pass; texts are told apart by the
batch in `PackState`, so no family needs code of its own. Plain matmul, softmax, matmul: at the lengths of
short texts the fused CPU kernels cost more than the multiplication itself. Forward and backward are written
out because autograd's own graph of gathers, casts and copies costs as much again.

Shapes: S texts of a bucket, L its width, Q its query places, N tokens, H query heads, K key heads, D head width,
P places of all buckets and heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from jobs.training.dropout import DropoutSites, PackState
from jobs.training.ragged import RaggedBatch
from jobs.training.rows import rows_or_zero
from jobs.training.text_buckets import HeadIndex

ATTENTION_NAME = "finegrid_ragged"
STATE_ATTRIBUTE = "finegrid_state"
SITE_ATTRIBUTE = "finegrid_site"
GROUP_ATTRIBUTE = "finegrid_dropout_group"
POOLED_ATTRIBUTE = "finegrid_pooled_only"
"""Set on the last layer: only the tokens that heads see have to ask."""


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
        [1, N, H, D], zeros at tokens that need not ask; and None for the weights.
    """
    state: PackState = getattr(module, STATE_ATTRIBUTE)
    batch = state.running
    pooled_only = bool(getattr(module, POOLED_ATTRIBUTE)) and batch.pooled is not None
    heads, source_heads = query.shape[1], key.shape[1]
    plan = _Plan(
        heads=heads,
        source_heads=source_heads,
        factor=query.shape[-1] ** -0.5 if scaling is None else scaling,
        softcap=softcap,
        queries=batch.buckets.head_index(heads, heads, pooled_only=pooled_only),
        keys=batch.buckets.head_index(heads, source_heads, pooled_only=False),
        shapes=batch.buckets.shapes(pooled_only=pooled_only),
        biases=batch.buckets.biases(
            causal=bool(getattr(module, "is_causal", False) if is_causal is None else is_causal),
            window=sliding_window,
            pooled_only=pooled_only,
            dtype=value.dtype,
        ),
        multipliers=_multipliers(module, batch, heads, pooled_only, value.dtype),
        asking=(batch.pooled_token_S, batch.text_or_zero_N) if pooled_only else None,
        is_training=torch.is_grad_enabled(),
    )
    # Under autocast (strategy full) rotated queries and keys are still float32.
    heads_first = [x_1HND.to(value.dtype) for x_1HND in (query, key, value)]
    out_1NHD: Tensor = _RaggedAttention.apply(*heads_first, plan)  # type: ignore[no-untyped-call]
    return out_1NHD, None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Everything but the numbers."""

    heads: int
    source_heads: int
    factor: float
    softcap: float | None
    queries: HeadIndex
    keys: HeadIndex
    shapes: list[tuple[int, int, int]]
    """(S, Q, L) of every bucket."""
    biases: list[Tensor | None]
    multipliers: list[Tensor | None]
    asking: tuple[Tensor, Tensor] | None
    """Tokens that ask, and for every token which of them it is; None: all do."""
    is_training: bool
    """Keep what the backward pass needs."""

    def to_tokens(self, x_SD: Tensor) -> Tensor:
        """[N, H, D] from the rows of the heads that ask; zeros elsewhere."""
        x_SHD = x_SD.view(-1, self.heads, x_SD.shape[1])
        return x_SHD if self.asking is None else rows_or_zero(x_SHD, self.asking[1])

    def split(self, x_PD: Tensor, *, is_query: bool) -> list[Tensor]:
        """Views of every bucket, [S * H, Q or L, D]; a row of zeros at the end is left out."""
        width, first, parts = x_PD.shape[1], 0, []
        for texts, queries, places in self.shapes:
            rows = queries if is_query else places
            # One call where a split and its views take three: of small buckets the calls are what costs.
            parts.append(x_PD.as_strided((texts * self.heads, rows, width), (rows * width, width, 1), first))
            first += texts * self.heads * rows * width
        return parts


class _RaggedAttention(torch.autograd.Function):
    """softmax(q k^T) v in every bucket, and its gradients."""

    @staticmethod
    def forward(ctx: Any, q_1HND: Tensor, k_1KND: Tensor, v_1KND: Tensor, plan: _Plan) -> Tensor:
        q_PD = _gather(q_1HND * plan.factor, plan.queries)
        k_PD, v_PD = _gather(k_1KND, plan.keys), _gather(v_1KND, plan.keys)
        out_PD = _with_zero_row(q_PD)
        weights, dropped, caps = [], [], []
        asking = zip(plan.split(q_PD, is_query=True), plan.split(out_PD, is_query=True), strict=True)
        looked = zip(plan.split(k_PD, is_query=False), plan.split(v_PD, is_query=False), strict=True)
        for place, ((q, out), (k, v)) in enumerate(zip(asking, looked, strict=True)):
            texts, queries, width = plan.shapes[place]
            scores = torch.bmm(q, k.transpose(1, 2))
            if plan.softcap is not None:
                caps.append(torch.tanh(scores / plan.softcap))
                scores = caps[-1] * plan.softcap
            bias = plan.biases[place]
            if bias is not None:
                scores.view(texts, plan.heads, queries, width).add_(bias)
            if not plan.is_training:
                weights_BQL = torch.softmax(scores, dim=-1)  # computed in float32 all the same
                torch.bmm(_dropped(weights_BQL, plan.multipliers[place]), v, out=out)
                continue
            weights.append(torch.softmax(scores, dim=-1, dtype=torch.float32))
            dropped.append(_dropped(weights[-1].to(v.dtype), plan.multipliers[place]))
            torch.bmm(dropped[-1], v, out=out)
        if plan.is_training:
            ctx.save_for_backward(q_PD, k_PD, v_PD, *weights, *dropped, *caps)
            ctx.plan = plan
        return plan.to_tokens(out_PD.index_select(0, plan.queries.scatter)).unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        plan: _Plan = ctx.plan
        q_PD, k_PD, v_PD, *saved = ctx.saved_tensors
        count = len(plan.shapes)
        weights, dropped, caps = saved[:count], saved[count : 2 * count], saved[2 * count :]
        width = q_PD.shape[1]
        go_NHD = grads[0].squeeze(0)
        if plan.asking is not None:
            go_NHD = go_NHD.index_select(0, plan.asking[0])
        go_PD = rows_or_zero(go_NHD.reshape(-1, width), plan.queries.gather_or_zero)
        gq_PD, gk_PD, gv_PD = (_with_zero_row(x_PD) for x_PD in (q_PD, k_PD, v_PD))
        asked = zip(*(plan.split(x, is_query=True) for x in (q_PD, go_PD, gq_PD)), strict=True)
        looked = zip(*(plan.split(x, is_query=False) for x in (k_PD, v_PD, gk_PD, gv_PD)), strict=True)
        for place, ((q, go, gq), (k, v, gk, gv)) in enumerate(zip(asked, looked, strict=True)):
            torch.bmm(dropped[place].transpose(1, 2), go, out=gv)
            gp = _dropped(torch.bmm(go, v.transpose(1, 2)), plan.multipliers[place]).float()
            gs = torch._softmax_backward_data(gp, weights[place], -1, torch.float32).to(q.dtype)
            if plan.softcap is not None:
                gs = gs * (1.0 - caps[place] * caps[place])
            torch.bmm(gs, k, out=gq)
            torch.bmm(gs.transpose(1, 2), q, out=gk)
        gq_NHD = plan.to_tokens(gq_PD.index_select(0, plan.queries.scatter).mul_(plan.factor))
        return _heads_first(gq_NHD), _heads_first(_to_source(gk_PD, plan)), _heads_first(_to_source(gv_PD, plan)), None


def _with_zero_row(like_PD: Tensor) -> Tensor:
    """Room for as many rows, and one of zeros for rows that stand at no place."""
    x_PD = like_PD.new_empty(like_PD.shape[0] + 1, like_PD.shape[1])
    x_PD[-1].zero_()
    return x_PD


def _gather(x_1HND: Tensor, index: HeadIndex) -> Tensor:
    return x_1HND.squeeze(0).transpose(0, 1).reshape(-1, x_1HND.shape[3]).index_select(0, index.gather)


def _heads_first(x_NHD: Tensor) -> Tensor:
    return x_NHD.transpose(0, 1).unsqueeze(0)


def _to_source(g_PD: Tensor, plan: _Plan) -> Tensor:
    """Gradient at places back to tokens and key heads; query heads that share one add up."""
    g_NHD = g_PD.index_select(0, plan.keys.scatter).view(-1, plan.heads, g_PD.shape[1])
    if plan.heads == plan.source_heads:
        return g_NHD
    return g_NHD.view(-1, plan.source_heads, plan.heads // plan.source_heads, g_PD.shape[1]).sum(2)


def _dropped(x_BQL: Tensor, multiplier: Tensor | None) -> Tensor:
    return x_BQL if multiplier is None else x_BQL * multiplier


def _multipliers(
    module: nn.Module, batch: RaggedBatch, heads: int, pooled_only: bool, dtype: torch.dtype
) -> list[Tensor | None]:
    """Dropout of attention weights, [S * H, Q, L] a bucket: keys of (query token, head), columns of key places."""
    p = attention_dropout(module)
    if p == 0.0 or batch.row_keys_N is None:
        return [None] * len(batch.buckets.buckets)
    site: int = getattr(module, SITE_ATTRIBUTE)
    group: DropoutSites = getattr(module, GROUP_ATTRIBUTE)
    drawn: list[Tensor | None] = []
    for place, bucket in enumerate(batch.buckets.buckets):
        keys_SHQ = batch.buckets.weight_keys(place, batch.row_keys_N, heads, pooled_only=pooled_only)
        multiplier_SHQL = group.multiplier(batch, site, keys_SHQ, bucket.width, p=p, dtype=dtype)
        drawn.append(multiplier_SHQL.flatten(0, 1))
    return drawn


def attention_dropout(module: nn.Module) -> float:
    """The attention dropout a layer was built with, whatever its family calls it."""
    for name in ("dropout", "attn_dropout", "attention_dropout"):
        value = getattr(module, name, None)
        if value is not None:
            return float(value) if isinstance(value, int | float) else float(value.p)
    return 0.0


AttentionInterface.register(ATTENTION_NAME, ragged_attention)
