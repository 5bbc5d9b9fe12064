"""Silence: who is ended when, who is given up, and what a driver that slept itself may not conclude."""

from __future__ import annotations

from typing import Any

from grid.processes import ProcessName
from grid.tune_runner.silence import GIVE_UP_S, SilenceWatch, Worker

WORKER = Worker(process=ProcessName(pid=7, start_tick=70), node_id="abc")


class Scene:
    """A watch with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.ended: list[tuple[Worker | None, Any]] = []
        self.watch = SilenceWatch(deadline_s=60.0, clock=lambda: self.now_s)

    def after(self, seconds: float) -> list[tuple[str, str]]:
        """Let time pass in steps of a second, looking each time."""
        lost = []
        for _ in range(round(seconds)):
            self.now_s += 1.0
            lost += self.watch.end_silent(lambda worker, actor: self.ended.append((worker, actor)))
        return lost


def test_a_worker_survives_its_text() -> None:
    assert Worker.parse(str(WORKER)) == WORKER


def test_who_speaks_is_left_alone_and_who_is_silent_is_ended_once() -> None:
    scene = Scene()
    scene.watch.began("loud", "actor 1")
    scene.watch.began("silent", "actor 2")
    scene.watch.heard("silent", str(WORKER))
    for _ in range(4):
        scene.watch.heard("loud", None)
        assert scene.after(20) == []
    assert scene.ended == [(WORKER, "actor 2")]
    assert scene.watch.ended("loud") is None
    reason = scene.watch.ended("silent")
    assert reason is not None and reason.startswith("timeout: it said nothing for 60 s")


def test_a_worker_whose_trial_hangs_is_ended_although_it_speaks() -> None:
    scene = Scene()
    scene.watch.began("stuck", "actor")
    scene.watch.heard("stuck", str(WORKER))
    scene.after(1)
    assert scene.ended == []
    scene.watch.heard("stuck", str(WORKER), hangs="timeout: nothing moved.")
    scene.after(1)
    assert scene.ended == [(WORKER, "actor")]
    assert scene.watch.ended("stuck") == "timeout: nothing moved."


def test_one_that_never_spoke_is_ended_by_its_handle() -> None:
    scene = Scene()
    scene.watch.began("mute", "actor")
    scene.after(62)
    assert scene.ended == [(None, "actor")]


def test_a_worker_that_cannot_be_ended_is_given_up_and_then_nothing_is_left_to_wait_for() -> None:
    scene = Scene()
    assert not scene.watch.is_hopeless
    scene.watch.began("stuck", "actor")
    assert scene.after(61 + GIVE_UP_S - 2) == [] and not scene.watch.is_hopeless
    lost = scene.after(4)
    assert lost and lost[0][0] == "stuck" and lost[0][1].endswith("could not be ended.")
    assert scene.watch.is_hopeless


def test_a_driver_that_was_stopped_itself_blames_nobody() -> None:
    scene = Scene()
    scene.watch.began("p", "actor")
    scene.now_s += 1000
    assert scene.after(59) == [] and scene.ended == []


def test_news_of_any_pack_count() -> None:
    scene = Scene()
    scene.after(10)
    assert scene.watch.no_news_s == 10
    scene.watch.heard("unknown", None)
    assert scene.watch.no_news_s == 0
