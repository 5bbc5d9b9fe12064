"""From `auto` to a device, a compute type and a base mode; all of it is provenance."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil
import torch

from jobs.errors import EnvironmentProblem
from jobs.spec import ComputeSpec


@dataclass(frozen=True, kw_only=True)
class Compute:
    """What `auto` resolved to on this machine."""

    device: torch.device
    dtype: torch.dtype
    base_mode: str
    """quantized | resident; resident also for bases that were never quantised."""
    numerics: str
    """exact | fast."""

    @property
    def dtype_name(self) -> str:
        """bf16 | fp16 | fp32."""
        return {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}[self.dtype]


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def resolve_compute(spec: ComputeSpec, *, parameters: int, gpus: float) -> Compute:
    """Decide where and how a base is computed.

    Args:
        spec: the declared compute settings, `auto` allowed everywhere.
        parameters: number of weights of the base; decides whether a 16/32-bit copy fits.
        gpus: devices the scheduler granted (0: CPU only).
    Returns:
        the resolved settings.
    Raises:
        EnvironmentProblem: a CUDA device was asked for and there is none.
    Side effects:
        lets oneDNN keep the code it generates for every shape of a product (unless the variable is set already).
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
    device = _device(spec.device, gpus)
    dtype = _DTYPES.get(spec.precision) or _automatic_dtype(device)
    base_mode = spec.base if spec.base != "auto" else _automatic_base(device, dtype, parameters)
    numerics = spec.numerics if spec.numerics != "auto" else ("exact" if device.type == "cpu" else "fast")
    return Compute(device=device, dtype=dtype, base_mode=base_mode, numerics=numerics)


def free_memory_bytes(device: torch.device) -> int:
    """Memory that can still be taken on the device (or on the host for the CPU), in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _device(declared: str, gpus: float) -> torch.device:
    wanted = declared if declared != "auto" else ("cuda" if gpus > 0 else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EnvironmentProblem("a CUDA device was asked for, but torch sees none on this machine")
    return torch.device(wanted)


def _automatic_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    return torch.bfloat16 if _cpu_multiplies_bf16() else torch.float32


def _cpu_multiplies_bf16() -> bool:
    """True where the CPU has bf16 dot products; elsewhere bf16 is emulated and slower than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _automatic_base(device: torch.device, dtype: torch.dtype, parameters: int) -> str:
    needed = parameters * torch.tensor([], dtype=dtype).element_size()
    return "resident" if needed < 0.25 * free_memory_bytes(device) else "quantized"
