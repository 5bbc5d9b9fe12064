"""Limits of open files and processes: raised where allowed, told where not."""

from __future__ import annotations

import os
import resource

import pytest

from grid.limits import NUM_FILES_LOCAL, check_limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    """Pretended soft and hard limits of an ordinary user."""
    held = {resource.RLIMIT_NOFILE: (1024, 4096), resource.RLIMIT_NPROC: (4096, 4096)}
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", held.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", held.__setitem__)
    return held


def test_usual_limits_are_left_alone(limits: dict[int, tuple[int, int]]) -> None:
    assert check_limits(uses_ray=True) == []
    assert limits[resource.RLIMIT_NOFILE] == (1024, 4096)


def test_a_low_soft_limit_is_raised(limits: dict[int, tuple[int, int]]) -> None:
    limits[resource.RLIMIT_NOFILE] = (64, 4096)
    assert check_limits(uses_ray=False) == []
    assert limits[resource.RLIMIT_NOFILE] == (NUM_FILES_LOCAL, 4096)


def test_hard_limits_are_told(limits: dict[int, tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    limits[resource.RLIMIT_NOFILE] = (64, 64)
    limits[resource.RLIMIT_NPROC] = (20, 20)
    files, processes = check_limits(uses_ray=False)
    assert "may open 64 files" in str(files) and "ulimit -n" in str(files)
    assert "may have 20 processes" in str(processes)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert [problem.path for problem in check_limits(uses_ray=False)] == ["open files"], "root has no such limit"


def test_unlimited_is_enough(limits: dict[int, tuple[int, int]]) -> None:
    for kind in limits:
        limits[kind] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert check_limits(uses_ray=True) == []
