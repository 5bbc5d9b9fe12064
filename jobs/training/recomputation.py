"""Gradient checkpointing: a layer's activations are not kept but computed again in the backward pass.

transformers' own switch needs a model in training mode, which would bring its random dropout back; ours comes
from keys, so that a second pass draws the same masks as the first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from jobs.models.loading import Base
    from jobs.training.dropout import PackState

_MARKER = "finegrid_can_recompute"


class _Switch(threading.local):
    """Whether the pass in this thread recomputes: engines in other threads share the layers."""

    is_on = False


_switch = _Switch()


@contextmanager
def recomputed_layers(base: Base, *, enabled: bool) -> Iterator[None]:
    """While open, this thread's passes through the base keep only what goes into each layer.

    Args:
        base: its layers are wrapped at the first time; other passes through them stay as they are.
        enabled: False: nothing happens.
    """
    if not enabled:
        yield
        return
    for layer in base.model.get_submodule(base.family.layers).children():
        _wrap(layer, base.state)
    _switch.is_on = True
    try:
        yield
    finally:
        _switch.is_on = False


def _wrap(layer: nn.Module, state: PackState) -> None:
    if hasattr(layer, _MARKER):
        return
    forward = layer.forward
    setattr(layer, _MARKER, True)

    def forward_or_checkpoint(hidden: Tensor, *arguments: Any, **settings: Any) -> Any:
        # Below the first layer that trains there is nothing to keep, and no backward pass.
        if not (_switch.is_on and hidden.requires_grad):
            return forward(hidden, *arguments, **settings)
        repeatable = _repeatable(lambda x: forward(x, *arguments, **settings), state)
        return checkpoint(repeatable, hidden, use_reentrant=True, preserve_rng_state=False)

    layer.forward = forward_or_checkpoint


def _repeatable(forward: Callable[[Tensor], Any], state: PackState) -> Callable[[Tensor], Any]:
    """The same computation wherever it runs: on CUDA the backward pass has threads without this one's state."""
    begun = dict(vars(state))

    def run(hidden: Tensor) -> Any:
        found = dict(vars(state))
        vars(state).update(begun)
        try:
            return forward(hidden)
        finally:
            vars(state).update(found)

    return run
