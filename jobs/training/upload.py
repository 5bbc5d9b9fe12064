"""Numbers from the host to the device on which a pass runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def on_device(
    values: np.ndarray | Sequence[float], device: torch.device, *, dtype: torch.dtype | None = None
) -> Tensor:
    """Hand an array over without waiting for what the device still has to do.

    Args:
        values: numbers of the host.
        device: where to; on the CPU the array's own memory is used.
        dtype: of the result; None: as torch takes the values.
    Returns:
        the tensor; work that is queued after this call sees its numbers.
    """
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else torch.tensor(values)
    if dtype is not None:
        tensor = tensor.to(dtype)
    if device.type == "cpu":
        return tensor
    # A copy from memory that the system may move would make the host wait until the device has come to it.
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
