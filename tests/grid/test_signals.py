"""Signals: an interruption before work, a request during it, and what was ignored stays ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from grid.signals import SIGNALS, Interrupted, StopSignals, exit_code


@pytest.mark.parametrize("number", SIGNALS)
def test_during_work_the_first_signal_is_a_request(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    with StopSignals() as signals, signals.patience():
        assert not signals.should_stop()
        os.kill(os.getpid(), number)
        assert signals.should_stop() and signals.received == number
    assert "second signal" in capfd.readouterr().err


def test_before_and_after_work_a_signal_interrupts() -> None:
    with StopSignals() as signals:
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.value.number == signal.SIGTERM and signals.should_stop()


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopSignals():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.should_stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_exit_codes_are_those_of_a_shell() -> None:
    assert [exit_code(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)] == [129, 130, 143]


_DEAF = """
import time
from grid.signals import StopSignals
with StopSignals() as signals, signals.patience():
    print("ready", flush=True)
    time.sleep(60)
"""


def start_deaf(grace_s: str) -> subprocess.Popen[str]:
    environment = os.environ | {"FINEGRID_GRACE_S": grace_s}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", _DEAF], env=environment, text=True, **pipes)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_what_does_not_stop_in_time_is_ended_with_the_signals_code() -> None:
    with start_deaf("0.5") as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 143 and "FINEGRID_GRACE_S" in errors


def test_the_second_signal_leaves_at_once() -> None:
    with start_deaf("60") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=5)
    assert process.returncode in (130, 143)
