"""What torch does when oneDNN fails, for want of memory as a rule: noticed, and kept out of every cell's numbers.

When oneDNN cannot make a product (it has no memory for the code that it generates, say), torch warns, switches oneDNN
off for the whole process and computes this product and all that follow with another library: other bits in bf16, and
no error. Here such a pass counts as one that did not fit into memory: nothing of it is kept, oneDNN is switched on
again, and the ladder makes the next pass smaller.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from jobs.errors import OutOfMemory


class OneDnn:
    """How often torch has switched oneDNN off in this process, whatever the thread."""

    def __init__(self) -> None:
        """Note whether it is on: whoever switched it off before this, meant it."""
        self._is_wanted = bool(torch.backends.mkldnn.enabled)
        self._times_off = 0
        self._lock = threading.Lock()

    def times_off(self) -> int:
        """Count it when it is off, and switch it on again."""
        with self._lock:
            if self._is_wanted and not torch.backends.mkldnn.enabled:
                torch.backends.mkldnn.enabled = True  # type: ignore[assignment]
                self._times_off += 1
            return self._times_off


_ONE_DNN = OneDnn()


@contextmanager
def same_kernels() -> Iterator[None]:
    """Let a pass count only if torch computed all of it with the library that it began with.

    Raises:
        OutOfMemory: torch went over to another library during the pass, in this thread or in another one.
    Side effects:
        oneDNN is switched on again.
    """
    before = _ONE_DNN.times_off()
    try:
        yield
    finally:
        after = _ONE_DNN.times_off()
    if after != before:
        raise OutOfMemory(
            "oneDNN could not make a product, for want of memory as a rule, and torch went on with another library, "
            "whose bits differ: nothing of that pass was kept. compute.precision: fp32 does without oneDNN"
        )
