"""What feeder and listener of one pass share."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

from grid.queue import Queue
from grid.runner import OnEvent, ShouldStop, Site
from grid.splitting import Splitter
from grid.tune_runner.lookout import Lookout
from grid.tune_runner.mailbox import Mailbox
from grid.tune_runner.silence import SilenceWatch
from grid.tune_runner.watchdog import Watchdog
from jobs.failpoints import failpoint
from jobs.spec import Command, CommandKind, Event

_logger = logging.getLogger("ray.finegrid")


class PassState:
    """One pass: the queue, the driver's ear, and whether to stop.

    Tune gives up the whole experiment when a callback raises, so that the first exception of
    the driver is kept here, trials are told to stop, and the runner raises it after the pass.
    """

    def __init__(
        self,
        queue: Queue,
        on_event: OnEvent,
        should_stop: ShouldStop,
        site: Site,
        mailbox: Mailbox,
        watchdog: Watchdog,
        splitter: Splitter | None = None,
    ) -> None:
        """Begin with nothing told and nothing wrong."""
        self.queue = queue
        self.site = site
        self.mailbox = mailbox
        self.silence = SilenceWatch()
        self.lookout = Lookout(queue, splitter)
        self.start_deadline_s = math.inf
        """Without news of any pack for so long, workers cannot be started; infinite where packs wait for machines."""
        self.error: Exception | None = None
        self.warm_base: str | None = None
        self._watchdog = watchdog
        self._splitter = splitter
        self._on_event = on_event
        self._should_stop = should_stop
        self._stopped: set[str] = set()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Keep the first exception instead of letting it into Tune; only the loss of Ray may end a pass here."""
        with self._watchdog.shielded():
            try:
                yield
            except Exception as error:
                _logger.error("the driver failed in a Tune callback", exc_info=True)
                self.error = self.error or error

    def is_stopping(self) -> bool:
        """True once nothing more may be handed out."""
        return self.error is not None or self._should_stop()

    def was_stopped(self, pack_id: str) -> bool:
        """True when this pack was told to stop."""
        return pack_id in self._stopped

    def tell(self, event: Event) -> None:
        """Pass an event to the driver, unless it has failed already."""
        if self.error is None:
            with self.guard():
                if self._splitter is not None:
                    self._splitter.on_event(event)
                self._on_event(event)

    def look_around(self) -> None:
        """Tell packs what follows from the state of the machines; they may have gone by the time they hear it."""
        if self.is_stopping():
            return
        for pack_id, command in self.lookout.orders(self.silence.workers()):
            _logger.info("pack %s: %s", pack_id, command.kind)
            self.mailbox.send(pack_id, command)

    def stop_packs_if_due(self) -> None:
        """Tell every running pack once to stop."""
        if not self.is_stopping():
            return
        for pack in self.queue.running_packs():
            if pack.pack_id not in self._stopped:
                self._stopped.add(pack.pack_id)
                with self.guard():
                    self.mailbox.send(pack.pack_id, Command(kind=CommandKind.STOP))
                    failpoint("stop.sent")
