"""Shares: packs fit on single machines, whatever their shapes - the same for a first and a resumed run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.devices import Devices, NodeKind, ResourceRequest
from grid.shares import share_out, usable_kinds

AUTO = ResourceRequest()
GIB = 2**30
BIG = NodeKind(cpus=16, gpus=4, memory_bytes=64 * GIB, accelerator_type="A10G", count=2)
SMALL = NodeKind(cpus=4, gpus=1, memory_bytes=8 * GIB, accelerator_type="T4", count=3)
BARE = NodeKind(cpus=32, memory_bytes=32 * GIB)


def cluster(*kinds: NodeKind) -> Devices:
    return Devices.of_nodes(kinds, where="the Ray cluster")


def shares(
    devices: Devices, request: ResourceRequest = AUTO, device: str = "auto", cells: int = 100, pack_bytes: int = GIB
) -> tuple[int, int, float]:
    share = share_out(devices, request, device=device, num_cells=cells, pack_bytes=pack_bytes)
    return share.parallel, share.resources.cpus, share.resources.gpus


@pytest.mark.parametrize(
    ("devices", "request_", "device", "cells", "expected"),
    [
        (Devices(cpus=2), AUTO, "auto", 100, (2, 1, 0.0)),
        (Devices(cpus=16), AUTO, "auto", 100, (16, 1, 0.0)),
        (Devices(cpus=16), AUTO, "auto", 1, (1, 16, 0.0)),
        (Devices(cpus=16), AUTO, "auto", 5, (5, 3, 0.0)),
        (Devices(cpus=16, memory_bytes=5 * GIB), AUTO, "auto", 100, (4, 4, 0.0)),
        (Devices(cpus=16, memory_bytes=GIB // 2), AUTO, "auto", 100, (1, 16, 0.0)),
        (Devices(cpus=16), ResourceRequest(cpus_per_trial=4), "auto", 100, (4, 4, 0.0)),
        (Devices(cpus=2), ResourceRequest(cpus_per_trial=4), "auto", 100, (1, 4, 0.0)),
        (Devices(cpus=8, gpus=1), AUTO, "auto", 100, (1, 7, 1.0)),
        (Devices(cpus=8, gpus=1), AUTO, "cpu", 100, (8, 1, 0.0)),
        (Devices(cpus=1, gpus=1), AUTO, "auto", 100, (1, 1, 1.0)),
        (Devices(cpus=8, gpus=1), ResourceRequest(gpus_per_trial=0.5), "auto", 100, (2, 3, 0.5)),
        (Devices(cpus=8, gpus=2), ResourceRequest(gpus_per_trial=0.6), "auto", 100, (2, 3, 0.6)),
        (Devices(cpus=8, gpus=2), ResourceRequest(gpus_per_trial=0), "auto", 100, (8, 1, 0.0)),
        (cluster(NodeKind(cpus=4, gpus=1, count=4)), AUTO, "auto", 100, (4, 3, 1.0)),
        (cluster(NodeKind(cpus=8, count=8)), AUTO, "auto", 2, (2, 8, 0.0)),
        (cluster(NodeKind(cpus=6), NodeKind(cpus=2)), AUTO, "auto", 2, (2, 3, 0.0)),
    ],
)
def test_shares(
    devices: Devices, request_: ResourceRequest, device: str, cells: int, expected: tuple[int, int, float]
) -> None:
    assert shares(devices, request_, device, cells) == expected


def test_machines_of_several_shapes_get_packs_that_fit_on_each() -> None:
    assert shares(cluster(BIG, SMALL)) == (11, 3, 1.0)
    assert shares(cluster(BIG, SMALL, BARE)) == (11, 3, 1.0)
    assert shares(cluster(BIG, SMALL), ResourceRequest(gpus_per_trial=2)) == (4, 7, 2.0)
    assert shares(cluster(BIG, SMALL), ResourceRequest(cpus_per_trial=8)) == (4, 8, 1.0)


def test_one_kind_of_gpu() -> None:
    share = share_out(cluster(BIG, SMALL), ResourceRequest(accelerator_type="T4"), device="auto", num_cells=100)
    assert (share.parallel, share.resources.accelerator_type) == (3, "T4")
    on_cpu = share_out(cluster(BIG, SMALL), AUTO, device="cpu", num_cells=100)
    assert on_cpu.resources.accelerator_type is None
    assert usable_kinds(cluster(BIG, SMALL), ResourceRequest(accelerator_type="H100"), "auto") == ()


def test_memory_bounds_the_packs_of_a_machine_and_is_asked_for_where_ray_counts_it() -> None:
    assert shares(cluster(BIG), pack_bytes=20 * GIB)[0] == 4
    share = share_out(cluster(BIG), AUTO, device="auto", num_cells=100, pack_bytes=20 * GIB)
    assert share.resources.memory_bytes == int(64 * GIB * 0.9 / 2)
    uncounted = cluster(BIG, NodeKind(cpus=4, gpus=1))
    assert share_out(uncounted, AUTO, device="auto", num_cells=100).resources.memory_bytes is None
    here = Devices(cpus=8, gpus=1, memory_bytes=64 * GIB)
    assert share_out(here, AUTO, device="auto", num_cells=100).resources.memory_bytes is None


kinds = st.builds(
    NodeKind,
    cpus=st.integers(1, 16),
    gpus=st.integers(0, 4),
    memory_bytes=st.one_of(st.none(), st.integers(GIB, 64 * GIB)),
    count=st.integers(1, 3),
)


@settings(max_examples=200, deadline=None)
@given(
    kinds=st.lists(kinds, min_size=1, max_size=3),
    device=st.sampled_from(["auto", "cpu"]),
    cpus=st.one_of(st.none(), st.integers(1, 8)),
    gpus=st.sampled_from([None, 0, 0.5, 1, 2]),
    cells=st.integers(1, 40),
)
def test_as_many_packs_as_promised_fit_at_the_same_time(
    kinds: list[NodeKind], device: str, cpus: int | None, gpus: float | None, cells: int
) -> None:
    devices, request = cluster(*kinds), ResourceRequest(cpus_per_trial=cpus, gpus_per_trial=gpus)
    share = share_out(devices, request, device=device, num_cells=cells, pack_bytes=GIB)
    wants = share.resources
    rooms = 0
    for kind in usable_kinds(devices, request, device):
        by_memory = (kind.memory_bytes or 0) // wants.memory_bytes if wants.memory_bytes else 10**6
        per_gpu = int(1 / wants.gpus) if 0 < wants.gpus < 1 else 0
        by_gpus = kind.gpus * per_gpu if per_gpu else int(kind.gpus / wants.gpus) if wants.gpus else 10**6
        rooms += kind.count * min(kind.cpus // wants.cpus, by_gpus, by_memory)
    if usable_kinds(devices, request, device):
        assert rooms >= share.parallel >= 1
