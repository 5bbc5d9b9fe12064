"""Turns what Tune reports into events for the driver; none of its methods raises by accident."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from grid.runner import given_back, lost
from grid.tune_runner.pass_state import PassState
from grid.tune_runner.silence import NobodyAnswers, end_worker
from grid.tune_runner.trainable import EVENTS, HANGS, WORKER, WorkerNotClean
from jobs.errors import one_line
from jobs.spec import Event, EventKind, FailureKind, from_json

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_TASK_ERROR = "ray::"
"""Text of an exception raised inside our Trainable; every other error means that the process is gone."""


class Listener(Callback):  # type: ignore[misc]
    """A Tune callback that feeds one pass."""

    def __init__(self, state: PassState) -> None:
        """Listen for this pass."""
        self._pass = state

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A worker has the pack: from now on it should be heard."""
        with self._pass.guard():
            self._pass.silence.began(_pack_id(trial), trial.temporary_state.ray_actor)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Pass on the batch of events of one step."""
        with self._pass.guard():
            self._pass.silence.heard(_pack_id(trial), result.get(WORKER), hangs=str(result.get(HANGS, "")))
            for data in json.loads(result.get(EVENTS, "[]")):
                self._tell(from_json(Event, data))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Make sure that a pack whose trial is over has ended."""
        with self._pass.guard():
            self._pass.silence.ended(_pack_id(trial))
            self._tell(Event(kind=EventKind.PACK_FINISHED, pack_id=_pack_id(trial)))
            trial.config["pack"].forget()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Report a pack whose worker died, or give it back when the worker only wanted to be replaced."""
        with self._pass.guard():
            self._end(_pack_id(trial), _error_text(trial))
            trial.config["pack"].forget()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look whether to stop, whether somebody is silent or stands still, and how the machines are.

        Raises:
            NobodyAnswers: this pass would never end.
        """
        with self._pass.guard():
            self._pass.stop_packs_if_due()
            for pack_id, reason in self._pass.silence.end_silent(end_worker):
                self._tell(lost(pack_id, FailureKind.TRANSIENT, reason))
        self._pass.look_around()
        is_waiting = self._pass.queue.num_running_packs > 0
        if self._pass.silence.is_hopeless and not is_waiting:
            raise NobodyAnswers("silent workers cannot be ended")
        if is_waiting and self._pass.silence.no_news_s > self._pass.start_deadline_s:
            raise NobodyAnswers(f"no worker began its pack within {self._pass.start_deadline_s:g} s")

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the pass: Tune pickles its callbacks, and the pass holds open connections."""
        return {}

    def _tell(self, event: Event) -> None:
        running = {pack.pack_id: pack for pack in self._pass.queue.running_packs()}
        if event.pack_id not in running:
            return
        if event.kind is EventKind.PACK_FINISHED:
            self._pass.warm_base = running[event.pack_id].base_key
            if self._pass.was_stopped(event.pack_id):
                for item in given_back(self._pass.queue, event.pack_id):
                    self._pass.tell(item)
                return
        self._pass.tell(event)

    def _end(self, pack_id: str, text: str) -> None:
        silence = self._pass.silence.ended(pack_id)
        if silence is not None:
            self._tell(lost(pack_id, FailureKind.TRANSIENT, silence))
        elif WorkerNotClean.__name__ in text:
            for event in given_back(self._pass.queue, pack_id):
                self._pass.tell(event)
        elif text.startswith(_TASK_ERROR):
            self._tell(lost(pack_id, FailureKind.BUG, one_line(text.strip().splitlines()[-1])))
        else:
            self._tell(lost(pack_id, FailureKind.TRANSIENT, f"worker_died: {one_line(text, limit=300)}"))


def _pack_id(trial: Trial) -> str:
    return str(trial.config["pack_id"])


def _error_text(trial: Trial) -> str:
    """What Tune wrote about the newest failure, without its own first line."""
    path = trial.error_file
    if path is None or not Path(path).is_file():
        return "the worker's process ended"
    lines = _COLOUR.sub("", Path(path).read_text("utf-8", errors="replace")).splitlines()
    return "\n".join(line for line in lines if not line.startswith("Failure # ")).strip()
