"""Runs packs one after another in this process: the same code path as a trial, without Ray."""

from __future__ import annotations

import logging
import time

from grid.queue import Queue
from grid.runner import (
    OnEvent,
    PackSession,
    ShouldStop,
    Site,
    Trial,
    TrialModule,
    WarmState,
    given_back,
    load_trial,
    lost,
)
from grid.signals import abandon
from grid.trial_thread import TrialHangs, TrialThread
from jobs.failpoints import failpoint
from jobs.spec import Event, EventKind, FailureKind, PackSpec
from jobs.storage import Layout

_POLL_S = 0.1
_WARNS_IN_VAIN = "bitsandbytes.backends.cpu.ops"
_LOOK_EVERY_S = 0.5


class LocalRunner:
    """A runner without workers; its base stays warm from pack to pack."""

    def __init__(self, site: Site) -> None:
        """Remember the site; torch is imported with the first pack."""
        self._site = site
        self._layout = Layout(site.results)
        self._trial: TrialModule | None = None
        self._workshop: WarmState | None = None
        self._warm_base: str | None = None
        self._thread = TrialThread()
        # It warns of a kernel for 4-bit weights that it can do without, also where no weight has 4 bits.
        logging.getLogger(_WARNS_IN_VAIN).setLevel(logging.ERROR)

    def run_pass(self, queue: Queue, on_event: OnEvent, should_stop: ShouldStop) -> None:
        """See `grid.runner.Runner`.

        Raises:
            TrialHangs: a trial does, and is left behind: this process cannot train another one.
        """
        while not should_stop() and not queue.is_finished:
            pack = queue.next_pack(self._warm_base)
            if pack is None:
                time.sleep(min(_POLL_S, queue.wait_s or _POLL_S))
                continue
            self._run(pack, queue, on_event, should_stop)
            self._warm_base = pack.base_key

    def close(self) -> None:
        """Forget the warm base."""
        self._workshop = None
        self._thread.close()

    def _run(self, pack: PackSpec, queue: Queue, on_event: OnEvent, should_stop: ShouldStop) -> None:
        session = PackSession(pack, lambda: self._start(pack), self._layout)
        led = self._thread.lead(session)
        try:
            while not led.is_over:
                event = led.next(wait_s=_LOOK_EVERY_S)
                for item in _with_leftovers(event, session, queue) if event is not None else ():
                    on_event(item)
                if reason := led.hangs():
                    on_event(lost(pack.pack_id, FailureKind.TRANSIENT, reason, log=self._log_of(pack)))
                    raise TrialHangs(reason)
                if should_stop() and not session.was_stopped:
                    session.stop()
                    failpoint("stop.sent")
        finally:
            if not led.close():
                abandon(led)
        if session.has_raised:
            self._workshop = None

    def _log_of(self, pack: PackSpec) -> str:
        return self._layout.relative(self._layout.pack_log(pack.cells[0].epoch, pack.pack_id))

    def _start(self, pack: PackSpec) -> Trial:
        self._trial = self._trial or load_trial(self._site)
        if self._workshop is None or not self._workshop.is_clean():
            self._workshop = self._trial.Workshop(self._site.results, self._site.cache)
        return self._trial.run_pack(pack, self._workshop)


def _with_leftovers(event: Event, session: PackSession, queue: Queue) -> list[Event]:
    """A stopped trial may keep silent about cells it never began: they go back before the pack ends."""
    if event.kind is EventKind.PACK_FINISHED and session.was_stopped:
        return given_back(queue, session.pack.pack_id)
    return [event]
