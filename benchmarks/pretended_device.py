"""A device that is none: tensors that claim another device, refuse to be mixed with the host's, and are counted.

The numbers are the host's own. What is real: every operation sees which device its operands are on, mixing them
raises as on a GPU, the program takes the ways it takes where the device is not the CPU, backward passes run in a
thread of the device, and there is a count of what the device is asked to do. What is not: streams, memory, speed, the
kernels of a GPU.

Stands on torch's experimental support for backends written in Python: for tests and counts, nothing else.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _DummyPrivateUse1Hook,
    _setup_privateuseone_for_python_backend,
)

NAME = "pretended"
WAITING = {"_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "masked_select", "equal", "repeat_interleave"}
"""Operations whose result the host has to see before it can go on."""
WITHOUT_WORK = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "_unsafe_view"}
"""Operations that make room, or another name for it."""
ONE_KERNEL: dict[Callable[..., Any], tuple[str, int]] = {
    F.scaled_dot_product_attention: ("attention", 3),
    F.rms_norm: ("rms_norm", 2),
    F.silu: ("silu", 1),
}
"""What a GPU does in one launch and the host takes apart: a name, and launches of the backward pass."""


@dataclass(eq=False)
class Traffic:
    """What the device was asked to do."""

    launches: Counter[str] = field(default_factory=Counter)
    """Kernels by name of the operation: one each, though some operations of a GPU take several."""
    uploads: int = 0
    """Copies from the host."""
    waits: Counter[str] = field(default_factory=Counter)
    """Times that the host cannot go on before the device has come so far."""


class OnDevice(Tensor):
    """A tensor of the device."""

    raw: Tensor
    """Its numbers, in the host's memory."""

    @staticmethod
    def __new__(cls, raw: Tensor) -> OnDevice:
        """Wrap numbers."""
        made: OnDevice = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=DEVICE,
        )
        made.raw = raw
        return made

    @property  # type: ignore[override]
    def data(self) -> OnDevice:
        """The same numbers outside of autograd; what is assigned replaces them."""
        return OnDevice(self.raw.detach())

    @data.setter
    def data(self, new: OnDevice) -> None:
        self.raw = new.raw

    def tolist(self) -> Any:
        """Its numbers for the host."""
        _note(wait="tolist")
        return self.raw.tolist()

    def data_ptr(self) -> int:
        """Where its numbers are."""
        return self.raw.data_ptr()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"OnDevice({self.raw})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, op: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute on the host what was asked of the device."""
        return _run(op, args, kwargs or {})


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _Hook(_DummyPrivateUse1Hook):
    def is_available(self) -> bool:
        return False  # nobody else shall choose it


_setup_privateuseone_for_python_backend(NAME, _Backend(), _Hook())
DEVICE = torch.device(NAME, 0)
_library = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]
_library.fallback(lambda op, *args, **kwargs: _run(op, args, kwargs), "PrivateUse1")  # type: ignore[no-untyped-call]
_open: list[Traffic] = []
_lock = threading.Lock()


class _Functions(TorchFunctionMode):
    """In this thread: what does not reach the device as the one operation that it would be there."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function is torch.tensor and torch.device(kwargs.get("device") or "cpu").type == NAME:
            return torch.tensor(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)  # built behind dispatch's back
        if function in ONE_KERNEL and isinstance(args[0], OnDevice):
            return _Kernel.apply(function, kwargs, *args)  # type: ignore[no-untyped-call]
        return function(*args, **kwargs)


class _Kernel(torch.autograd.Function):
    """One operation, forward and backward, computed by the host's own."""

    @staticmethod
    def forward(ctx: Any, function: Any, kwargs: dict[str, Any], *args: Any) -> Tensor:
        own = [_raw(x).detach().requires_grad_(x.requires_grad) if isinstance(x, OnDevice) else x for x in args]
        with torch.enable_grad():
            ctx.found = function(*own, **tree_map(_raw, kwargs))
        ctx.own, ctx.name, ctx.backward_launches = own, *ONE_KERNEL[function]
        _note(launch=ctx.name)
        return OnDevice(ctx.found.detach())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        wanted = [x for x in ctx.own if isinstance(x, Tensor) and x.requires_grad]
        found = iter(torch.autograd.grad(ctx.found, wanted, _raw(grads[0])))
        for _ in range(ctx.backward_launches):
            _note(launch=f"{ctx.name}_backward")
        answers = [OnDevice(next(found)) if isinstance(x, Tensor) and x.requires_grad else None for x in ctx.own]
        return None, None, *answers


@contextmanager
def counted() -> Iterator[Traffic]:
    """Make the device usable in this thread, and count what it is asked to do from any thread."""
    traffic = Traffic()
    _open.append(traffic)
    try:
        with _Functions():
            yield traffic
    finally:
        _open.remove(traffic)


def _run(op: Any, args: Any, kwargs: Any) -> Any:
    name = op._schema.name.removeprefix("aten::")
    if name in ("_to_copy", "copy_"):
        return _moved(op, name, args, kwargs)
    operands = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    for x in operands:
        if not isinstance(x, OnDevice) and x.dim() > 0:
            raise RuntimeError(f"{op}: a tensor {tuple(x.shape)} of the host among those of the device")
    found = op(*tree_map(_raw, args), **_on_host(kwargs))
    has_mask = name in ("index", "index_put_") and any(x.dtype == torch.bool for x in operands[1:])
    if name in WAITING or has_mask:
        _note(wait=name)
    elif name not in WITHOUT_WORK and not op.is_view:
        _note(launch=name)
    return _answers(args, kwargs, found)


def _moved(op: Any, name: str, args: Any, kwargs: Any) -> Any:
    """A copy, within the device, to it or from it."""
    source = args[1] if name == "copy_" else args[0]
    target = args[0].device if name == "copy_" else torch.device(kwargs.get("device") or source.device)
    was_here, is_here = isinstance(source, OnDevice), target.type == NAME
    found = op(*tree_map(_raw, args), **_on_host(kwargs))
    if was_here and is_here:
        _note(launch=name)
    elif is_here:
        is_waited_for = not (kwargs.get("non_blocking") or args[2:3] == (True,))
        _note(upload=True, wait="upload" if is_waited_for else None)
    else:
        _note(wait="download")
    if name == "copy_":
        return args[0]
    return OnDevice(found) if is_here else found


def _answers(args: Any, kwargs: Any, found: Any) -> Any:
    """What was written to is given back itself; everything else is new."""
    known = {id(x.raw): x for x in tree_leaves((args, kwargs)) if isinstance(x, OnDevice)}

    def answer(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return known[id(x)] if id(x) in known else OnDevice(x)

    return tree_map(answer, found)


def _note(*, upload: bool = False, wait: str | None = None, launch: str | None = None) -> None:
    with _lock:
        for traffic in _open:
            traffic.uploads += upload
            traffic.waits.update([wait] if wait else [])
            traffic.launches.update([launch] if launch else [])


def _raw(x: Any) -> Any:
    return x.raw if isinstance(x, OnDevice) else x


def _on_host(kwargs: dict[str, Any]) -> dict[str, Any]:
    there = {key: tree_map(_raw, value) for key, value in kwargs.items()}
    if there.get("device") is not None:
        there["device"] = torch.device("cpu")
    return there
