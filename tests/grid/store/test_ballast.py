"""Ballast: space kept back while there is some, given up once, never in the way."""

import shutil
from collections import namedtuple

import pytest

from grid.store.ballast import Ballast

Usage = namedtuple("Usage", "total used free")
MIB = 1 << 20


@pytest.fixture
def free(monkeypatch):
    def free(num_bytes):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, num_bytes))

    return free


@pytest.mark.parametrize(("num_free", "expected"), [(1000 * MIB, 8 * MIB), (8 * MIB, MIB), (MIB // 4, None)])
def test_a_share_of_what_is_free_is_kept_back(tmp_path, free, num_free, expected):
    free(num_free)
    ballast = Ballast(tmp_path / "ballast")
    ballast.load()
    assert [path.stat().st_size for path in tmp_path.iterdir()] == ([expected] if expected else [])
    assert ballast.drop() is (expected is not None)
    assert not ballast.drop() and list(tmp_path.iterdir()) == []


def test_what_an_earlier_run_left_is_used(tmp_path):
    (tmp_path / "ballast").write_bytes(b"x")
    Ballast(tmp_path / "ballast").load()
    assert (tmp_path / "ballast").read_bytes() == b"x"


def test_a_disk_that_refuses_is_no_error(tmp_path, monkeypatch):
    def full(path, data):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("grid.store.ballast.write_synced", full)
    Ballast(tmp_path / "ballast").load()
    assert list(tmp_path.iterdir()) == []
