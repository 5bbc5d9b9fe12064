"""Everything a run finds out before it writes anything: config, cells, plan, and what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from grid.cells import declared_cells
from grid.config import Config, load_config
from grid.devices import Devices, local_devices
from grid.options import RunOptions
from grid.plan import Plan, PlannedCell, make_plan, without
from grid.preflight import check_data, preflight
from grid.resolve import OfflineResolver, OnlineResolver
from grid.store import CellRow, peek, schema
from grid.store.problems import explained, other_grid
from grid.store.reading import read_grid
from jobs.errors import ConfigError, EnvironmentProblem, FineGridError, Problem
from jobs.spec import CellSpec
from jobs.storage import Layout


class PreflightRefused(EnvironmentProblem):
    """Machine, network, disk or account are not ready; all problems are listed."""

    def __init__(self, problems: list[Problem]) -> None:
        """Keep the list; the message has one line a problem."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is declared, what is to do, and on what."""

    options: RunOptions
    config: Config
    root: Path
    cells: tuple[CellSpec, ...]
    devices: Devices
    plan: Plan
    new_pins: Mapping[str, str] = field(default_factory=dict)
    """Hub revisions that the store should pin."""
    refusals: Mapping[tuple[str, str], FineGridError] = field(default_factory=dict)
    """What the hub refused, by (kind, hub id)."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Models left out by --skip-unavailable: reason by hub id."""

    def planned(self, states: Mapping[str, CellRow], devices: Devices | None = None) -> Outlook:
        """The same with a plan over these states, and on these devices."""
        devices = devices or self.devices
        plan = make_plan(self.cells, states, devices, self.options.retry_failed, self.config.request)
        return replace(self, plan=plan, devices=devices)

    def available(self) -> tuple[Plan, tuple[PlannedCell, ...]]:
        """The plan without unavailable models, and their cells."""
        return without(self.plan, self.unavailable)


def look_ahead(options: RunOptions) -> Outlook:
    """Read the config and the store, and plan on the devices of this machine.

    Args:
        options: the command line; a dry run asks no network.
    Returns:
        the outlook; its plan is empty when there is nothing to do.
    Raises:
        ConfigError: with every fault of the configuration.
        UserError: the results folder belongs to another grid or to a newer version.
        EnvironmentProblem: files of models or data cannot be read, or the index is damaged.
    """
    config = load_config(options.config, overrides=options.overrides, allow_large=options.assume_yes)
    root = options.results_folder(config.name)
    check_owner(root, config.name)
    states, pins = peek(root)
    resolver = OfflineResolver(pins) if options.dry_run else OnlineResolver(pins)
    cells = declared_cells(config, resolver)
    devices = local_devices()
    plan = make_plan(cells, states, devices, options.retry_failed, config.request)
    outlook = Outlook(options=options, config=config, root=root, cells=cells, devices=devices, plan=plan)
    if isinstance(resolver, OnlineResolver):
        return replace(outlook, new_pins=resolver.new_pins, refusals=resolver.refusals)
    return outlook


def check_owner(root: Path, grid: str) -> None:
    """Refuse a results folder of another grid before anything else happens.

    Raises:
        UserError: it belongs to another grid, or to a newer version.
    """
    if not Layout(root).index.exists():
        return
    engine = schema.open_read_only(root)
    try:
        with explained(Layout(root).index), engine.connect() as connection:
            found = read_grid(connection)
    finally:
        engine.dispose()
    if found != grid:
        raise other_grid(root, found, grid)


def check_offline(outlook: Outlook) -> None:
    """Compare what a dry run's cells ask for with the rows on this machine; rows on the hub are not looked at.

    Raises:
        ConfigError: more labels or rows than there are, malformed rows.
    """
    problems = check_data([cell for cell in outlook.cells if cell.data.source != "hub"])
    if problems:
        raise ConfigError(problems)


def check(outlook: Outlook) -> Outlook:
    """Check data, machine, access, disk and time for what is to run.

    Args:
        outlook: with the devices the run will have.
    Returns:
        the outlook, with the models that --skip-unavailable leaves out.
    Raises:
        ConfigError: the data do not have what the axes ask for.
        PreflightRefused: with every problem found.
    Side effects:
        asks the hub, and fetches data from it into the cache, when the plan uses it.
    """
    options = outlook.options
    missing: list[Problem] = []
    try:
        faults = check_data(outlook.cells)
    except EnvironmentProblem as error:
        faults, missing = [], [Problem("dataset", str(error))]
    if faults:
        raise ConfigError(faults)
    report = preflight(
        outlook.plan,
        compute=outlook.config.compute,
        request=outlook.config.request,
        devices=outlook.devices,
        results=str(outlook.root),
        refusals=outlook.refusals,
        skip_unavailable=options.skip_unavailable,
        assume_yes=options.assume_yes,
    )
    problems = [*report.problems, *(problem for problem in missing if not report.problems)]
    if problems:
        raise PreflightRefused(problems)
    return replace(outlook, unavailable=report.unavailable_models)
