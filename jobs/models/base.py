"""The base that the cells of a pack share: a frozen pretrained model and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from jobs.models.device import Compute
from jobs.models.families import Family
from jobs.models.head import initial_head
from jobs.training.dropout import PackState
from jobs.training.rows import take_rows

BASE_PREFIX = "base."
"""In front of the names of the base's own weights among a cell's tensors (strategy full)."""


@dataclass(kw_only=True)
class Base:
    """One frozen pretrained model, ready to be shared by the cells of a pack."""

    key: str
    family: Family
    model: nn.Module
    tokenizer: Any
    tokenizer_key: str
    """Names the tokenizer in caches: model and version, whatever the base's numeric form."""
    state: PackState
    compute: Compute
    linear_shapes: dict[str, tuple[int, int]]
    hidden: int
    initializer_range: float
    head_dropout: float
    parameters: int
    """Weights of the pretrained model without any head."""
    position_offset: int
    max_positions: int
    rows_keep_their_bits: bool
    """True when a row's numbers in row-wise layers cannot depend on the rows beside it (see `rows_keep_their_bits`)."""

    is_stock = False
    """True for the stock classifier, which trains one cell at a time."""

    def initial_head(self, num_labels: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw a fresh head: its tensors by name, in a fixed order."""
        return initial_head(self.family, self.hidden, num_labels, std=self.initializer_range, generator=generator)

    @cached_property
    def pristine(self) -> dict[str, Tensor]:
        """The pretrained weights by name; strategy full starts from them and leaves them as they were."""
        return {name: parameter.data for name, parameter in self.model.named_parameters()}

    def pool(self, hidden_ND: Tensor) -> Tensor:
        """Vectors that heads see, float32: the family's token of every text, through the frozen pooler if any."""
        batch = self.state.running
        pooled_SH = take_rows(hidden_ND, batch.pooled_token_S, batch.text_or_zero_N)
        if self.family.pooler is not None:
            pooler = self.model.get_submodule(self.family.pooler)
            pooled_SH = torch.tanh(torch.cat([pooler(pooled_SH[group.texts]) for group in batch.groups]))
        return pooled_SH.float()


def rows_keep_their_bits(model: nn.Module, shapes: Mapping[str, tuple[int, int]], compute: Compute) -> bool:
    """Whether row-wise layers of this base give a row the same bits whatever other rows stand beside it.

    CPU kernels run over all elements in blocks of up to 64, then over what is left with other instructions that
    may round differently. Rows whose widths are multiples of 64 (32 for the float32 angles of rotary positions)
    never share a block. Shown by tests/jobs/training/test_exact_operators.py; GPU kernels promise nothing.
    """
    if compute.device.type != "cpu":
        return False
    widths = {width for shape in shapes.values() for width in shape}
    angles = {2 * buffer.numel() for name, buffer in model.named_buffers() if name.endswith("inv_freq")}
    return all(width % 64 == 0 for width in widths) and all(width % 32 == 0 for width in angles)
