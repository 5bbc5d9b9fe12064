"""One grid under fire: the same command again and again while processes are killed, until every cell is done."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.cluster import TwoNodes
from tests.chaos.victims import MAILBOX, TRAINER, Kill, actors, kill_driver, kill_process
from tests.faults.harness import Finished, Grid, Running

SILENCE_S = 240.0
"""A run that makes nothing new for so long hangs: that is a defect."""
FINISH_TIMEOUT_S = 900.0
"""An undisturbed rest of a grid takes minutes at most."""
FIND_TIMEOUT_S = 8.0
RESUMABLE = (0, 1, 3, 5)
"""0 done; 1 some cells failed (a worker killed too often); 3 the cluster was not to be joined at that moment;
5 stopped early. The same command goes on."""
MAX_QUIET_RUNS = 4
"""Runs in a row that end by themselves and leave something undone, without any kill in between."""

WEIGHTS = {"driver": 30, "worker": 45, "node": 20, "mailbox": 5}


class Defect(Exception):
    """The grid did something that no kill excuses."""


@dataclass
class Siege:
    """A grid, its attacker's dice, and what has happened."""

    grid: Grid
    dice: random.Random
    test_id: str
    cluster: TwoNodes | None
    """None: every run has a private Ray of its own, and there is no node to kill."""
    on_kill: Callable[[Kill, float], None]
    kills: list[Kill] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)

    def hold(self, num_kills: int) -> None:
        """Run the grid to its end, killing up to `num_kills` times on the way.

        Raises:
            Defect: a run hung, ended with an exit code that kills do not explain, or made no progress undisturbed.
        """
        env = self.cluster.environment if self.cluster else {}
        quiet_runs = 0
        while quiet_runs < MAX_QUIET_RUNS:
            before = len(self.kills)
            driver = self.grid.start(env=env)
            finished = self._disturb(driver, num_kills)
            self.exit_codes.append(finished.returncode)
            if finished.returncode == 0:
                return
            was_killed = finished.returncode == -9 and len(self.kills) > before
            if not was_killed and finished.returncode not in RESUMABLE:
                raise Defect(f"exit code {finished.returncode}\n{finished.stdout}\n{finished.stderr}")
            quiet_runs = quiet_runs + 1 if len(self.kills) == before else 0
        raise Defect(f"{MAX_QUIET_RUNS} undisturbed runs did not finish the grid\n{finished.stdout}\n{finished.stderr}")

    def _disturb(self, driver: Running, num_kills: int) -> Finished:
        """Kill until the driver has ended, or often enough."""
        while driver.is_alive and len(self.kills) < num_kills:
            began_s = time.monotonic()
            if not self._wait_for_moment(driver):
                break
            kill = self._kill(driver)
            if kill is not None:
                self.kills.append(kill)
                self.on_kill(kill, time.monotonic() - began_s)
        return driver.wait(FINISH_TIMEOUT_S)

    def _wait_for_moment(self, driver: Running) -> bool:
        """Mostly until something new was saved and a little longer, sometimes any moment; False: the run is over."""
        if self.dice.random() < 0.8:
            before, deadline_s = self._saved(), time.monotonic() + SILENCE_S
            while driver.is_alive and self._saved() == before:
                if time.monotonic() > deadline_s:
                    raise Defect(f"nothing new within {SILENCE_S:g} s\n{driver.stdout}\n{driver.stderr}")
                time.sleep(0.02)
            pause_s = self.dice.uniform(0.0, 1.5)
        else:
            pause_s = self.dice.uniform(0.0, 6.0)
        end_s = time.monotonic() + pause_s
        while driver.is_alive and time.monotonic() < end_s:
            time.sleep(0.02)
        return driver.is_alive

    def _saved(self) -> set[str]:
        """Names of all results and checkpoints."""
        layout = self.grid.layout
        return {path.name for folder in (layout.cells, layout.checkpoints) for path in folder.glob("*/*")}

    def _kill(self, driver: Running) -> Kill | None:
        names = [name for name in WEIGHTS if self.cluster or name != "node"]
        what = self.dice.choices(names, [WEIGHTS[name] for name in names])[0]
        if what == "driver":
            return kill_driver(driver)
        if what == "node" and self.cluster:
            return self.cluster.kill_second()
        return self._kill_actor(driver, TRAINER if what == "worker" else MAILBOX, what)

    def _kill_actor(self, driver: Running, names: tuple[str, ...], what: str) -> Kill | None:
        deadline_s = time.monotonic() + FIND_TIMEOUT_S
        while driver.is_alive and time.monotonic() < deadline_s:
            if found := actors(self.test_id, names):
                return kill_process(self.dice.choice(found), what)
            time.sleep(0.05)
        return None
