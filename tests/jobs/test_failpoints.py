"""Failpoints: nothing without both variables; kill, raise and sleep with them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from jobs.failpoints import FailpointReached, failpoint


def arm(monkeypatch, action, *, enabled="1"):
    monkeypatch.setenv("FINEGRID_FAILPOINTS", enabled)
    monkeypatch.setenv("GRID_FAILPOINT", action)


def test_does_nothing_unless_armed(monkeypatch):
    monkeypatch.delenv("FINEGRID_FAILPOINTS", raising=False)
    monkeypatch.delenv("GRID_FAILPOINT", raising=False)
    failpoint("a.b")


def test_one_variable_alone_does_nothing(monkeypatch):
    monkeypatch.delenv("FINEGRID_FAILPOINTS", raising=False)
    monkeypatch.setenv("GRID_FAILPOINT", "a.b:raise")
    failpoint("a.b")


def test_another_name_does_nothing(monkeypatch):
    arm(monkeypatch, "a.b:raise")
    failpoint("a.bc")
    failpoint("a")


def test_raise(monkeypatch):
    arm(monkeypatch, "a.b:raise")
    with pytest.raises(FailpointReached, match=r"a\.b"):
        failpoint("a.b")


def test_sleep(monkeypatch):
    arm(monkeypatch, "a.b:sleep=0.05")
    began = time.monotonic()
    failpoint("a.b")
    assert time.monotonic() - began >= 0.05


def test_unknown_action_names_the_legal_ones(monkeypatch):
    arm(monkeypatch, "a.b:explode")
    with pytest.raises(ValueError, match="kill, raise or sleep"):
        failpoint("a.b")


@pytest.mark.parametrize("action", ["a.b", "a.b:kill"])
def test_kill_ends_the_process_by_sigkill(action):
    environment = {**os.environ, "FINEGRID_FAILPOINTS": "1", "GRID_FAILPOINT": action}
    code = "from jobs.failpoints import failpoint; failpoint('a.b')"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
