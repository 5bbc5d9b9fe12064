"""How devices are shared among packs: how many packs run at a time, and what each of them asks of the scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from grid.devices import Devices, NodeKind, ResourceRequest, gpu_count
from jobs.spec import Resources

_USABLE = 0.8
"""Share of a machine's memory that packs are planned to fill: estimates are rough, and others live there too."""
_GRANTED = 0.9
"""Share of what Ray hands out on a machine that its packs ask for together: baselines need a little as well."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What each pack with a model gets."""

    parallel: int
    """Packs that run at the same time; at least 1, also where none can run (preflight refuses that)."""
    resources: Resources


def share_out(devices: Devices, request: ResourceRequest, *, device: str, num_cells: int, pack_bytes: int = 0) -> Share:
    """Divide what there is among packs, machine by machine: a pack never spans two of them.

    The number of declared cells counts, not of those still to do, and all memory, not the free one: a resumed run then
    gives its packs as many threads as the first one did, which exact numbers on CPU depend on.

    Args:
        devices: what there is, or what the autoscaler may add.
        request: what the config asks for each trial.
        device: `compute.device`.
        num_cells: all declared cells that have a model.
        pack_bytes: estimated memory of the largest pack on its host.

    Returns:
        the same request for every pack, which fits on every machine that counts.
    """
    kinds = usable_kinds(devices, request, device)
    if gpu_count(device, devices) and request.gpus_per_trial != 0:
        return _on_gpus(kinds, request, pack_bytes, is_cluster=bool(devices.nodes))
    return _on_cpus(kinds, request, num_cells, pack_bytes, is_cluster=bool(devices.nodes))


def usable_kinds(devices: Devices, request: ResourceRequest, device: str) -> tuple[NodeKind, ...]:
    """Machines on which a pack with this request can run at all; empty: none."""
    gpus = 0.0
    if gpu_count(device, devices):
        gpus = 1.0 if request.gpus_per_trial is None else request.gpus_per_trial
    wanted = request.accelerator_type
    return tuple(
        kind
        for kind in devices.kinds
        if kind.cpus >= (request.cpus_per_trial or 1) and kind.gpus >= gpus and wanted in (None, kind.accelerator_type)
    )


def _on_gpus(kinds: Sequence[NodeKind], request: ResourceRequest, pack_bytes: int, *, is_cluster: bool) -> Share:
    gpus = request.gpus_per_trial or 1.0

    def packs_on(kind: NodeKind) -> int:
        by_gpus = int(kind.gpus / gpus + 1e-9) if gpus >= 1 else kind.gpus * int(1 / gpus + 1e-9)
        return max(1, min(by_gpus, kind.cpus // (request.cpus_per_trial or 1), _by_memory(kind, pack_bytes)))

    # One core of each machine stays free for the baselines.
    cpus = request.cpus_per_trial or max(1, min([(kind.cpus - 1) // packs_on(kind) for kind in kinds], default=1))
    return _share(kinds, packs_on, cpus=cpus, gpus=gpus, request=request, is_cluster=is_cluster)


def _on_cpus(
    kinds: Sequence[NodeKind], request: ResourceRequest, num_cells: int, pack_bytes: int, *, is_cluster: bool
) -> Share:
    def packs_of(cpus: int, kind: NodeKind) -> int:
        return max(1, min(kind.cpus // cpus, _by_memory(kind, pack_bytes))) if kind.cpus >= cpus else 0

    cpus = request.cpus_per_trial or 1
    if request.cpus_per_trial is None and kinds:
        possible = sum(kind.count * packs_of(1, kind) for kind in kinds)
        wanted = min(possible, max(1, num_cells))
        # As many cores a pack as leave room for the packs that are wanted.
        total = sum(kind.count * kind.cpus for kind in kinds)
        cpus = max(1, min(total // wanted, max(kind.cpus for kind in kinds)))
        while cpus > 1 and sum(kind.count * packs_of(cpus, kind) for kind in kinds) < wanted:
            cpus -= 1
    fitting = [kind for kind in kinds if kind.cpus >= cpus]
    share = _share(fitting, partial(packs_of, cpus), cpus=cpus, gpus=0.0, request=request, is_cluster=is_cluster)
    is_declared = request.cpus_per_trial is not None
    return share if is_declared else replace(share, parallel=min(share.parallel, max(1, num_cells)))


def _by_memory(kind: NodeKind, pack_bytes: int) -> int:
    if kind.memory_bytes is None or pack_bytes <= 0:
        return 1_000_000
    return int(kind.memory_bytes * _USABLE) // pack_bytes


def _share(
    kinds: Sequence[NodeKind],
    packs_on: Callable[[NodeKind], int],
    *,
    cpus: int,
    gpus: float,
    request: ResourceRequest,
    is_cluster: bool,
) -> Share:
    """Ask for memory where the scheduler counts it on every machine: else the request might never be met."""
    grants = [math.inf if k.memory_bytes is None else k.memory_bytes * _GRANTED / packs_on(k) for k in kinds]
    counts_memory = is_cluster and bool(grants) and all(kind.memory_bytes is not None for kind in kinds)
    resources = Resources(
        cpus=cpus,
        gpus=gpus,
        memory_bytes=int(min(grants)) if counts_memory else None,
        accelerator_type=request.accelerator_type if gpus else None,
    )
    return Share(parallel=max(1, sum(kind.count * packs_on(kind) for kind in kinds)), resources=resources)
