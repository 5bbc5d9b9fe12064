"""A led trial: its events come in order, its leader is never held up, and a hang has a reason and stacks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from grid.runner import PackSession
from grid.stillness import Stillness, Usage
from grid.trial_thread import LedPack, TrialThread
from jobs.spec import Command, Event, EventKind, PackedCell, PackSpec
from jobs.storage import Layout
from tests.fakes.cells import cell

PACK = PackSpec(pack_id="p1", base_key="base", cells=(PackedCell(cell=cell(1), epoch=1, attempt=1),))
Trial = Generator[Event, Command | None, None]


@pytest.fixture
def thread() -> Iterator[TrialThread]:
    found = TrialThread()
    yield found
    found.close()


def beat(step: int) -> Event:
    return Event(kind=EventKind.HEARTBEAT, pack_id="p1", data={"step": step})


def session_of(script: Callable[[], Trial], folder: Path) -> PackSession:
    return PackSession(PACK, script, Layout(folder))


def test_events_come_in_order_and_the_end_is_told(thread: TrialThread, tmp_path: Path) -> None:
    def script() -> Trial:
        yield beat(1)
        yield beat(2)

    led = thread.lead(session_of(script, tmp_path))
    kinds = [event.kind for _ in range(4) if (event := led.next(5.0)) is not None]
    assert kinds == [EventKind.HEARTBEAT, EventKind.HEARTBEAT, EventKind.PACK_FINISHED]
    assert led.is_over and led.next(5.0) is None and led.close()


def test_a_busy_trial_does_not_hold_its_leader_up_and_cannot_be_closed(thread: TrialThread, tmp_path: Path) -> None:
    may_end = threading.Event()

    def script() -> Trial:
        may_end.wait(30)
        yield beat(1)

    led = thread.lead(session_of(script, tmp_path))
    began_s = time.monotonic()
    assert led.next(0.05) is None and not led.is_over
    assert time.monotonic() - began_s < 5
    assert not led.close()
    may_end.set()
    assert led.next(10.0) == beat(1)
    assert led.close()


class Scene:
    """A led pack whose clock and use are moved by hand."""

    def __init__(self, script: Callable[[], Trial], folder: Path, thread: TrialThread) -> None:
        self.now_s, self.cpu_s = 0.0, 0.0
        stillness = Stillness(measure=lambda: Usage(cpu_s=self.cpu_s, num_bytes=0), clock=lambda: self.now_s)
        session = session_of(script, folder)
        self.led = LedPack(session, thread._pool, 60.0, 600.0, stillness=stillness, clock=lambda: self.now_s)

    def after(self, seconds: int, *, cpu_share: float = 0.0, wait_s: float = 0.0) -> str:
        for _ in range(seconds):
            self.now_s += 1.0
            self.cpu_s += cpu_share
            self.led.next(wait_s)
        return self.led.hangs()


def test_silence_with_nothing_moving_is_a_hang_and_work_is_none(thread: TrialThread, tmp_path: Path) -> None:
    may_end = threading.Event()

    def script() -> Trial:
        may_end.wait(30)
        yield beat(1)

    scene = Scene(script, tmp_path, thread)
    assert scene.after(3000, cpu_share=0.9) == ""
    assert scene.after(59) == ""
    assert scene.after(10).startswith("timeout: it said nothing for 60 s")
    line = json.loads((tmp_path / "logs" / "1-p1.jsonl").read_text("utf-8").splitlines()[0])
    assert line["event"] == "no_progress" and "test_trial_thread.py" in line["stacks"]
    may_end.set()


def test_beats_without_movement_are_a_hang_after_the_longer_deadline(thread: TrialThread, tmp_path: Path) -> None:
    def script() -> Trial:
        while True:
            yield beat(7)

    scene = Scene(script, tmp_path, thread)
    assert scene.after(590, wait_s=5.0) == ""
    assert scene.after(20, wait_s=5.0).startswith("timeout: nothing moved for 600 s")
    assert not scene.led.close()


def test_beats_that_count_steps_are_movement(thread: TrialThread, tmp_path: Path) -> None:
    def script() -> Trial:
        step = 0
        while True:
            yield beat(step := step + 1)

    scene = Scene(script, tmp_path, thread)
    assert scene.after(1500, wait_s=5.0) == ""
    scene.led.close()
