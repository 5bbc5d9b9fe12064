"""One pass of Ray Tune over a queue.

A pass is a fresh Tuner, because Tune's own restore loses finished trials and `fit` can raise. It
keeps nothing: its files lie in a temporary folder and go with it.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune

from grid.deadlines import WORKER_START
from grid.queue import Queue
from grid.runner import OnEvent, ShouldStop, Site, given_back, lost
from grid.signals import leave_now
from grid.splitting import Splitter
from grid.tune_runner.feeder import Feeder
from grid.tune_runner.listener import Listener
from grid.tune_runner.machines import bundle, meets
from grid.tune_runner.mailbox import Mailbox
from grid.tune_runner.pass_state import PassState
from grid.tune_runner.silence import NobodyAnswers
from grid.tune_runner.temporary import temporary_folder
from grid.tune_runner.trainable import PackTrainable
from grid.tune_runner.watchdog import RayLost, Watchdog
from jobs.errors import EnvironmentProblem, one_line
from jobs.spec import CellSpec, FailureKind, Resources, from_json

_logger = logging.getLogger("ray.finegrid")


class TuneRunner:
    """A runner over the Ray this process is connected to."""

    def __init__(
        self,
        site: Site,
        *,
        watchdog: Watchdog | None = None,
        is_private: bool = False,
        can_grow: bool = False,
        look_ahead: int = 1,
        estimate: Callable[[CellSpec], float] | None = None,
    ) -> None:
        """Remember the site.

        Args:
            site: where trials find code and leave files.
            watchdog: of the Ray this process is connected to; None: nobody watches.
            is_private: nobody else uses this Ray, so that a pack never waits long for its worker.
            can_grow: the cluster may add machines, so that a request that does not fit now may fit later.
            look_ahead: packs that may wait for resources at a time; a growing cluster starts machines for them.
            estimate: seconds of a cell, by which packs are split for idle devices at the end; None: they are not.
        """
        self._site = site
        self._watchdog = watchdog or Watchdog((), on_stuck=leave_now)
        self._is_private = is_private
        self._look_ahead = look_ahead
        self._can_grow = can_grow
        self._estimate = estimate
        self._mailbox: Mailbox | None = None

    def run_pass(self, queue: Queue, on_event: OnEvent, should_stop: ShouldStop) -> None:
        """See `grid.runner.Runner`; must be called in the main thread.

        Raises:
            EnvironmentProblem: Ray is lost, or no machine can run what the queue asks for.
        """
        loss: RayLost | None = None
        try:
            state = self._prepare(queue, on_event, should_stop)
        except RayLost as found:
            raise _problem(found) from None
        folder = temporary_folder()
        try:
            with self._watchdog.inside_ray():
                self._fit(state, folder)
        except RayLost as found:
            loss = found
        except NobodyAnswers as error:
            _logger.error("a pass of Ray Tune was given up: %s", error)
        except Exception as error:
            # The driver's part cannot raise here, so this is Tune itself; the next pass is a fresh one.
            _logger.error("a pass of Ray Tune ended early", exc_info=True)
            self._lose_running(state, error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        for pack in queue.running_packs():
            for event in given_back(queue, pack.pack_id):
                state.tell(event)
        if state.error is not None:
            raise state.error
        if loss is not None:
            raise _problem(loss)

    def _prepare(self, queue: Queue, on_event: OnEvent, should_stop: ShouldStop) -> PassState:
        with self._watchdog.inside_ray():
            if not self._can_grow:
                check_fits(queue.waiting_requests())
            self._mailbox = self._mailbox or Mailbox()
        splitter = Splitter(queue, self._estimate) if self._estimate else None
        state = PassState(queue, on_event, should_stop, self._site, self._mailbox, self._watchdog, splitter)
        if self._is_private:
            state.start_deadline_s = WORKER_START.seconds
        return state

    def close(self) -> None:
        """End the mailbox."""
        if self._mailbox is not None and ray.is_initialized() and self._watchdog.loss is None:
            self._mailbox.close()
        self._mailbox = None

    def _fit(self, state: PassState, folder: Path) -> None:
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self._look_ahead)
        tuner = tune.Tuner(
            tune.with_resources(PackTrainable, _request),
            tune_config=tune.TuneConfig(
                num_samples=-1,
                search_alg=Feeder(state),
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name="pass",
                storage_path=str(folder),
                callbacks=[Listener(state)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        tuner.fit()

    def _lose_running(self, state: PassState, error: Exception) -> None:
        reason = f"worker_died: the pass ended early: {one_line(str(error), limit=300)}"
        for pack in state.queue.running_packs():
            state.tell(lost(pack.pack_id, FailureKind.TRANSIENT, reason))


def _problem(loss: RayLost) -> EnvironmentProblem:
    return EnvironmentProblem(f"The cluster was lost while trials were running on it: {loss}.")


def check_fits(requests: set[Resources]) -> None:
    """Refuse requests that no machine of the cluster can ever meet: Tune would wait for ever.

    Raises:
        EnvironmentProblem: names the request and the largest machine.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for request in sorted(requests, key=str):
        if not any(meets(node, request) for node in nodes):
            shapes = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise EnvironmentProblem(
                f"A pack asks for {request.cpus} CPUs and {request.gpus:g} GPUs, and no machine of this Ray has them "
                f"({shapes}). Lower compute.cpus_per_trial or compute.gpus_per_trial, or set compute.device: cpu."
            )


def _request(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([bundle(from_json(Resources, config["resources"]))])


def _trial_name(trial: Any) -> str:
    return f"{trial.config['pack_id']}-{trial.trial_id}"
