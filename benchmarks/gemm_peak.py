"""The speed of the machine's own matrix multiplication, measured in the same run as what is compared with it."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

PEAK_SIZES = (1024, 2048)


def gemm_gflops(rows: int, inputs: int, outputs: int, *, dtype: torch.dtype, device: torch.device, runs: int) -> float:
    """Speed of x [rows, inputs] times the transpose of w [outputs, inputs], as a linear layer does it.

    Returns:
        GFLOP/s, median of the runs.
    """
    x = torch.randn(rows, inputs, device=device).to(dtype)
    weight = torch.randn(outputs, inputs, device=device).to(dtype)
    seconds = []
    for _ in range(runs + 2):
        started = _now(x)
        torch.nn.functional.linear(x, weight)
        seconds.append(_now(x) - started)
    return 2.0 * rows * inputs * outputs / statistics.median(seconds[2:]) / 1e9


def gemm_peak_gflops(dtype: torch.dtype, device: torch.device) -> float:
    """The best speed over large square multiplications."""
    sizes = PEAK_SIZES if device.type == "cpu" else (4096, 8192)
    return max(gemm_gflops(size, size, size, dtype=dtype, device=device, runs=5) for size in sizes)


def _now(x: Tensor) -> float:
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
