"""Packs that say nothing, or get nowhere, for too long: their worker is ended, or given up if that cannot be done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from grid.deadlines import SILENCE
from grid.processes import ProcessName, end_tree
from grid.stillness import silence_reason
from jobs.errors import EnvironmentProblem

GIVE_UP_S = 30.0
"""From the order to end a worker to giving it up: Ray tells of a death within seconds."""
_AWAY_S = 20.0
"""A driver that did not look for so long was itself stopped: nobody could be heard meanwhile."""

_logger = logging.getLogger("ray.finegrid")


class NobodyAnswers(EnvironmentProblem):
    """No pack of a pass can be expected to go on: only a new pass helps."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A trial's process, wherever it runs."""

    process: ProcessName
    node_id: str

    @classmethod
    def this(cls) -> Worker:
        """The calling process."""
        return cls(process=ProcessName.this(), node_id=ray.get_runtime_context().get_node_id())

    @classmethod
    def parse(cls, text: str) -> Worker:
        """Read what `str` gave."""
        pid, start_tick, node_id = text.split(":")
        return cls(process=ProcessName(pid=int(pid), start_tick=int(start_tick)), node_id=node_id)

    def __str__(self) -> str:
        """For a trial's results."""
        return f"{self.process.pid}:{self.process.start_tick}:{self.node_id}"


@dataclass
class _Line:
    """What was last heard of a pack."""

    heard_s: float
    actor: Any
    worker: Worker | None = None
    hangs: str = ""
    """Why its own process expects nothing more of it."""
    ended_s: float | None = None
    """When the order to end the worker was given."""
    reason: str = ""
    """Of that order."""


Kill = Callable[[Worker | None, Any], None]


class SilenceWatch:
    """Follows when each running pack was last heard; knows nothing of queue and store."""

    def __init__(self, *, deadline_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Listen to nobody yet.

        Args:
            deadline_s: silence that counts as a hang; None: SILENCE.
            clock: seconds that never go back.
        """
        self.deadline_s = SILENCE.seconds if deadline_s is None else deadline_s
        self._clock = clock
        self._looked_s = self._news_s = clock()
        self._lines: dict[str, _Line] = {}

    def began(self, pack_id: str, actor: Any) -> None:
        """A worker took the pack."""
        self._news_s = self._clock()
        self._lines[pack_id] = _Line(heard_s=self._clock(), actor=actor)

    def heard(self, pack_id: str, worker: str | None, *, hangs: str = "") -> None:
        """The pack's process reported; `hangs` says why it expects nothing more of the trial."""
        self._news_s = self._clock()
        line = self._lines.get(pack_id)
        if line is not None:
            line.heard_s, line.hangs = self._clock(), hangs
            line.worker = Worker.parse(worker) if worker else line.worker

    def workers(self) -> dict[str, Worker]:
        """The workers of running packs that were heard, by pack id."""
        return {pack_id: line.worker for pack_id, line in self._lines.items() if line.worker is not None}

    def ended(self, pack_id: str) -> str | None:
        """The pack's trial is over.

        Returns:
            why it was ended, in words; None when it ended by itself.
        """
        self._news_s = self._clock()
        line = self._lines.pop(pack_id, None)
        return line.reason if line is not None and line.ended_s is not None else None

    def end_silent(self, kill: Kill) -> list[tuple[str, str]]:
        """Order the end of workers that are silent for too long, or whose trial hangs, once each.

        Args:
            kill: ends a worker; does not wait.
        Returns:
            packs to give up, with the reason: their workers were ordered to end and still are not told dead.
        """
        now_s = self._clock()
        was_away = now_s - self._looked_s > _AWAY_S
        self._looked_s = now_s
        lost: list[tuple[str, str]] = []
        self._news_s = now_s if was_away else self._news_s
        for pack_id, line in self._lines.items():
            if was_away:
                line.heard_s = now_s
            elif line.ended_s is None and (reason := self._hangs(line, now_s)):
                line.ended_s, line.reason = now_s, reason
                _logger.warning("pack %s: %s Ending %s", pack_id, reason, line.worker)
                kill(line.worker, line.actor)
            elif line.ended_s is not None and now_s - line.ended_s > GIVE_UP_S:
                lost.append((pack_id, line.reason + " Its worker could not be ended."))
        return lost

    @property
    def is_hopeless(self) -> bool:
        """True when packs are under way and every one of them was given up."""
        now_s = self._clock()
        lines = self._lines.values()
        return bool(lines) and all(line.ended_s is not None and now_s - line.ended_s > GIVE_UP_S for line in lines)

    @property
    def no_news_s(self) -> float:
        """Seconds since any pack began, reported or ended."""
        return self._clock() - self._news_s

    def _hangs(self, line: _Line, now_s: float) -> str:
        return line.hangs or (silence_reason(self.deadline_s) if now_s - line.heard_s > self.deadline_s else "")


def end_worker(worker: Worker | None, actor: Any) -> None:
    """End a trial's process by SIGKILL on its machine, stopped or not, and tell Ray; does not wait.

    Args:
        worker: as it told itself; None when it never spoke.
        actor: Ray's handle, if known.
    """
    if worker is not None and worker.node_id == ray.get_runtime_context().get_node_id():
        end_tree(worker.process)
    elif worker is not None:
        there = NodeAffinitySchedulingStrategy(worker.node_id, soft=False)
        task: Any = ray.remote(num_cpus=0, max_retries=0)(_end_tree)
        task.options(scheduling_strategy=there).remote(worker.process.pid, worker.process.start_tick)
    if actor is not None:
        ray.kill(actor)


def _end_tree(pid: int, start_tick: int) -> None:
    end_tree(ProcessName(pid=pid, start_tick=start_tick))
