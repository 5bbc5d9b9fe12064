"""Processes are hit by pid and start tick together; a reused pid is another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from grid.processes import ProcessName, descendants, end_processes, end_tree, machine


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def name_of(pid: int) -> ProcessName:
    name = ProcessName.of(pid)
    assert name is not None
    return name


def test_this_process_lives_and_has_a_machine() -> None:
    assert ProcessName.this() == ProcessName.of(os.getpid()) and ProcessName.this().is_alive()
    assert machine() == machine() and machine().count(":") == 2


def test_a_stopped_process_is_ended_and_its_zombie_counts_as_gone(sleeper: subprocess.Popen[bytes]) -> None:
    name = name_of(sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    assert end_processes([name]) == set()
    assert not name.is_alive() and ProcessName.of(sleeper.pid) is None
    assert sleeper.wait() == -signal.SIGKILL


def test_a_reused_pid_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    other = ProcessName(pid=sleeper.pid, start_tick=name_of(sleeper.pid).start_tick - 1)
    assert not other.is_alive()
    assert end_processes([other]) == set()
    end_tree(other)
    assert sleeper.poll() is None


def test_a_tree_is_ended_as_a_whole() -> None:
    script = "import subprocess; subprocess.Popen(['sleep', '60']).wait()"
    parent = subprocess.Popen([sys.executable, "-c", script])
    deadline_s = time.monotonic() + 10
    while not (children := descendants(parent.pid)) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    end_tree(name_of(parent.pid))
    assert children and not any(child.is_alive() for child in children)
    parent.wait()
    assert descendants(parent.pid) == set()
