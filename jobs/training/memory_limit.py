"""How much memory a pack may take on its device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch
from torch import nn

from jobs.training.peak_memory import model_bytes

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_GIB = 1 << 30


def base_bytes(model: nn.Module, device: torch.device) -> int:
    """Memory that is taken before any cell is in: on CUDA all tensors of this process, on a CPU the base."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else model_bytes(model)


def memory_there_is(model: nn.Module, device: torch.device, *, granted_bytes: int | None) -> int:
    """Memory for a pack, its base included.

    Args:
        model: the base, loaded.
        device: where it is.
        granted_bytes: what the scheduler grants the pack on the host; None: whatever is free.
    Returns:
        bytes: CUDA: the device's, without what others hold; CPU: what is available to this process.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + int(torch.cuda.memory_reserved(device))
    found = [int(psutil.virtual_memory().available), *_left_in_cgroups(_OWN_CGROUP, _CGROUPS)]
    return min([min(found) + model_bytes(model), *([granted_bytes] if granted_bytes else [])])


def installed_gib(device: torch.device) -> int:
    """Memory of the device, whoever holds it; on a CPU at most what the process' control group may have."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) // _GIB
    limits = [limit for limit, _ in _cgroup_memory(_OWN_CGROUP, _CGROUPS)]
    return min([int(psutil.virtual_memory().total), *limits]) // _GIB


def _left_in_cgroups(own: Path, root: Path) -> Iterator[int]:
    for limit, used in _cgroup_memory(own, root):
        yield max(0, limit - used)


def _cgroup_memory(own: Path, root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of the process' control group and those above it, where they have a limit.

    Cached files count as used there, but give way: the inactive ones are left out.
    """
    for folder, limit_file, use_file in _folders(own, root):
        limit, used = _number(folder / limit_file), _number(folder / use_file)
        if limit is not None and used is not None and limit < 1 << 60:  # version 1 writes a huge number for none
            yield limit, used - _inactive_file_bytes(folder / "memory.stat")


def _folders(own: Path, root: Path) -> Iterator[tuple[Path, str, str]]:
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            start, names = root, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            start, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        parts = Path(path.lstrip("/")).parts
        for depth in range(len(parts) + 1):
            yield start.joinpath(*parts[:depth]), *names


def _number(path: Path) -> int | None:
    try:
        text = path.read_text("utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _inactive_file_bytes(path: Path) -> int:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
