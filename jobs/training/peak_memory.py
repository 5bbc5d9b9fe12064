"""How much memory a piece of work takes: the device's allocator on CUDA, the process' resident memory on a CPU."""

from __future__ import annotations

import ctypes
import gc
import logging
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_FORGET_PEAK = "5"
"""Linux, proc(5): resets the peak resident set size of the process."""


class MemoryMeter:
    """Measures the peak from its making on; one at a time in a process."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        """Give freed memory back and start a new peak.

        Args:
            model: what is in memory already and belongs to the work.
            device: where the work is done.
        Side effects:
            `forget_peak`; empties the caches of the allocators.
        """
        self._model = model
        self._device = device
        return_freed_memory(device)
        self._before = 0 if device.type == "cuda" else int(psutil.Process().memory_info().rss)
        forget_peak(device)

    def peak_bytes(self) -> int:
        """Memory that the work needs at its peak, the model included.

        CUDA: the highest sum of all tensors on the device, whoever made them. CPU: by how much the process grew
        beyond what it held before, plus the model's own bytes. There it is a little too low where the process finds
        room in memory that it already had, and too high by what other threads took meanwhile.
        """
        if self._device.type == "cuda":
            return peak_bytes(self._device)
        return max(0, peak_bytes(self._device) - self._before) + model_bytes(self._model)


def forget_peak(device: torch.device) -> None:
    """Start a new peak; where the system cannot (no writable /proc), it stays the process' so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _CLEAR_REFS.write_text(_FORGET_PEAK)
    except OSError as error:
        log.debug("peak memory cannot be reset (%s)", error)


def peak_bytes(device: torch.device) -> int:
    """Peak of the device's allocator (CUDA) or of this process' resident memory (CPU) since `forget_peak`."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        line = next(line for line in _STATUS.read_text("ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def model_bytes(model: nn.Module) -> int:
    """Bytes of a model's weights and buffers as they are stored, the constants of 4-bit weights included."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _stored(model))


def _stored(model: nn.Module) -> Iterator[Tensor]:
    yield from model.buffers()
    for parameter in model.parameters():
        yield parameter
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            yield from (value for value in state.as_dict().values() if isinstance(value, Tensor))


def return_freed_memory(device: torch.device) -> None:
    """Let nothing unused stay with this process: collect garbage, empty the caches of the allocators."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
        if trim is not None:
            trim(0)
