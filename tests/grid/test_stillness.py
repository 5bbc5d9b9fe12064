"""Standing still: what counts as movement, and what a process that slept itself may not conclude."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from grid.stillness import LEAST_BYTES_PER_S, LEAST_CPU_SHARE, LOOK_EVERY_S, Stillness, TreeUsage, Usage


class Scene:
    """A process whose clock and use are moved by hand."""

    def __init__(self) -> None:
        self.now_s, self.cpu_s, self.num_bytes = 1000.0, 5.0, 10_000
        self.stillness = Stillness(measure=self.used, clock=lambda: self.now_s)

    def used(self) -> Usage:
        return Usage(cpu_s=self.cpu_s, num_bytes=self.num_bytes)

    def after(self, seconds: float, *, share: float = 0.0, bytes_per_s: float = 0.0, marker: object = "same") -> float:
        """Let time pass with some use, asking every second; what is said at the end."""
        still_s = 0.0
        for _ in range(round(seconds)):
            self.now_s += 1.0
            self.cpu_s += share
            self.num_bytes += round(bytes_per_s)
            still_s = self.stillness.still_s(marker)
        return still_s


def test_with_nothing_used_and_nothing_new_it_stands_still() -> None:
    scene = Scene()
    scene.after(1)
    assert scene.after(600) == 600


def test_heartbeats_and_idle_threads_are_no_movement() -> None:
    scene = Scene()
    scene.after(1)
    assert scene.after(600, share=LEAST_CPU_SHARE / 2, bytes_per_s=LEAST_BYTES_PER_S / 2) == 600


@pytest.mark.parametrize("use", [{"share": LEAST_CPU_SHARE * 1.5}, {"bytes_per_s": LEAST_BYTES_PER_S * 1.5}])
def test_computing_or_moving_bytes_is_movement(use: dict[str, float]) -> None:
    scene = Scene()
    scene.after(300)
    assert scene.after(300, **use) <= LOOK_EVERY_S


def test_another_marker_is_movement_and_none_says_nothing() -> None:
    scene = Scene()
    scene.after(100, marker={"step": 1})
    assert scene.after(100, marker=None) == 199
    assert scene.after(100, marker={"step": 1}) == 299
    assert scene.after(1, marker={"step": 2}) == 0
    scene.after(50, marker={"step": 2})
    scene.stillness.moved()
    assert scene.after(3, marker={"step": 2}) == 3


def test_a_child_that_ended_is_movement() -> None:
    scene = Scene()
    scene.after(100)
    scene.cpu_s -= 3.0
    assert scene.after(20) <= 20


def test_a_process_that_was_stopped_itself_concludes_nothing() -> None:
    scene = Scene()
    scene.after(100)
    scene.now_s += 5000
    assert scene.stillness.still_s() == 0


def test_use_of_a_process_and_its_children_is_seen() -> None:
    measure = TreeUsage()
    before = measure()
    work = "sum(range(6_000_000)); open('/dev/null', 'wb').write(b'x' * 5_000_000); input()"
    child = subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE)
    try:
        deadline_s = time.monotonic() + 20
        while (after := measure()).num_bytes < before.num_bytes + 5_000_000:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert after.cpu_s > before.cpu_s + 0.05
    finally:
        child.communicate(b"\n")


def test_looking_is_not_taken_for_movement() -> None:
    measure = TreeUsage()
    before = measure().num_bytes
    for _ in range(20):
        last = measure().num_bytes
    assert last - before < 20_000
