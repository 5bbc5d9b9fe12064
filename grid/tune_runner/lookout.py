"""The driver's look at the machines, now and then: packs leave those that go, idle ones get cells of long packs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

import ray

from grid.plan import BASELINE_KEY
from grid.queue import Queue
from grid.splitting import Splitter
from grid.tune_runner.machines import draining, free_rooms
from grid.tune_runner.silence import Worker
from jobs.spec import Command, CommandKind, Resources

LOOK_EVERY_S = 5.0

_logger = logging.getLogger("ray.finegrid")
Orders = list[tuple[str, Command]]


class Lookout:
    """Finds out what running packs should be told because of the machines they are, or could be, on."""

    def __init__(
        self,
        queue: Queue,
        splitter: Splitter | None,
        *,
        find_draining: Callable[[], Collection[str]] = draining,
        find_rooms: Callable[[Resources], int] = free_rooms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look for this queue.

        Args:
            queue: whose packs run.
            splitter: decides what is moved to idle devices; None: nothing is.
            find_draining: ids of machines that are about to go.
            find_rooms: how many packs with a request could start now.
            clock: seconds that never go back.
        """
        self._queue = queue
        self._splitter = splitter
        self._find_draining, self._find_rooms, self._clock = find_draining, find_rooms, clock
        self._looked_s = clock()
        self._told: set[str] = set()

    def orders(self, workers: dict[str, Worker]) -> Orders:
        """What to tell which pack; most calls answer at once with nothing.

        Args:
            workers: where each running pack is, as far as known.
        """
        if self._clock() - self._looked_s < LOOK_EVERY_S or self._queue.num_running_packs == 0:
            return []
        self._looked_s = self._clock()
        try:
            return [*self._leave(workers), *self._split()]
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
            # Whether Ray is lost is the watchdog's question; without an answer nothing is moved.
            _logger.warning("the cluster did not say what it has: %s", error)
            return []

    def _leave(self, workers: dict[str, Worker]) -> Orders:
        """Packs on machines that are about to go save their cells and give them back."""
        going = self._find_draining() if workers else ()
        found = [pack_id for pack_id, worker in workers.items() if worker.node_id in going]
        found = [pack_id for pack_id in found if pack_id not in self._told]
        self._told.update(found)
        return [(pack_id, Command(kind=CommandKind.STOP)) for pack_id in found]

    def _split(self) -> Orders:
        if self._splitter is None or self._queue.wait_s == 0:
            return []
        requests = {pack.resources for pack in self._queue.running_packs() if pack.base_key != BASELINE_KEY}
        rooms = sum(self._find_rooms(request) for request in requests)
        return self._splitter.commands(rooms - self._splitter.num_loading()) if rooms else []
