"""Devices: what is found, and how it is shared among packs - the same for a first and a resumed run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from grid.devices import (
    Devices,
    ResourceRequest,
    cluster_capacity,
    local_devices,
    pack_resources,
    parallel_packs,
    parse_nvidia_smi,
    ray_devices,
)

AUTO = ResourceRequest()
GIB = 2**30


def shares(devices: Devices, request: ResourceRequest = AUTO, *, device: str = "auto", cells: int = 100) -> tuple:  # type: ignore[type-arg]
    parallel = parallel_packs(devices, request, device=device, num_cells=cells, pack_bytes=GIB)
    resources = pack_resources(devices, request, device=device, parallel=parallel)
    return parallel, resources.cpus, resources.gpus


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
        (Devices(cpus=16, gpus=4, cpus_per_node=4), AUTO, "auto", 100, (4, 3, 1.0)),
        (Devices(cpus=8, gpus=1), ResourceRequest(gpus_per_trial=0.5), "auto", 100, (2, 3, 0.5)),
        (Devices(cpus=8, gpus=2), ResourceRequest(gpus_per_trial=0), "auto", 100, (8, 1, 0.0)),
        (Devices(cpus=64, cpus_per_node=8), AUTO, "auto", 2, (2, 8, 0.0)),
    ],
)
def test_shares(
    devices: Devices, request_: ResourceRequest, device: str, cells: int, expected: tuple[int, int, float]
) -> None:
    assert shares(devices, request_, device=device, cells=cells) == expected


def test_ray_resources() -> None:
    devices = ray_devices({"CPU": 32.0, "GPU": 4.0, "memory": 5e9, "node:1.2.3.4": 1.0}, nodes=4)
    assert (devices.cpus, devices.gpus, devices.memory_bytes, devices.cpus_per_node) == (32, 4, 5_000_000_000, 8)
    assert ray_devices({}).cpus == 1


def test_cluster_capacity_is_bounded_by_the_cluster_limit() -> None:
    worker = {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 10}
    cluster = {
        "max_workers": 3,
        "head_node_type": "head",
        "available_node_types": {"head": {"resources": {"CPU": 2}, "max_workers": 0}, "worker": worker},
    }
    devices = cluster_capacity(cluster)
    assert (devices.gpus, devices.cpus, devices.cpus_per_node) == (3, 14, 4)


def test_this_machine() -> None:
    devices = local_devices()
    assert devices.cpus == len(os.sched_getaffinity(0))
    assert devices.memory_bytes is not None and devices.memory_bytes > 10**8
    assert devices.gpus == len(devices.gpu_names) == len(devices.gpu_memory_bytes)


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Tesla T4, 15360'\necho 'NVIDIA A10G, 23028'\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


def test_gpus_are_found_without_torch(two_gpus: Path) -> None:
    devices = local_devices()
    assert devices.gpu_names == ("Tesla T4", "NVIDIA A10G")
    assert devices.gpu_memory_bytes == (15360 * 2**20, 23028 * 2**20)


@pytest.mark.parametrize(
    ("visible", "names"),
    [("", ()), ("-1", ()), ("1", ("NVIDIA A10G",)), ("0,1", ("Tesla T4", "NVIDIA A10G")), ("5", ())],
)
def test_hidden_gpus_do_not_count(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch, visible: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local_devices().gpu_names == names


def test_a_broken_driver_offers_no_gpu(two_gpus: Path) -> None:
    two_gpus.write_text("#!/bin/sh\necho 'Failed to initialize NVML'\nexit 9\n", encoding="utf-8")
    assert local_devices().gpus == 0


def test_memory_may_be_unknown() -> None:
    assert parse_nvidia_smi("NVIDIA GB10, [N/A]\n\n") == [("NVIDIA GB10", 0)]
