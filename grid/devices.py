"""What a machine or a cluster offers, and how it is shared among packs. No torch, no ray."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.spec import Resources

_NVIDIA_SMI_TIMEOUT_S = 10.0
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Devices:
    """What is there (or, on a cluster that grows by itself, can be there) for trials."""

    cpus: int
    gpus: int = 0
    gpu_memory_bytes: tuple[int, ...] = ()
    """One number a GPU; empty when unknown."""
    gpu_names: tuple[str, ...] = ()
    memory_bytes: int | None = None
    """Memory of all machines; None: unknown."""
    cpus_per_node: int | None = None
    """Cores of the largest machine; None: one machine, so `cpus`."""
    where: str = "this machine"


@dataclass(frozen=True, kw_only=True)
class ResourceRequest:
    """What the config asks for each trial; None: auto."""

    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None


def local_devices() -> Devices:
    """Look at this machine without importing torch.

    Returns:
        the cores this process may use, its GPUs as nvidia-smi lists them (CUDA_VISIBLE_DEVICES respected), memory.

    Side effects:
        runs nvidia-smi when it is installed.
    """
    names, memory = _visible_gpus()
    return Devices(
        cpus=len(os.sched_getaffinity(0)),
        gpus=len(names),
        gpu_memory_bytes=memory,
        gpu_names=names,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def ray_devices(resources: Mapping[str, float], nodes: int = 1) -> Devices:
    """Read what Ray says a cluster has.

    Args:
        resources: `ray.cluster_resources()`.
        nodes: how many machines that is.

    Returns:
        its devices; memory of the GPUs is unknown.
    """
    cpus = max(1, int(resources.get("CPU", 1)))
    memory = resources.get("memory")
    return Devices(
        cpus=cpus,
        gpus=int(resources.get("GPU", 0)),
        memory_bytes=int(memory) if memory else None,
        cpus_per_node=max(1, cpus // max(1, nodes)),
        where="the Ray cluster",
    )


def cluster_capacity(cluster: Mapping[str, Any]) -> Devices:
    """Read what an autoscaling cluster can grow to, from its cluster file.

    Workers start at zero there, so that what Ray reports now says nothing about what a trial can wait for.

    Args:
        cluster: a parsed cluster.yaml, or `~/ray_bootstrap_config.yaml` on the head.

    Returns:
        the sum over all node types at their largest number.
    """
    types: Mapping[str, Any] = cluster.get("available_node_types") or {}
    head = cluster.get("head_node_type")
    limit = int(cluster.get("max_workers", 2))
    cpus = gpus = largest = 0
    for name, node_type in types.items():
        resources: Mapping[str, Any] = node_type.get("resources") or {}
        count = min(int(node_type.get("max_workers", 0)), limit) + (1 if name == head else 0)
        cpus += count * int(resources.get("CPU", 0))
        gpus += count * int(resources.get("GPU", 0))
        largest = max(largest, int(resources.get("CPU", 0)) if count else 0)
    return Devices(cpus=max(1, cpus), gpus=gpus, cpus_per_node=max(1, largest), where="the Ray cluster at its largest")


def gpu_count(device: str, devices: Devices) -> int:
    """GPUs that trials use, given `compute.device`."""
    return 0 if device == "cpu" else devices.gpus


def parallel_packs(devices: Devices, request: ResourceRequest, *, device: str, num_cells: int, pack_bytes: int) -> int:
    """Say how many packs run at the same time.

    The number of declared cells counts, not of those still to do, and all memory, not the free one: a resumed run then
    gives its packs as many threads as the first one did, which exact numbers on CPU depend on.

    Args:
        devices: what there is.
        request: what the config asks for each trial.
        device: `compute.device`.
        num_cells: all declared cells that have a model.
        pack_bytes: estimated memory of the largest pack on the host.

    Returns:
        at least 1.
    """
    gpus = gpu_count(device, devices)
    if gpus and request.gpus_per_trial != 0:
        share = request.gpus_per_trial or 1.0
        return max(1, int(gpus / share + 1e-9))
    if request.cpus_per_trial is not None:
        by_cpus = devices.cpus // request.cpus_per_trial
    else:
        by_cpus = min(devices.cpus, max(1, num_cells))
        if devices.memory_bytes is not None and pack_bytes > 0:
            by_cpus = min(by_cpus, int(devices.memory_bytes * 0.8) // pack_bytes)
    return max(1, by_cpus)


def pack_resources(devices: Devices, request: ResourceRequest, *, device: str, parallel: int) -> Resources:
    """Say what one pack with a model asks of the scheduler.

    Args:
        devices: what there is.
        request: what the config asks for each trial.
        device: `compute.device`.
        parallel: how many packs run at the same time.

    Returns:
        its share: on a GPU machine one core stays free for the baselines.
    """
    gpus = gpu_count(device, devices)
    per_node = devices.cpus_per_node or devices.cpus
    if gpus and request.gpus_per_trial != 0:
        share = request.gpus_per_trial or 1.0
        cpus = request.cpus_per_trial or max(1, min((devices.cpus - 1) // parallel, per_node))
        return Resources(cpus=cpus, gpus=share)
    cpus = request.cpus_per_trial or max(1, min(devices.cpus // parallel, per_node))
    return Resources(cpus=cpus, gpus=0.0)


def _visible_gpus() -> tuple[tuple[str, ...], tuple[int, ...]]:
    program = shutil.which("nvidia-smi")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if program is None or (visible is not None and visible.strip() in ("", "-1")):
        return (), ()
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            query, capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        # A driver that does not answer offers no GPU; preflight then says 0 where one was asked for.
        return (), ()
    rows = parse_nvidia_smi(answer.stdout)
    if visible is not None:
        wanted = [part.strip() for part in visible.split(",") if part.strip()]
        # Names such as GPU-<uuid> say how many, which is what counts here.
        rows = [rows[int(part)] if part.isdigit() else rows[0] for part in wanted if rows and _exists(part, rows)]
    return tuple(name for name, _ in rows), tuple(memory for _, memory in rows)


def _exists(part: str, rows: list[tuple[str, int]]) -> bool:
    return not part.isdigit() or int(part) < len(rows)


def parse_nvidia_smi(text: str) -> list[tuple[str, int]]:
    """Read `name, MiB` lines of nvidia-smi.

    Args:
        text: its output in the csv form without header and units.

    Returns:
        name and memory in bytes of each GPU; memory 0 where the driver does not say.
    """
    rows = []
    for line in text.splitlines():
        name, comma, mebibytes = line.rpartition(",")
        if comma:
            rows.append((name.strip(), int(mebibytes) * _MIB if mebibytes.strip().isdigit() else 0))
    return rows
