"""One run of a grid, from the command line to the exit code.

`python -m grid.run` is `finegrid run`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from grid.disk_guard import DiskGuard
from grid.estimate import cell_seconds
from grid.fault_watch import EnvironmentWatch
from grid.finish import finish_pictures
from grid.options import RunOptions
from grid.outlook import Outlook, check, declare_more, look_ahead, take_in
from grid.passes import work
from grid.plan import Plan
from grid.plan_record import record_plan
from grid.progress import Progress
from grid.queue import Batch
from grid.recorder import Recorder
from grid.runner import Runner, Site
from grid.sealing import sealed
from grid.signals import StopSignals
from grid.sinks.feeding import Feeder
from grid.store import CellRow, Store, peek
from grid.summary import Summary
from grid.time_budget import TimeBudget
from jobs.checkpoints import sweep_checkpoints
from jobs.errors import EnvironmentProblem
from jobs.failpoints import failpoint
from jobs.spec import CellSpec, CellState, Event, EventKind, FailureKind
from jobs.storage import Layout, cache_root

if TYPE_CHECKING:
    from grid.tune_runner import RayConnection

TRIAL_MODULE = "jobs.trial"


def run(options: RunOptions, console: Console, signals: StopSignals, *, trial_module: str = TRIAL_MODULE) -> Summary:
    """Bring every declared cell to its end, as far as this run can.

    Args:
        options: the command line.
        console: for people.
        signals: says when to stop.
        trial_module: where trials find `run_pack`; tests put a small one here.
    Returns:
        how it ended; its exit code follows from the store.
    Raises:
        UserError: nothing was created (exit 2).
        EnvironmentProblem: preflight refused, nothing was created (exit 3).
        StoreBusy: another run owns the store (exit 4).
    """
    budget = TimeBudget(options.max_hours)
    outlook = look_ahead(options)
    with ExitStack() as stack:
        ray = None
        if outlook.plan.packs:
            ray = None if options.local else _prepare_ray(outlook, stack)
            if ray is not None:
                outlook = outlook.planned(peek(outlook.root)[0], ray.devices())
            if options.budget is not None:
                budget.limit(*outlook.budget(options.budget))
            is_here = ray is None or ray.is_private
            outlook = check(outlook, console, is_here=is_here)
            # Before secrets are withheld: trackers have their own.
            sinks = stack.enter_context(Feeder(outlook.config.sinks, outlook.root, partial(_say, console)))
            if is_here:
                mirror = Layout(outlook.root).mirror
                stack.enter_context(sealed(keep=mirror.credentials if mirror else ()))
        with signals.patience():
            store = stack.enter_context(Store.open(outlook.root, grid=outlook.config.name, index=options.index))
            store.claim(outlook.config.to_json())
            outlook, before = _open_books(outlook, store)
            stopped = None
            if outlook.plan.packs:
                stopped = _train(outlook, store, ray, console, signals, trial_module, budget, sinks)
            summary = _close_books(outlook, store, before, signals, stopped)
            if ray is not None:
                summary = replace(summary, farewell=ray.farewell())
    if signals.should_stop() or summary.is_tuning_alone:
        return summary
    return replace(summary, files=finish_pictures(outlook.root, has_news=summary.num_new > 0, console=console))


def _prepare_ray(outlook: Outlook, stack: ExitStack) -> RayConnection:
    """Join a cluster now, because the plan depends on it; a Ray of our own starts only after preflight."""
    from grid.tune_runner import RayConnection

    ray = RayConnection(outlook.devices, Layout(outlook.root).logs)
    ray.check()
    if not ray.is_private:
        stack.enter_context(ray)
    return ray


def _open_books(outlook: Outlook, store: Store) -> tuple[Outlook, dict[str, CellRow]]:
    """Pin, declare, take in what an earlier run left, plan anew, and record what preflight refused."""
    for name, revision in outlook.new_pins.items():
        store.pin(name, revision)
    outlook = take_in(outlook, store)
    states = store.states()
    _sweep_checkpoints(outlook, states)
    outlook = outlook.planned(states)
    for planned in outlook.available()[1]:
        store.fail(planned.cell.cell_id, 0, 0, FailureKind.ENVIRONMENT, planned.reason)
    return outlook, states


def _close_books(
    outlook: Outlook, store: Store, before: dict[str, CellRow], signals: StopSignals, stopped: str | None
) -> Summary:
    """Take in what is left and record the end; a disk that refuses now makes it an early, resumable one."""
    try:
        store.ingest_all()
    except EnvironmentProblem as error:
        stopped = stopped or str(error)
    outlook = outlook.followed()
    after = store.states()
    summary = _summary(outlook, before, after, signals, stopped)
    try:
        _sweep_checkpoints(outlook, after)
        failpoint("run.before_finish")
        store.finish_run(summary.exit_code)
    except EnvironmentProblem as error:
        summary = replace(summary, stopped=stopped or str(error))
    return summary


def _sweep_checkpoints(outlook: Outlook, states: dict[str, CellRow]) -> None:
    """A trial removes them behind its result, unless it was killed in between."""
    sweep_checkpoints(Layout(outlook.root), {cell_id for cell_id, row in states.items() if row.state is CellState.DONE})


def _train(
    outlook: Outlook,
    store: Store,
    ray: RayConnection | None,
    console: Console,
    signals: StopSignals,
    trial_module: str,
    budget: TimeBudget,
    sinks: Feeder,
) -> str | None:
    """Work through the plan; the answer says why it ended early, if it did."""
    plan, _ = outlook.available()
    site = Site(results=outlook.root, cache=cache_root(), trial_module=trial_module)
    with ExitStack() as stack:
        try:
            if ray is not None and ray.is_private:
                stack.enter_context(ray)
            where = ray.describe() if ray else "Without Ray: every pack runs in this process (--local)"
        except EnvironmentProblem as error:
            return str(error)
        runner = _runner(site, ray, plan.parallel, partial(cell_seconds, devices=outlook.devices, cpus=1))
        stack.callback(runner.close)
        console.print(escape(where))
        view = stack.enter_context(Progress(console))
        guards = (DiskGuard(store.folders, disk_full=lambda: store.disk_full), EnvironmentWatch(), budget)
        number = 0
        while True:
            number += 1
            packs = replace(outlook, plan=plan).totals().packs  # without those of unavailable models
            record_plan(Layout(outlook.root), store.epoch, number, plan, packs)
            cells = [planned.cell for pack in plan.packs for planned in pack.cells]
            view.on_plan(cells, done=len(plan.done), waiting=len(plan.waiting))
            recorder = Recorder(
                store,
                Layout(outlook.root),
                _batches(plan),
                epoch=store.epoch,
                watch=lambda event, packed: _watch(event, view, sinks),
            )
            stopped = work(runner, recorder, signals.should_stop, guards=guards)
            later = None if stopped or signals.should_stop() else declare_more(outlook, store)
            if later is None:
                return stopped
            outlook = later.planned(store.states())
            plan, _ = outlook.available()


def _watch(event: Event, view: Progress, sinks: Feeder) -> None:
    view.on_event(event)
    if event.kind is EventKind.CELL_FINISHED and "folder" in event.data:
        sinks.on_result(Path(event.data["folder"]))


def _say(console: Console, line: str) -> None:
    console.print(escape(line), soft_wrap=True)


def _runner(site: Site, ray: RayConnection | None, parallel: int, estimate: Callable[[CellSpec], float]) -> Runner:
    if ray is None:
        from grid.local_runner import LocalRunner

        return LocalRunner(site)
    from grid.tune_runner import TuneRunner

    # A cluster brings up as many machines at once as packs wait; here a worker more is a matter of seconds.
    look_ahead = 1 if ray.is_private else parallel
    return TuneRunner(
        site,
        watchdog=ray.watchdog,
        is_private=ray.is_private,
        can_grow=ray.can_grow,
        look_ahead=look_ahead,
        estimate=estimate,
    )


def _batches(plan: Plan) -> list[Batch]:
    return [
        Batch(cells=tuple(planned.cell for planned in pack.cells), base_key=pack.base_key, resources=pack.resources)
        for pack in plan.packs
    ]


def _summary(
    outlook: Outlook,
    before: dict[str, CellRow],
    after: dict[str, CellRow],
    signals: StopSignals,
    stopped: str | None,
) -> Summary:
    over = outlook.declared.settled
    declared = {cell_id: row for cell_id, row in after.items() if not row.retired and cell_id not in over}
    was_done = {cell_id for cell_id, row in before.items() if row.state is CellState.DONE}
    num_new = sum(row.state is CellState.DONE and cell_id not in was_done for cell_id, row in declared.items())
    return Summary(
        grid=outlook.config.name,
        root=outlook.root,
        rows=declared,
        num_new=num_new,
        signal=signals.received,
        stopped=stopped,
        arms=outlook.declared.arms,
    )


if __name__ == "__main__":
    from grid.cli import main_run

    main_run()
