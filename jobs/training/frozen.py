"""Products with frozen weights: x W^T + b and their gradients, every group of cells on its own.

On a CPU with bfloat16 products, the library puts a weight into its own order before each product, which costs a quarter
of a product of a hundred rows and a twentieth of one of a thousand. Weights that never change are put in order once,
for both directions; the numbers are the same.

Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from jobs.training.ragged import CellGroup

MOST_REORDERED_BYTES = 1 << 30
"""Reordered copies of a base take at most this: with large bases memory is dearer than the gain."""
_USUAL_ROWS = 256
"""Rows of a usual product: the library may choose an order by it."""


class FrozenProduct:
    """The product with one frozen weight."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, *, reorders: bool) -> None:
        """Keep the weight.

        Args:
            weight_OI: never changed while it is used here.
            bias_O: or None.
            reorders: keep copies in the library's own order, two of the weight's size, where that pays.
        """
        self.weight_OI, self.bias_O = weight_OI, bias_O
        self._made_of = weight_OI.data_ptr(), weight_OI._version
        self._forward: Tensor | None = None
        self._backward: Tensor | None = None
        if reorders and _can_reorder(weight_OI):
            self._forward, self._backward = _reordered(weight_OI), _reordered(weight_OI.t())

    def is_of(self, weight: Tensor) -> bool:
        """True while a weight (as it is or transposed) is the one this was made of, unchanged and not trained."""
        return (weight.data_ptr(), weight._version) == self._made_of and not weight.requires_grad

    def __call__(self, x_1NI: Tensor, groups: Sequence[CellGroup]) -> Tensor:
        """Multiply every group's rows on their own: their last bits depend on nobody else."""
        y_1NO: Tensor = _Product.apply(x_1NI, self, groups)  # type: ignore[no-untyped-call]
        return y_1NO

    @property
    def takes_any_shape(self) -> bool:
        """Whether rows may have further dimensions in front."""
        return self._forward is not None

    def outputs(self, x_NI: Tensor, out: Tensor | None = None) -> Tensor:
        """Multiply: x W^T + b."""
        if self._forward is not None:
            return _placed(_times(x_NI, self._forward, self.bias_O), out)
        if self.bias_O is None:
            return torch.mm(x_NI, self.weight_OI.t(), out=out)
        return torch.addmm(self.bias_O, x_NI, self.weight_OI.t(), out=out)

    def input_gradients(self, g_NO: Tensor, out: Tensor | None = None) -> Tensor:
        """Gradient W of the inputs from that of the outputs."""
        if self._backward is not None:
            return _placed(_times(g_NO, self._backward, None), out)
        return torch.mm(g_NO, self.weight_OI, out=out)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_1NI: Tensor, product: FrozenProduct, groups: Sequence[CellGroup]) -> Tensor:
        ctx.product, ctx.groups = product, groups
        if len(groups) == 1 and product.takes_any_shape:
            return product.outputs(x_1NI)
        return _by_group(product.outputs, x_1NI.squeeze(0), product.weight_OI.shape[0], groups)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        product: FrozenProduct = ctx.product
        if len(ctx.groups) == 1 and product.takes_any_shape:
            return product.input_gradients(grads[0]), None, None
        inputs = product.weight_OI.shape[1]
        return _by_group(product.input_gradients, grads[0].squeeze(0), inputs, ctx.groups), None, None


def _by_group(multiply: Any, x_NI: Tensor, outputs: int, groups: Sequence[CellGroup]) -> Tensor:
    if len(groups) == 1:
        whole_NO: Tensor = multiply(x_NI)
        return whole_NO.unsqueeze(0)
    y_NO = x_NI.new_empty(x_NI.shape[0], outputs)
    for group in groups:
        multiply(x_NI[group.rows], out=y_NO[group.rows])
    return y_NO.unsqueeze(0)


def _can_reorder(weight_OI: Tensor) -> bool:
    """Only where both ways run the same kernel: torch multiplies float32 with another library."""
    if weight_OI.device.type != "cpu" or weight_OI.dtype is not torch.bfloat16 or not torch.backends.mkldnn.enabled:
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _reordered(weight_OI: Tensor) -> Tensor:
    # The operators torch.compile uses for frozen weights; torch has no public name for them.
    ordered: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI.contiguous(), _USUAL_ROWS)
    return ordered


def _times(x_NI: Tensor, ordered: Tensor, bias_O: Tensor | None) -> Tensor:
    y_NO: Tensor = torch.ops.mkldnn._linear_pointwise(x_NI.contiguous(), ordered, bias_O, "none", [], "")
    return y_NO


def _placed(y_NO: Tensor, out: Tensor | None) -> Tensor:
    return y_NO if out is None else out.copy_(y_NO)


def plain_product(module: nn.Module) -> tuple[Tensor, Tensor | None] | None:
    """Weight [O, I] and bias of a frozen layer that multiplies with them as they are, else None: 4-bit, trained."""
    is_transposed = isinstance(module, Conv1D)
    if not is_transposed and type(module) is not nn.Linear:
        return None
    weight: Tensor = module.weight  # type: ignore[assignment]
    bias: Tensor | None = module.bias  # type: ignore[assignment]
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return None
    return weight.detach().t() if is_transposed else weight.detach(), bias
