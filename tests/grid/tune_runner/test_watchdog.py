"""The watchdog gets the main thread out of a call that never returns, and out of nothing else."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from grid.tune_runner.watchdog import Pulse, RayLost, Watchdog


def fail(reason: str) -> None:
    raise AssertionError(reason)


def test_a_main_thread_that_hangs_in_ray_is_called_out() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Watchdog([lambda: None, lambda: "its raylet ended"], on_stuck=fail) as watchdog:
        with pytest.raises(RayLost, match="raylet"), watchdog.inside_ray():
            time.sleep(30)
        assert watchdog.loss == "its raylet ended"
        with pytest.raises(RayLost), watchdog.inside_ray():
            fail("nobody enters a Ray that is lost")
    assert signal.getsignal(signal.SIGUSR1) == before


def test_the_drivers_own_code_is_not_torn_apart() -> None:
    steps = []
    with Watchdog([lambda: "lost"], on_stuck=fail) as watchdog:
        with pytest.raises(RayLost), watchdog.inside_ray():
            with watchdog.shielded():
                deadline_s = time.monotonic() + 2.5
                while time.monotonic() < deadline_s:
                    time.sleep(0.05)
                steps.append("whole")
            steps.append("never")
    assert steps == ["whole"]


def test_outside_of_ray_nobody_is_interrupted() -> None:
    with Watchdog([lambda: "lost"], on_stuck=fail) as watchdog:
        time.sleep(1.5)
        assert watchdog.loss == "lost"


def test_who_does_not_come_out_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEGRID_LEAVE_RAY_S", "1")
    stuck = threading.Event()
    with Watchdog([lambda: "lost"], on_stuck=lambda reason: stuck.set()) as watchdog:
        with pytest.raises(RayLost), watchdog.inside_ray(), watchdog.shielded():
            assert stuck.wait(10)


def test_all_well_raises_nothing() -> None:
    with Watchdog([lambda: None], on_stuck=fail) as watchdog, watchdog.inside_ray(), watchdog.shielded():
        time.sleep(1.2)
    assert watchdog.loss is None


def test_a_pulse_is_lost_when_answers_stay_away() -> None:
    def answer() -> None:
        if is_down:
            raise ConnectionError("refused\nmore")

    is_down = False
    pulse = Pulse(answer, name="service", deadline_s=0.3, every_s=0.05)
    time.sleep(0.5)
    assert pulse.loss() is None
    is_down = True
    time.sleep(0.6)
    assert (pulse.loss() or "").endswith("(ConnectionError: refused)")
    pulse.stop()
