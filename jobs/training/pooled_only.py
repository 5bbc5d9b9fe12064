"""Parts of the last layer run on the pooled tokens alone: nobody reads what they say about the others."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from jobs.training.dropout import PackState
from jobs.training.rows import spread_rows, take_rows


def compute_pooled_only(module: nn.Module, state: PackState) -> None:
    """Let a row-wise module see the pooled tokens alone, and put zeros at all others.

    Args:
        module: takes and gives tensors [1, N, width], each row for itself.
        state: says which tokens are pooled; a batch without pooled rows is left whole.
    Side effects:
        registers hooks on the module.
    """

    def before(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        batch = state.running
        if batch.pooled is None:
            return arguments
        state.is_narrow = True
        return tuple(
            take_rows(x_1NI.squeeze(0), batch.pooled_token_S, batch.text_or_zero_N).unsqueeze(0) for x_1NI in arguments
        )

    def after(_: nn.Module, __: Any, output_1SO: Tensor) -> Tensor:
        batch = state.running
        if batch.pooled is None:
            return output_1SO
        state.is_narrow = False
        return spread_rows(output_1SO.squeeze(0), batch.pooled_token_S, batch.text_or_zero_N).unsqueeze(0)

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)
