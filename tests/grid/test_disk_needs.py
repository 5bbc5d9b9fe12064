"""Disk that a plan takes: results, checkpoints in flight and downloads, each file system once."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from grid.devices import Devices
from grid.disk_needs import check_disk
from grid.plan import Plan, make_plan
from tests.grid.documents import cells_of

NOTHING = Plan(packs=(), skipped=())


def full_plan(**changes: object) -> Plan:
    axes = {"model": ["bert-base-uncased"], "strategy": ["full"]}
    return make_plan(cells_of(axes=axes, **changes), {}, Devices(cpus=2))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What every file system has."""
    disk = SimpleNamespace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    return disk


def test_downloads_and_results_on_one_file_system_add_up(tmp_path: Path, free: SimpleNamespace) -> None:
    free.free = 1_500_000_000
    downloads = tmp_path / "hub"
    assert check_disk(NOTHING, str(tmp_path), download_bytes=1_400_000_000, downloads=downloads) == []
    plan = make_plan(cells_of(), {}, Devices(cpus=2))
    assert check_disk(plan, str(tmp_path)) == []
    (problem,) = check_disk(plan, str(tmp_path), download_bytes=1_400_000_000, downloads=downloads)
    assert "1.4 GB for the hub's cache" in str(problem) and "1.5 GB are free" in str(problem)


def test_checkpoints_of_whole_models_count(tmp_path: Path, free: SimpleNamespace) -> None:
    free.free = 4_000_000_000  # a checkpoint of BERT with both moments and the best state is 1.8 GB, three may be there
    (problem,) = check_disk(full_plan(), str(tmp_path))
    assert "are needed" in str(problem)
    assert check_disk(full_plan(checkpoint={"every_s": "off"}), str(tmp_path)) == []


def test_a_url_is_left_to_its_own_file_system(free: SimpleNamespace) -> None:
    free.free = 0
    assert check_disk(full_plan(), "s3://bucket/results") == []
