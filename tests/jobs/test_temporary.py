"""Temporary folders: only those of processes that are certainly gone are swept."""

import os
import subprocess
import sys
import time

import pytest

from jobs import temporary
from jobs.temporary import new_temporary, process_start, sweep


def renamed(folder, **fields):
    """Rename a temporary folder so that it names another owner."""
    parts = dict(zip(["machine", "boot", "pid", "start", "nonce"], folder.stem.split("-")[1:], strict=True))
    parts |= {name: str(value) for name, value in fields.items()}
    other = folder.with_name(f"finegrid-{'-'.join(parts.values())}.tmp")
    folder.rename(other)
    return other


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(timeout=60)
    return child.pid


def test_the_own_folder_stays(tmp_path):
    folder = new_temporary(tmp_path / "tmp")
    assert sweep(tmp_path / "tmp") == 0
    assert folder.is_dir()


def test_the_folder_of_a_dead_process_goes_with_its_content(tmp_path):
    folder = renamed(new_temporary(tmp_path), pid=dead_pid())
    (folder / "half").write_text("x")
    assert sweep(tmp_path) == 1
    assert not folder.exists()


def test_the_folder_of_a_running_process_stays(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        folder = renamed(new_temporary(tmp_path), pid=child.pid, start=process_start(child.pid))
        assert sweep(tmp_path) == 0
        assert folder.exists()
    finally:
        child.stdin.close()
        child.wait(timeout=60)
    assert sweep(tmp_path) == 1


def test_a_reused_pid_does_not_protect(tmp_path):
    renamed(new_temporary(tmp_path), start=1)
    assert sweep(tmp_path) == 1


def test_a_folder_from_before_the_boot_goes(tmp_path):
    folder = renamed(new_temporary(tmp_path), boot="00000000")
    before_boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - 60
    os.utime(folder, (before_boot, before_boot))
    assert sweep(tmp_path) == 1


def test_the_folder_of_a_machine_of_the_same_name_stays(tmp_path):
    """Host names repeat (clones, containers), and the first pid namespace has the same number on every Linux."""
    folder = renamed(new_temporary(tmp_path), boot="00000000", pid=dead_pid())
    assert sweep(tmp_path) == 0
    assert folder.is_dir()


def test_another_machines_folder_stays_for_a_day(tmp_path):
    folder = renamed(new_temporary(tmp_path), machine="00000000", pid=dead_pid())
    assert sweep(tmp_path) == 0
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(folder, (long_ago, long_ago))
    assert sweep(tmp_path) == 1


@pytest.mark.parametrize("name", ["mine.tmp", "finegrid-x.tmp", "finegrid-00000000-00000000-1-1-00000000", ".tmp"])
def test_other_names_are_left_alone(tmp_path, name):
    (tmp_path / name).mkdir()
    assert sweep(tmp_path) == 0
    assert (tmp_path / name).is_dir()


def test_a_link_with_such_a_name_is_left_alone(tmp_path):
    target = tmp_path / "precious"
    target.mkdir()
    (tmp_path / f"finegrid-{temporary.machine_id()}-00000000-1-1-00000000.tmp").symlink_to(target)
    assert sweep(tmp_path) == 0
    assert target.is_dir()


def test_a_missing_folder_is_no_error(tmp_path):
    assert sweep(tmp_path / "none") == 0


def test_a_zombie_does_not_count_as_running():
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        deadline = time.monotonic() + 30
        while process_start(child.pid) is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process_start(child.pid) is None  # ended, and nobody has waited for it
    finally:
        child.wait(timeout=60)


def test_a_clock_that_jumps_sweeps_nothing_of_another_machine(tmp_path, monkeypatch):
    folder = renamed(new_temporary(tmp_path), machine="00000000", pid=dead_pid())
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 2 * 24 * 3600)
    assert sweep(tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
