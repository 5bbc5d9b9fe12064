"""Products with frozen weights: the numbers of a plain layer, bit by bit those of a group alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from jobs.training import frozen
from jobs.training.frozen import FrozenProduct, plain_product
from jobs.training.prepare import _reordered_bytes
from jobs.training.ragged import CellGroup
from jobs.training.rows import padded_places

needs_bf16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bfloat16 products"
)


def _groups(*rows: int) -> list[CellGroup]:
    import numpy as np

    found, first = [], 0
    for count in rows:
        places = padded_places(np.array([count]), torch.device("cpu"))
        own = slice(first, first + count)
        found.append(
            CellGroup(
                num_cells=1, rows=own, cell_rows=(slice(0, count),), texts=own, row_places=places, text_places=places
            )
        )
        first += count
    return found


def _both(
    rows: tuple[int, ...], shape: tuple[int, int], dtype: torch.dtype, *, reorders: bool
) -> tuple[Tensor, Tensor]:
    """Output and gradient of the input."""
    generator = torch.Generator().manual_seed(7)
    weight, bias = torch.randn(shape, generator=generator), torch.randn(shape[0], generator=generator)
    x = torch.randn(1, sum(rows), shape[1], generator=generator).to(dtype).requires_grad_(True)
    product = FrozenProduct(weight.to(dtype), bias.to(dtype), reorders=reorders)
    y = product(x, _groups(*rows))
    y.backward(torch.randn(y.shape, generator=generator).to(dtype))
    assert x.grad is not None
    return y.detach(), x.grad


@needs_bf16
@pytest.mark.parametrize("shape", [(64, 64), (384, 384), (1536, 384), (384, 1536), (48, 40)])
@pytest.mark.parametrize("rows", [(1,), (24,), (168,), (16, 72, 40)])
def test_weights_in_the_librarys_own_order_give_the_numbers_of_a_layer(
    rows: tuple[int, ...], shape: tuple[int, int]
) -> None:
    """Within the rounding of bfloat16 of what float32 gives, and bit by bit what every group alone gives."""
    y, gradient = _both(rows, shape, torch.bfloat16, reorders=True)
    exact_y, exact_gradient = _both(rows, shape, torch.float32, reorders=False)
    for found, exact in ((y, exact_y), (gradient, exact_gradient)):
        assert (found.float() - exact).norm() <= 2**-7 * exact.norm()
    plain_y, plain_gradient = _both(rows, shape, torch.bfloat16, reorders=False)
    for found, plain in ((y, plain_y), (gradient, plain_gradient)):
        assert (found.float() - plain.float()).norm() <= 2**-8 * plain.float().norm()


@needs_bf16
def test_a_group_gets_what_it_would_get_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(96, 64, generator=generator).bfloat16()
    x = torch.randn(1, 128, 64, generator=generator).bfloat16()
    product = FrozenProduct(weight, None, reorders=True)
    together = product(x, _groups(40, 16, 72))
    for rows in (slice(0, 40), slice(40, 56), slice(56, 128)):
        assert torch.equal(together[:, rows], product(x[:, rows], _groups(rows.stop - rows.start)))


@needs_bf16
def test_only_bfloat16_of_a_cpu_is_reordered() -> None:
    weight = torch.randn(64, 64)
    assert FrozenProduct(weight.bfloat16(), None, reorders=True)._forward is not None
    assert FrozenProduct(weight, None, reorders=True)._forward is None
    assert FrozenProduct(weight.bfloat16(), None, reorders=False)._forward is None


def test_a_changed_weight_is_seen() -> None:
    layer = nn.Linear(4, 4).requires_grad_(False)
    product = FrozenProduct(layer.weight, layer.bias, reorders=False)
    assert product.is_of(layer.weight)
    layer.weight.mul_(2)
    assert not product.is_of(layer.weight), "else a reloaded base would go on with its old numbers"
    again = FrozenProduct(layer.weight, layer.bias, reorders=False)
    layer.requires_grad_(True)
    assert not again.is_of(layer.weight), "a weight that is trained needs its gradient"


def test_trained_layers_have_no_plain_product() -> None:
    layer = nn.Linear(4, 3)
    assert plain_product(layer) is None and plain_product(nn.LayerNorm(4)) is None
    plain = plain_product(layer.requires_grad_(False))
    assert plain is not None and plain[0].shape == (3, 4) and plain[1] is not None


def test_copies_of_large_bases_are_not_made() -> None:
    """12 layers of BERT-base fit; GPT-2 XL's would take six gigabytes."""
    small = nn.ModuleList(nn.Linear(768, 768, device="meta") for _ in range(4 * 12))
    large = nn.ModuleList(nn.Linear(1600, 6400, device="meta") for _ in range(2 * 48))
    assert _reordered_bytes(small) < frozen.MOST_REORDERED_BYTES < _reordered_bytes(large)
