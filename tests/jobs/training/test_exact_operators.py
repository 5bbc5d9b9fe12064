"""Which operators give a row the same bits whatever rows stand beside it, at the widths of real models.

`exact` leaves these operators batched over all cells (see `rows_keep_their_bits`); everything else runs at the
cell's own shape. One thread, as the engines have it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.activations import NewGELUActivation
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from jobs.training.text_buckets import _WIDTH_STEP

WIDTHS = (64, 128, 384, 768, 1024, 1152, 1536, 1600, 3072, 4864, 6400, 6912, 8192, 8960)
"""Hidden and inner widths of the tiny members, MiniLM, BERT, Qwen2.5, LLaMA 3.2, GPT-2 XL and Gemma 3."""
DTYPES = (torch.float32, torch.bfloat16)
BESIDE = (0, 1, 7, 38)
"""Rows in front of the cell's own; as many stand behind."""
ROWS = 13


def with_gradient(operator: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """An operator's result and the gradient of its input, side by side."""

    def both(x: Tensor) -> Tensor:
        leaf = x.detach().clone().requires_grad_(True)
        y = operator(leaf)
        y.backward(torch.sin(torch.arange(y.shape[1]).float()).to(y.dtype).expand_as(y).contiguous())
        return torch.cat([y.detach(), leaf.grad], dim=1)

    return both


def layer_norm(x: Tensor) -> Tensor:
    weight = torch.linspace(0.5, 1.5, x.shape[1], dtype=x.dtype)
    return F.layer_norm(x, (x.shape[1],), weight, weight)


def rms_norm(x: Tensor) -> Tensor:
    return LlamaRMSNorm(x.shape[1]).to(x.dtype)(x)


ROW_WISE = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_new": NewGELUActivation(),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "residual": lambda x: x + x.flip(1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROW_WISE)
def test_a_row_keeps_its_bits_whatever_stands_beside_it(name: str, dtype: torch.dtype) -> None:
    operator = with_gradient(ROW_WISE[name])
    for width in WIDTHS:
        generator = torch.Generator().manual_seed(width)
        x = (3 * torch.randn(ROWS + 2 * max(BESIDE), width, generator=generator)).to(dtype)
        own = x[max(BESIDE) : max(BESIDE) + ROWS].clone()
        alone = operator(own)
        for count in BESIDE:
            around = x[max(BESIDE) - count : max(BESIDE) + ROWS + count].clone()
            assert torch.equal(operator(around)[count : count + ROWS], alone), (width, count)


@pytest.mark.parametrize("width", [32, 64, 128, 256])
def test_angles_of_rotary_positions_keep_their_bits(width: int) -> None:
    angles = torch.rand(ROWS + 2 * max(BESIDE), width) * 100
    for function in (torch.cos, torch.sin):
        alone = function(angles[38 : 38 + ROWS].clone())
        for count in BESIDE:
            assert torch.equal(function(angles[38 - count : 38 + ROWS + count].clone())[count : count + ROWS], alone)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("head_width", [16, 32, 64, 80, 128, 256])
def test_attention_of_a_text_keeps_its_bits_whatever_texts_share_its_bucket(
    head_width: int, dtype: torch.dtype
) -> None:
    """Every product of the attention's forward and backward pass, and softmax with its gradient."""
    for width in (_WIDTH_STEP, 2 * _WIDTH_STEP, 5 * _WIDTH_STEP):
        for queries in (width, 1):
            generator = torch.Generator().manual_seed(width)
            q, go = (torch.randn(60, queries, head_width, generator=generator).to(dtype) for _ in range(2))
            k, v = (torch.randn(60, width, head_width, generator=generator).to(dtype) for _ in range(2))
            together = attention_products(q, k, v, go)
            for first, last in ((0, 12), (12, 24), (31, 36), (59, 60)):
                alone = attention_products(*(x[first:last].clone() for x in (q, k, v, go)))
                for one, all_ in zip(alone, together, strict=True):
                    assert torch.equal(one, all_[first:last]), (width, queries, first)


def attention_products(q: Tensor, k: Tensor, v: Tensor, go: Tensor) -> list[Tensor]:
    scores = torch.bmm(q, k.transpose(1, 2))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
    gv = torch.bmm(weights.to(v.dtype).transpose(1, 2), go)
    gp = torch.bmm(go, v.transpose(1, 2)).float()
    gs = torch._softmax_backward_data(gp, weights, -1, torch.float32).to(q.dtype)
    return [
        scores,
        weights,
        torch.bmm(weights.to(v.dtype), v),
        gv,
        gs,
        torch.bmm(gs, k),
        torch.bmm(gs.transpose(1, 2), q),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_into_a_part_of_a_larger_result_are_the_products_alone(dtype: torch.dtype) -> None:
    """How `exact` multiplies: the cell's rows out of all rows, the result into all results."""
    for inputs, outputs in ((64, 128), (384, 1536), (1536, 384), (768, 768)):
        x, weight, bias = (torch.randn(*shape).to(dtype) for shape in ((200, inputs), (outputs, inputs), (outputs,)))
        together = torch.empty(200, outputs, dtype=dtype)
        for first, last in ((0, 37), (37, 120), (120, 121), (121, 200)):
            torch.addmm(bias, x[first:last], weight.t(), out=together[first:last])
            assert torch.equal(together[first:last], F.linear(x[first:last].clone(), weight, bias))
