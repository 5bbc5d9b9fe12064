"""The Ray side of a trial: one actor advances one pack after another, a second's worth of events a step."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import DONE

from grid.deadlines import SILENCE, STALL
from grid.runner import PackSession, Site, Trial, TrialModule, WarmState, load_trial
from grid.trial_thread import TrialThread
from grid.tune_runner.driver_watch import DriverWatch, this_driver
from grid.tune_runner.machines import is_going
from grid.tune_runner.mailbox import fetcher
from grid.tune_runner.pack_text import PackText
from grid.tune_runner.silence import Worker
from jobs.mirror import attach
from jobs.spec import Command, CommandKind, Event, EventKind, PackSpec, dumps, loads, to_json
from jobs.storage import Layout

REPORT_EVERY_S = 1.0
PROMPT_AFTER_S = 0.2
"""Cells that take milliseconds are reported several at a time."""
LISTEN_EVERY_S = 0.5
EVENTS = "events"
HANGS = "hangs"
"""Why the worker expects nothing more of its trial; empty as long as it does."""
WORKER = "worker"
"""Who reports, see `grid.tune_runner.silence.Worker`."""
_PROMPT = frozenset({EventKind.CELL_FINISHED, EventKind.CELL_FAILED})
"""Reported at once: results show up live."""


class WorkerNotClean(Exception):
    """This process should not take another pack: an earlier one raised, its device is not free, its machine goes."""


class _Process:
    """What outlives a trial in its process: the loaded trial module and its warm base."""

    trial: TrialModule | None = None
    workshop: WarmState | None = None
    has_raised = False
    _thread: TrialThread | None = None

    @classmethod
    def thread(cls) -> TrialThread:
        """The thread in which the trials of this process run."""
        cls._thread = cls._thread or TrialThread()
        return cls._thread

    @classmethod
    def check(cls) -> None:
        """Refuse the process for a further pack unless it is clean, on a machine that stays."""
        if is_going() or cls.has_raised or (cls.workshop is not None and not cls.workshop.is_clean()):
            raise WorkerNotClean

    @classmethod
    def start(cls, pack: PackSpec, site: Site) -> Trial:
        """Begin a pack, importing torch and the like the first time."""
        cls.trial = cls.trial or load_trial(site)
        cls.workshop = cls.workshop or cls.trial.Workshop(site.results, site.cache)
        return cls.trial.run_pack(pack, cls.workshop)


def order(pack: PackSpec, site: Site, mailbox: str) -> dict[str, Any]:
    """What a Tune trial is configured with to train a pack."""
    return {
        "pack_id": pack.pack_id,
        "resources": to_json(pack.resources),
        "pack": PackText(dumps(pack)),
        "results": str(site.results),
        "url": mirror.url if (mirror := Layout(site.results).mirror) else None,
        "cache": str(site.cache),
        "trial_module": site.trial_module,
        "mailbox": mailbox,
        "driver": this_driver(),
        "silence_s": SILENCE.seconds,
        "stall_s": STALL.seconds,
    }


class PackTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains one pack; reset for the next one while the process and its base stay warm."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first pack of this process."""
        self._open(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack.

        Raises:
            WorkerNotClean: a fresh process should take it.
        """
        _Process.check()
        self._open(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Advance the pack for about a second, or up to news that should not wait."""
        events: list[Event] = []
        began_s = time.monotonic()
        is_over = self._was_stopped_before_start()
        while not is_over:
            event = self._led.next(wait_s=max(0.0, began_s + REPORT_EVERY_S - time.monotonic()))
            is_over = self._led.is_over
            if event is not None:
                _add(events, event)
            self._listen()
            if event is not None and event.kind is EventKind.PACK_STARTED:
                break  # from now on the driver knows whom to end if nothing follows
            is_prompt = event is not None and event.kind in _PROMPT
            if time.monotonic() - began_s >= (PROMPT_AFTER_S if is_prompt else REPORT_EVERY_S):
                break
        _Process.has_raised |= self._session.has_raised
        told = json.dumps([to_json(event) for event in events], allow_nan=False)
        return {EVENTS: told, WORKER: self._worker, HANGS: self._led.hangs(), DONE: is_over}

    def cleanup(self) -> None:
        """End a pack that Tune takes away midway."""
        if not self._led.close():
            _Process.has_raised = True  # the trial is in the middle of something: no other pack comes here

    def _open(self, config: dict[str, Any]) -> None:
        DriverWatch.begin(config["driver"])
        self._worker = str(Worker.this())
        pack = loads(PackSpec, config["pack"].text)
        site = Site(
            results=Path(config["results"]), cache=Path(config["cache"]), trial_module=str(config["trial_module"])
        )
        if config["url"]:
            attach(site.results, config["url"])
        self.config = {"pack_id": pack.pack_id}  # Tune sends it with every result: keep it short
        os.environ["OMP_NUM_THREADS"] = str(pack.resources.cpus)
        self._session = PackSession(pack, lambda: _Process.start(pack, site), Layout(site.results))
        self._led = _Process.thread().lead(self._session, silence_s=config["silence_s"], stall_s=config["stall_s"])
        self._fetch: Callable[[], list[Command]] = fetcher(config["mailbox"], pack.pack_id)
        self._listened_s = 0.0
        self._has_begun = False

    def _was_stopped_before_start(self) -> bool:
        """A pack that waited for its turn while the run was stopped does not even load its base."""
        if self._has_begun:
            return False
        self._has_begun = True
        self._listen()
        return self._session.was_stopped

    def _listen(self) -> None:
        now_s = time.monotonic()
        if now_s - self._listened_s < LISTEN_EVERY_S:
            return
        self._listened_s = now_s
        for command in self._fetch():
            if command.kind is CommandKind.STOP:
                self._session.stop()
            else:
                self._session.tell(command)


def _add(events: list[Event], event: Event) -> None:
    """Of heartbeats in a row only the newest travels."""
    if events and event.kind is EventKind.HEARTBEAT and events[-1].kind is EventKind.HEARTBEAT:
        events[-1] = event
    else:
        events.append(event)
