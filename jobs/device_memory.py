"""Memory of the GPU that ran out of it: noted in the failure's reason, read again when a run is planned."""

from __future__ import annotations

import re
import sys

from jobs.errors import one_line

_GIB = 2**30
_NOTE = re.compile(r"\[GPU memory: (\d+(?:\.\d+)?) GiB\]$")
_MOST_WORDS = 440
"""Characters of a reason before the note; the store keeps 500 in all."""


def with_gpu_memory(reason: str) -> str:
    """Add what the GPU of this process has.

    Args:
        reason: of a failure for want of memory.
    Returns:
        the reason, shortened where necessary, with the note; as it was where this process uses no GPU.
    """
    num_bytes = _gpu_bytes()
    if num_bytes is None or _NOTE.search(reason):
        return reason
    return f"{one_line(reason, limit=_MOST_WORDS)} [GPU memory: {num_bytes / _GIB:.1f} GiB]"


def gpu_memory_in(reason: str | None) -> float | None:
    """Bytes that were noted in a reason; None: nothing was."""
    found = _NOTE.search(reason or "")
    return float(found.group(1)) * _GIB if found else None


def _gpu_bytes() -> int | None:
    torch = sys.modules.get("torch")  # who has not imported it has used no GPU
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
