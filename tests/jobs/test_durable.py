"""Folders that appear whole or not at all."""

import errno
import json
import os
from pathlib import Path

import pytest

from jobs import durable
from jobs.durable import COMMIT_POINTS, DamagedResult, commit_folder, read_manifest, verify_folder, write_atomically
from jobs.errors import EnvironmentProblem, FineGridError

POINTS = COMMIT_POINTS[: COMMIT_POINTS.index("after_replace")]


def write(text):
    return lambda path: path.write_text(text)


def write_folder(path):
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "deep.bin").write_bytes(b"\0\1")
    (path / "empty").write_bytes(b"")


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "work.tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def committed(tmp_path, temporary):
    target = tmp_path / "target"
    commit_folder(temporary, target, {"a.txt": write("hello"), "adapter": write_folder}, stage="ckpt")
    return target


def test_commit_makes_the_target_with_a_manifest_of_every_file(committed, temporary):
    assert not temporary.exists()
    assert set(read_manifest(committed)) == {"a.txt", "adapter/inner/deep.bin", "adapter/empty"}
    assert read_manifest(committed)["a.txt"].num_bytes == 5
    verify_folder(committed)


def test_an_existing_target_is_never_replaced(tmp_path, committed, temporary):
    temporary.mkdir()
    with pytest.raises(EnvironmentProblem, match="exists already"):
        commit_folder(temporary, committed, {"a.txt": write("other")}, stage="ckpt")
    assert (committed / "a.txt").read_text() == "hello"


def test_an_empty_existing_target_is_never_replaced(tmp_path, temporary):
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(EnvironmentProblem, match="exists already"):
        commit_folder(temporary, target, {"a.txt": write("hello")}, stage="ckpt")
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("point", POINTS)
def test_a_failure_before_the_rename_leaves_nothing(tmp_path, temporary, monkeypatch, point):
    monkeypatch.setenv("FINEGRID_FAILPOINTS", "1")
    monkeypatch.setenv("GRID_FAILPOINT", f"ckpt.{point}:raise")
    with pytest.raises(FineGridError):
        commit_folder(temporary, tmp_path / "target", {"a.txt": write("hello")}, stage="ckpt")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_writer_leaves_nothing_and_keeps_its_error(tmp_path, temporary):
    def fail(path):
        path.write_text("half")
        raise RuntimeError("torch.save says so")

    with pytest.raises(RuntimeError, match=r"torch\.save"):
        commit_folder(temporary, tmp_path / "target", {"a.txt": fail}, stage="ckpt")
    assert list(tmp_path.iterdir()) == []


def test_an_io_error_of_fsync_is_never_success(tmp_path, temporary, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(durable.os, "fsync", refuse)
    with pytest.raises(EnvironmentProblem, match="Input/output error"):
        commit_folder(temporary, tmp_path / "target", {"a.txt": write("hello")}, stage="ckpt")
    assert not (tmp_path / "target").exists()


def test_a_full_disk_names_the_target_and_the_way_out(tmp_path, temporary):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(EnvironmentProblem, match=r"target: No space left.*free space"):
        commit_folder(temporary, tmp_path / "target", {"a.txt": full}, stage="ckpt")


@pytest.mark.parametrize("name", ["a.txt", "adapter/inner/deep.bin"])
def test_one_flipped_bit_is_found(committed, name):
    path = committed / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedResult, match=str(path)):
        verify_folder(committed)


def test_cut_and_missing_files_are_found(committed):
    os.truncate(committed / "a.txt", 2)
    with pytest.raises(DamagedResult, match="2 bytes"):
        verify_folder(committed)
    (committed / "a.txt").unlink()
    with pytest.raises(DamagedResult, match="missing"):
        verify_folder(committed)


def test_a_link_in_place_of_a_file_is_damage(committed, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("hello")
    (committed / "a.txt").unlink()
    (committed / "a.txt").symlink_to(outside)
    with pytest.raises(DamagedResult, match="plain file"):
        verify_folder(committed)


def test_files_that_no_manifest_names_are_ignored(committed):
    (committed / ".DS_Store").write_text("x")
    verify_folder(committed)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"version": 1}', '{"version": 1, "files": {"a": 3}}'])
def test_a_broken_manifest_is_damage(committed, text):
    (committed / "manifest.json").write_text(text)
    with pytest.raises(DamagedResult, match="manifest"):
        read_manifest(committed)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\0b"])
def test_a_manifest_cannot_point_outside_its_folder(committed, name):
    files = {name: {"sha256": "0", "bytes": 1}}
    (committed / "manifest.json").write_text(json.dumps({"version": 1, "files": files}))
    with pytest.raises(DamagedResult, match="leaves the folder"):
        read_manifest(committed)


def test_a_newer_manifest_is_refused_with_both_versions(committed):
    (committed / "manifest.json").write_text('{"version": 2, "files": {}}')
    with pytest.raises(DamagedResult, match="version 2"):
        read_manifest(committed)


def test_write_atomically_keeps_the_old_content_when_the_disk_refuses(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    write_atomically(path, b"old")

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable.os, "fsync", refuse)
    with pytest.raises(EnvironmentProblem):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["out.csv"]


def test_a_disk_that_refuses_everything_is_an_environment_problem(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(EnvironmentProblem, match="Read-only"):
        write_atomically(tmp_path / "out.csv", b"new")


def test_two_writers_of_one_file_leave_one_whole_content(tmp_path, monkeypatch):
    """Containers that share a folder may have equal process numbers."""
    path = tmp_path / "file"

    def half_then_the_other(temporary, data):
        monkeypatch.setattr(durable, "write_synced", write_synced)
        with temporary.open("wb") as file:
            file.write(data[:3])
            file.flush()
            write_atomically(path, b"of the other")
            file.write(data[3:])

    write_synced = durable.write_synced
    monkeypatch.setattr(durable, "write_synced", half_then_the_other)
    write_atomically(path, b"of the one")
    assert path.read_bytes() == b"of the one"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
