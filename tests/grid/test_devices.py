"""Devices: what is found on a machine, of a cluster, and in a cluster file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from grid.devices import NodeKind, accelerator_name, cluster_capacity, local_devices, parse_nvidia_smi, ray_devices

WORKER = {"resources": {"CPU": 4, "GPU": 1, "accelerator_type:A10G": 1}, "max_workers": 10}


def cluster_file(limit: int = 3, **types: object) -> dict[str, object]:
    head = {"resources": {"CPU": 2}, "max_workers": 0}
    return {"max_workers": limit, "head_node_type": "head", "available_node_types": {"head": head, **types}}


def test_machines_of_a_ray_cluster() -> None:
    gpu = {"CPU": 8.0, "GPU": 4.0, "memory": 5e9, "node:1.2.3.4": 1.0, "accelerator_type:T4": 1.0}
    devices = ray_devices([{"CPU": 4.0, "memory": 1e9}, gpu, {"node:__internal_head__": 1.0}, gpu])
    assert (devices.cpus, devices.gpus, devices.memory_bytes, devices.cpus_per_node) == (20, 8, 11 * 10**9, 8)
    t4 = NodeKind(cpus=8, gpus=4, memory_bytes=5 * 10**9, accelerator_type="T4", count=2)
    assert devices.nodes == (t4, NodeKind(cpus=4, memory_bytes=10**9))
    assert ray_devices([]).cpus == 1


def test_cluster_capacity_is_bounded_by_the_cluster_limit() -> None:
    devices = cluster_capacity(cluster_file(worker=WORKER))
    assert (devices.gpus, devices.cpus, devices.cpus_per_node) == (3, 14, 4)
    assert devices.nodes[0].accelerator_type == "A10G"
    assert devices.memory_bytes is None


def test_a_fall_back_type_is_no_further_capacity() -> None:
    devices = cluster_capacity(cluster_file(4, spot=WORKER, fall_back={**WORKER, "max_workers": 2}))
    assert (devices.gpus, devices.nodes[0].count) == (4, 4)


@pytest.mark.parametrize(
    ("name", "short"),
    [("Tesla V100-SXM2-16GB", "V100"), ("NVIDIA A10G", "A10G"), ("NVIDIA H100 80GB HBM3", "H100"), ("odd", None)],
)
def test_short_names_are_those_of_ray(name: str, short: str | None) -> None:
    assert accelerator_name(name) == short


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
