"""The lock: one process, named to the others, freed by the kernel."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from grid.store.lock import Holder, StoreLock, read_holder
from jobs.errors import EnvironmentProblem, StoreBusy
from jobs.temporary import process_start

HOLD = """
import sys, time
from pathlib import Path
from grid.store.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(120)
"""


@pytest.fixture
def other(tmp_path):
    """A real second process that holds the lock."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait(timeout=60)
    child.stdout.close()


def test_the_holder_is_named_quickly(tmp_path, other):
    began = time.monotonic()
    with pytest.raises(StoreBusy, match=f"process {other.pid} on"):
        StoreLock(tmp_path / "lock").acquire()
    assert time.monotonic() - began < 2


def test_kill_9_frees_the_lock(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait(timeout=60)
    assert not read_holder(tmp_path / "lock").seems_alive()
    lock = StoreLock(tmp_path / "lock")
    assert lock.acquire().pid == os.getpid()
    assert read_holder(tmp_path / "lock").seems_alive()
    lock.release()


def test_a_program_that_the_holder_started_does_not_keep_the_lock(tmp_path):
    spawn = "import subprocess; subprocess.Popen([sys.executable, '-c', SLEEP], close_fds=False)"
    script = HOLD.replace('print("held", flush=True)', spawn)
    script = f"SLEEP = 'import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)'\n{script}"
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    started_pid = int(holder.stdout.readline())
    try:
        holder.kill()
        holder.wait(timeout=60)
        assert process_start(started_pid) is not None
        lock = StoreLock(tmp_path / "lock")
        lock.acquire()
        lock.release()
    finally:
        os.kill(started_pid, signal.SIGKILL)
        holder.stdout.close()


def contend(path, start, answers, end):
    start.wait(30)
    try:
        StoreLock(path).acquire()
        answers.put("held")
        end.wait(30)
    except StoreBusy:
        answers.put("busy")


def test_of_eight_at_once_one_gets_it(tmp_path):
    processes = multiprocessing.get_context("fork")
    start, answers, end = processes.Event(), processes.Queue(), processes.Event()
    arguments = (tmp_path / "lock", start, answers, end)
    children = [processes.Process(target=contend, args=arguments) for _ in range(8)]
    for child in children:
        child.start()
    start.set()
    found = sorted(answers.get(timeout=30) for _ in children)
    end.set()
    for child in children:
        child.join(timeout=30)
    assert found == ["busy"] * 7 + ["held"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "x"}', "null"])
def test_details_that_cannot_be_read_are_no_details(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    assert read_holder(tmp_path / "lock") is None
    lock = StoreLock(tmp_path / "lock")
    lock.acquire()
    lock.release()


def test_a_reused_pid_or_another_boot_is_not_alive():
    present = vars(Holder.this_process())
    assert Holder(**present).seems_alive()
    assert not Holder(**present | {"start_tick": 1}).seems_alive()
    assert not Holder(**present | {"boot_id": "x"}).seems_alive()
    assert not Holder(**present | {"host": "elsewhere"}).seems_alive()


def test_a_lock_in_a_missing_folder_is_an_environment_problem(tmp_path):
    with pytest.raises(EnvironmentProblem, match="No such file"):
        StoreLock(tmp_path / "none" / "lock").acquire()


def test_release_without_acquire_is_fine(tmp_path):
    lock = StoreLock(tmp_path / "lock")
    lock.release()
    assert not lock.is_held
