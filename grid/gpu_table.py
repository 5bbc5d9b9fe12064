"""GPUs that plans may be made for without one at hand: memory and speed as their makers publish them.

    finegrid plan goemotions --on 8xA10G

Speeds are the data sheets' dense 16-bit tensor rates. What a pack gets of them is a guess until cells have been
measured there: rows of some hundred to a thousand tokens keep a GPU's tensor cores only partly busy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from grid.devices import Devices, accelerator_name
from grid.suggest import nearest
from jobs.errors import ConfigError, Problem

_GIB: Final = 2**30
_CORES_A_GPU: Final = 8
_SHARE_OF_PEAK: Final = 0.25
"""Of the data sheet's rate that a pack reaches; not measured by us."""
_WRITTEN: Final = re.compile(r"\s*(?:(?P<count>[1-9]\d{0,4})\s*[xX*]\s*)?(?P<name>[A-Za-z0-9][A-Za-z0-9 -]*?)\s*")


@dataclass(frozen=True, kw_only=True)
class KnownGpu:
    """One row of the table."""

    memory_bytes: int
    peak_flops: float
    """Dense 16-bit tensor operations a second."""
    long_name: str
    """As the driver calls it."""


def _gpu(long_name: str, memory_gib: int, teraflops: float) -> KnownGpu:
    return KnownGpu(memory_bytes=memory_gib * _GIB, peak_flops=teraflops * 1e12, long_name=long_name)


KNOWN_GPUS: Final = {
    "T4": _gpu("Tesla T4", 16, 65),
    "V100": _gpu("Tesla V100", 16, 112),
    "RTX3060": _gpu("NVIDIA GeForce RTX 3060", 12, 51),
    "RTX4090": _gpu("NVIDIA GeForce RTX 4090", 24, 165),
    "A10G": _gpu("NVIDIA A10G", 24, 70),
    "L4": _gpu("NVIDIA L4", 24, 121),
    "L40S": _gpu("NVIDIA L40S", 48, 362),
    "A100": _gpu("NVIDIA A100", 40, 312),
    "H100": _gpu("NVIDIA H100", 80, 989),
    "H200": _gpu("NVIDIA H200", 141, 989),
}
"""By the name that Ray gives them, or as people write it."""


def devices_of(text: str) -> Devices:
    """Read the value of --on.

    Args:
        text: `cpu`, a GPU's name, or a number of them: `A10G`, `8xA10G`.
    Returns:
        devices that are not here.
    Raises:
        ConfigError: no such GPU in the table.
    """
    found = _WRITTEN.fullmatch(text)
    by_plain = {_plain(name): name for name in KNOWN_GPUS}
    name = by_plain.get(_plain(found["name"])) if found else None
    if found is None or name is None:
        hint = nearest(found["name"] if found else text, KNOWN_GPUS)
        raise ConfigError([Problem("--on", f"must be one of {', '.join(KNOWN_GPUS)}, or 8xA10G", text, hint)])
    count, gpu = int(found["count"] or 1), KNOWN_GPUS[name]
    return Devices(
        cpus=_CORES_A_GPU * count,
        gpus=count,
        gpu_memory_bytes=(gpu.memory_bytes,) * count,
        gpu_names=(gpu.long_name,) * count,
        where=f"{count} x {name} (not here)",
    )


def pack_flops(devices: Devices) -> float | None:
    """Operations a second that a pack gets of the slowest known GPU; None: no GPU there is in the table."""
    names = [*devices.gpu_names, *(kind.accelerator_type or "" for kind in devices.kinds)]
    found = [gpu.peak_flops for name in names if (gpu := _known(name)) is not None]
    return _SHARE_OF_PEAK * min(found) if found else None


def _known(name: str) -> KnownGpu | None:
    by_long = {gpu.long_name: gpu for gpu in KNOWN_GPUS.values()}
    short = accelerator_name(name) or name
    return by_long.get(name) or next((gpu for key, gpu in KNOWN_GPUS.items() if _plain(key) == _plain(short)), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
