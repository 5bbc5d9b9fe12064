"""Memory there is: what the machine has left, and what control groups of both versions allow."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from jobs.training import memory_limit
from jobs.training.memory_limit import base_bytes, installed_gib, memory_there_is
from jobs.training.peak_memory import model_bytes

CPU = torch.device("cpu")
MODEL = nn.Linear(10, 10)
GIB = 1 << 30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups to be written; none yet."""
    monkeypatch.setattr(memory_limit, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory_limit, "_OWN_CGROUP", tmp_path / "own")
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_without_control_groups_it_is_what_is_available(groups: Path) -> None:
    found = memory_there_is(MODEL, CPU, granted_bytes=None)
    assert found == pytest.approx(psutil.virtual_memory().available + model_bytes(MODEL), rel=0.2)
    assert installed_gib(CPU) == psutil.virtual_memory().total // GIB


def test_the_narrowest_group_above_counts_and_idle_files_give_way(groups: Path) -> None:
    (groups / "own").write_text("0::/outer/inner\n")
    write(groups / "cgroup", memory__current=5)
    write(groups / "cgroup" / "outer", memory__max=1000, memory__current=700)
    write(groups / "cgroup" / "outer" / "inner", memory__max="max", memory__current=600)
    assert memory_there_is(MODEL, CPU, granted_bytes=None) == 300 + model_bytes(MODEL)
    write(groups / "cgroup" / "outer", memory__stat="anon 1\ninactive_file 200\nactive_file 9")
    assert memory_there_is(MODEL, CPU, granted_bytes=None) == 500 + model_bytes(MODEL)
    assert installed_gib(CPU) == 0


def test_groups_of_version_1(groups: Path) -> None:
    (groups / "own").write_text("9:cpu,cpuacct:/x\n4:memory:/docker/abc\n")
    write(groups / "cgroup" / "memory", memory__limit_in_bytes=0x7FFFFFFFFFFFF000, memory__usage_in_bytes=1)
    write(groups / "cgroup" / "memory" / "docker" / "abc", memory__limit_in_bytes=900, memory__usage_in_bytes=1000)
    assert memory_there_is(MODEL, CPU, granted_bytes=None) == model_bytes(MODEL)


def test_what_the_scheduler_grants_is_a_limit_too(groups: Path) -> None:
    assert memory_there_is(MODEL, CPU, granted_bytes=12345) == 12345


def test_the_base_is_taken_already() -> None:
    assert base_bytes(MODEL, CPU) == model_bytes(MODEL) == 440
