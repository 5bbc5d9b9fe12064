"""What a machine or a cluster offers to trials. No torch, no ray."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

ACCELERATOR_PREFIX = "accelerator_type:"
"""Ray marks machines with a resource of this name, followed by the kind of GPU."""
_NVIDIA_SMI_TIMEOUT_S = 10.0
_MIB = 2**20
_SHORT_NAME = re.compile(r"\w+\s+((?:[A-Z]+\s+)*[A-Z0-9]*\d[A-Z0-9]*)")
"""As in `ray._private.accelerators.nvidia_gpu`, which names the resource."""


@dataclass(frozen=True, kw_only=True)
class NodeKind:
    """Machines of one shape in a cluster."""

    cpus: int
    gpus: int = 0
    memory_bytes: int | None = None
    """What the scheduler hands out of its memory; None: it does not count memory there."""
    accelerator_type: str | None = None
    """Ray's name for its GPUs, such as A10G or T4; None: unknown."""
    count: int = 1
    """How many of them there are, or may be."""


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
    nodes: tuple[NodeKind, ...] = ()
    """Machines of a cluster, those with most GPUs first; empty: one machine."""
    where: str = "this machine"

    @classmethod
    def of_nodes(cls, nodes: tuple[NodeKind, ...], *, where: str) -> Devices:
        """The sum of a cluster's machines."""
        memory = [None if node.memory_bytes is None else node.count * node.memory_bytes for node in nodes]
        known = [item for item in memory if item is not None]
        return cls(
            cpus=max(1, sum(node.count * node.cpus for node in nodes)),
            gpus=sum(node.count * node.gpus for node in nodes),
            memory_bytes=sum(known) if known and len(known) == len(memory) else None,
            nodes=nodes,
            where=where,
        )

    @property
    def kinds(self) -> tuple[NodeKind, ...]:
        """Machines by shape: of a cluster, or this one."""
        kind = accelerator_name(self.gpu_names[0]) if self.gpu_names else None
        here = NodeKind(cpus=self.cpus, gpus=self.gpus, memory_bytes=self.memory_bytes, accelerator_type=kind)
        return self.nodes or (here,)

    @property
    def cpus_per_node(self) -> int:
        """Cores of the largest machine."""
        return max(kind.cpus for kind in self.kinds)


@dataclass(frozen=True, kw_only=True)
class ResourceRequest:
    """What the config asks for each trial; None: auto."""

    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None
    accelerator_type: str | None = None
    """Ray's name for the only kind of GPU that may be used; None: any."""


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


def ray_devices(nodes: Iterable[Mapping[str, float]]) -> Devices:
    """Read what Ray says a cluster has.

    Args:
        nodes: `Resources` of every machine of `ray.nodes()` that is alive.

    Returns:
        its devices; memory of the GPUs is unknown.
    """
    return Devices.of_nodes(_counted(node_kind(resources) for resources in nodes), where="the Ray cluster")


def cluster_capacity(cluster: Mapping[str, Any]) -> Devices:
    """Read what an autoscaling cluster can grow to, from its cluster file.

    Workers start at zero there, so that what Ray reports now says nothing about what a trial can wait for.

    Args:
        cluster: a parsed cluster.yaml, or `~/ray_bootstrap_config.yaml` on the head.

    Returns:
        all node types at their largest number, GPUs before others, up to the cluster's own limit: a fall-back type is
        started in place of the first one, not beside it.
    """
    types: Mapping[str, Any] = cluster.get("available_node_types") or {}
    head = cluster.get("head_node_type")
    left = int(cluster.get("max_workers", 2))
    kinds = {name: node_kind(node_type.get("resources") or {}) for name, node_type in types.items()}
    found = [kinds[name] for name in types if name == head]
    for name in sorted(types, key=lambda name: (-kinds[name].gpus, -kinds[name].cpus)):
        count = min(int(types[name].get("max_workers", 0)), left)
        left -= count
        found += [replace(kinds[name], count=count)] if count > 0 else []
    return Devices.of_nodes(_counted(found), where="the Ray cluster at its largest")


def node_kind(resources: Mapping[str, float]) -> NodeKind:
    """One machine as Ray or a cluster file names its resources."""
    types = [name.removeprefix(ACCELERATOR_PREFIX) for name in resources if name.startswith(ACCELERATOR_PREFIX)]
    memory = resources.get("memory")
    return NodeKind(
        cpus=int(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        memory_bytes=int(memory) if memory else None,
        accelerator_type=types[0] if types else None,
    )


def _counted(kinds: Iterable[NodeKind]) -> tuple[NodeKind, ...]:
    """Equal machines together, the largest first; those on which no trial can run are left out."""
    numbers: dict[NodeKind, int] = {}
    for kind in kinds:
        shape = replace(kind, count=1)
        numbers[shape] = numbers.get(shape, 0) + kind.count
    ordered = sorted(numbers, key=lambda kind: (-kind.gpus, -kind.cpus, -(kind.memory_bytes or 0), str(kind)))
    return tuple(replace(kind, count=numbers[kind]) for kind in ordered if kind.cpus > 0)


def accelerator_name(name: str) -> str | None:
    """Ray's short name of a GPU that nvidia-smi calls `Tesla T4` or `NVIDIA A10G`; None: it has none."""
    found = _SHORT_NAME.match(name)
    return found[1] if found else None


def gpu_count(device: str, devices: Devices) -> int:
    """GPUs that trials use, given `compute.device`."""
    return 0 if device == "cpu" else devices.gpus


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
