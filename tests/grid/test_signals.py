"""Signals: an interruption before work, a request during it, and what was ignored stays ignored."""

from __future__ import annotations

import os
import signal

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
