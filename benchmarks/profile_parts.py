"""Which part of a step an operator belongs to: ranges around modules, carried over to their backward passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from torch import nn
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import FunctionEvent
from transformers import AttentionInterface

from jobs.models.loading import Base
from jobs.training.attention import ATTENTION_NAME
from jobs.training.engine import PackEngine
from jobs.training.linear import PackedLinear

PREFIX = "part:"
PYTHON = "python between operators"
"""Own time of a range: neither operator nor kernel (the profiler's own cost included)."""
_BACKWARD = "autograd::engine::evaluate_function: "
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("GEMM", ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "mkldnn", "aten::_scaled_dot", "dnnl")),
    ("dequantise", ("bitsandbytes",)),
    ("softmax", ("softmax",)),
    ("dropout masks", ("bitwise", "shift", "xor", "aten::le", "aten::where")),
    (
        "copies, gathers, fills",
        (
            "copy_",
            "index",
            "gather",
            "scatter",
            "cat",
            "stack",
            "embedding",
            "clone",
            "fill",
            "zero",
            "empty",
            "select",
            "contiguous",
            "repeat",
            "slice",
            "pad",
            "arange",
            "resize",
            "set_data",
        ),
    ),
    ("reductions, norms", ("sum", "mean", "norm", "argmax", "max", "min", "all")),
)


@dataclass(frozen=True, kw_only=True)
class Share:
    """Time of one operator in one part of a step."""

    part: str
    kind: str
    operator: str
    milliseconds: float
    calls: float


@contextmanager
def marked(base: Base, engines: Sequence[PackEngine]) -> Iterator[None]:
    """Put named ranges around the parts of a step.

    Side effects:
        hooks into the base's modules, replaces the registered attention and methods of the engines; undone at the end.
    """
    handles: list[Any] = []
    for module in base.model.modules():
        part = _part_of(module)
        if part is not None:
            handles += _hooked(module, part)
    interface = AttentionInterface()
    attention = interface[ATTENTION_NAME]
    AttentionInterface.register(ATTENTION_NAME, _ranged(attention, "attention"))
    replaced: list[tuple[Any, str, str]] = [(engine, "_laid_out", "batch layout") for engine in engines]
    replaced += [(group, "update", "optimiser") for engine in engines for group in engine.groups]
    # A plain frozen weight is no module of its own inside the layer that adds the adapters.
    replaced += [(m, "_frozen", "frozen linear layers") for m in base.model.modules() if isinstance(m, PackedLinear)]
    for owner, name, part in replaced:
        setattr(owner, name, _ranged(getattr(owner, name), part))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        AttentionInterface.register(ATTENTION_NAME, attention)
        for owner, name, _ in replaced:
            delattr(owner, name)


def _part_of(module: nn.Module) -> str | None:
    name = type(module).__name__
    parts = (
        ("PackedLinear", "adapters"),
        ("Linear", "frozen linear layers"),
        ("Conv1D", "frozen linear layers"),
        ("Dropout", "dropout"),
        ("Norm", "normalisation"),
        ("Embedding", "embedding"),
        ("Activation", "activation"),
        ("GELU", "activation"),
        ("SiLU", "activation"),
    )
    if name.endswith(("Embeddings", "Attention", "Output")):
        return None
    return next((part for word, part in parts if word in name), None)


def _hooked(module: nn.Module, part: str) -> list[Any]:
    open_ranges: list[record_function] = []

    def enter(*_: Any) -> None:
        open_ranges.append(record_function(PREFIX + part))
        open_ranges[-1].__enter__()  # type: ignore[no-untyped-call]

    def leave(*_: Any) -> None:
        open_ranges.pop().__exit__(None, None, None)

    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]


def _ranged(function: Callable[..., Any], part: str) -> Callable[..., Any]:
    @wraps(function)
    def inner(*arguments: Any, **named: Any) -> Any:
        with record_function(PREFIX + part):
            return function(*arguments, **named)

    return inner


def shares(events: Sequence[FunctionEvent], *, steps: int) -> list[Share]:
    """Sum the operators' own time by part and operator.

    Args:
        events: of a profile taken within `marked`.
        steps: how many steps it holds.
    Returns:
        shares of one step, largest first.
    """
    part_of_forward = _forward_parts(events)
    milliseconds: dict[tuple[str, str], float] = defaultdict(float)
    calls: dict[tuple[str, str], int] = defaultdict(int)
    for event in events:
        own = event.self_device_time_total or event.self_cpu_time_total
        if own <= 0:
            continue
        name = PYTHON if event.name.startswith(PREFIX) else event.name.removeprefix(_BACKWARD)
        key = (_part(event, part_of_forward), name)
        milliseconds[key] += own / 1000
        calls[key] += 1
    found = [
        Share(
            part=part,
            kind=_kind(operator),
            operator=operator,
            milliseconds=total / steps,
            calls=calls[part, operator] / steps,
        )
        for (part, operator), total in milliseconds.items()
    ]
    return sorted(found, key=lambda share: -share.milliseconds)


def _forward_parts(events: Sequence[FunctionEvent]) -> dict[int, str]:
    """Autograd's sequence number of an operator -> the part it ran in."""
    parts: dict[int, str] = {}
    for event in events:
        number = getattr(event, "sequence_nr", -1)
        if number >= 0 and not event.name.startswith(_BACKWARD) and not _backward_root(event):
            part = _own_part(event)
            if part is not None:
                parts[number] = part
    return parts


def _own_part(event: FunctionEvent | None) -> str | None:
    while event is not None:
        if event.name.startswith(PREFIX):
            return event.name.removeprefix(PREFIX)
        event = event.cpu_parent
    return None


def _backward_root(event: FunctionEvent | None) -> FunctionEvent | None:
    while event is not None:
        if event.name.startswith(_BACKWARD):
            return event
        event = event.cpu_parent
    return None


def _part(event: FunctionEvent, part_of_forward: dict[int, str]) -> str:
    root = _backward_root(event)
    if root is None:
        return _own_part(event) or "other"
    return part_of_forward.get(root.sequence_nr, "other")


def _kind(name: str) -> str:
    if name == PYTHON:
        return "python"
    plain = name.lower()
    if "backward" in plain and not plain.startswith("aten::"):
        return "autograd"
    for kind, words in _KINDS:
        if any(word.lower() in plain for word in words):
            return kind
    return "elementwise, rest"
