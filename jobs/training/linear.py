"""A frozen linear layer of the base, with the updates of all cells in the pass.

Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from jobs.training.dropout import DropoutSites, PackState
from jobs.training.frozen import FrozenProduct, plain_product
from jobs.training.low_rank import add_low_rank
from jobs.training.ragged import Rows


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
        reorders: bool = False,
    ) -> None:
        """Wrap a layer.

        Args:
            base: the layer.
            name: of the module in the base.
            state: of the running pass.
            site: number of the place in the network.
            shape: (in, out).
            group: gathers layers of the same kind and width.
            reorders: keep copies of the weight as the CPU library wants it, where that pays.
        """
        super().__init__()
        self.base = base
        self.name = name
        self.site = site
        self.in_features, self.out_features = shape
        self._state = state
        self._group = group
        self._reorders = reorders
        self._product: FrozenProduct | None = None
        group.add(site)

    def forward(self, x_1NI: Tensor) -> Tensor:
        """Base output plus scaling * B A drop(x), each cell with its own A and B."""
        rows = self._state.current
        adapters = (self._state.adapters or {}).get(self.name)
        y_1NO = self._frozen(x_1NI, rows)
        if adapters is None:
            return y_1NO
        multiplier_NI = self._multiplier(rows, x_1NI.dtype)
        return add_low_rank(x_1NI, y_1NO, groups=rows.groups, adapters=adapters, multiplier_NI=multiplier_NI)

    def _frozen(self, x_1NI: Tensor, rows: Rows) -> Tensor:
        """The layer itself; each group of cells goes through a product of its own."""
        product = self._frozen_product()
        if product is not None:
            return product(x_1NI, rows.groups)
        if len(rows.groups) == 1:
            y_1NO: Tensor = self.base(x_1NI)
            return y_1NO
        return torch.cat([self.base(x_1NI[:, group.rows]) for group in rows.groups], dim=1)

    def _frozen_product(self) -> FrozenProduct | None:
        """The product with the layer's weight, made anew when the weight is another one; None: not a plain layer."""
        if self._product is None or not self._product.is_of(self.base.weight):  # type: ignore[arg-type]
            plain = plain_product(self.base)
            self._product = None if plain is None else FrozenProduct(*plain, reorders=self._reorders)
        return self._product

    def _multiplier(self, rows: Rows, dtype: torch.dtype) -> Tensor | None:
        p = self._state.adapter_dropout
        if rows.row_keys_N is None:
            return None
        if isinstance(p, np.ndarray):
            p = p.repeat(rows.rows_n)
        elif p == 0.0:
            return None
        return self._group.multiplier(rows, self.site, rows.row_keys_N, self.in_features, p=p, dtype=dtype)


def linear_shape(module: nn.Module) -> tuple[int, int] | None:
    """(in, out) of a linear layer of any kind (torch, bitsandbytes, GPT-2's Conv1D), else None."""
    if isinstance(module, nn.Linear):  # bitsandbytes' layers are its subclasses
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        inputs, outputs = module.weight.shape
        return int(inputs), int(outputs)
    return None
