"""Everything a run finds out before it writes anything: config, cells, plan, and what stands in the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from grid.cells import CellMaker
from grid.config import Config, load_config
from grid.cost_model import CostModel, device_kind
from grid.data_needs import announce_data
from grid.data_sizes import DataSizes
from grid.deadlines import HUB
from grid.devices import Devices, local_devices
from grid.estimate import arithmetic_rates
from grid.expectations import Expectations
from grid.gauges import Gauges
from grid.gpu_table import devices_of
from grid.hub_needs import HubName, HubNeeds, fetch_models, hub_access, hub_needs
from grid.measured_costs import read_cost_model
from grid.options import RunOptions
from grid.patience import Patience
from grid.plan import Plan, PlannedCell, make_plan, without
from grid.plan_totals import AllTotals, guesses_of, pack_totals, sum_of
from grid.preflight import check_data, check_models, preflight, sort_denied
from grid.prices import budget_hours, parse_budget
from grid.resolve import OfflineResolver, OnlineResolver
from grid.retiring import told_of_retiring
from grid.store import CellRow, Store, peek
from grid.store.ownership import current_holder, refuse_if_busy
from grid.store.places import index_to_read
from grid.store.postgres import new_server
from grid.store.problems import other_grid
from grid.store.reading import read_grid
from grid.store.schema import look
from grid.terminal import for_people
from grid.tuning.declared import Declared, declare
from grid.tuning.forecast import Forecast, forecast
from grid.tuning.studies import record_studies
from jobs.errors import ConfigError, EnvironmentProblem, FineGridError, Problem
from jobs.hub_pins import write_pin
from jobs.spec import CellSpec
from jobs.storage import Layout, cache_root

MOST_LOOKED_AT = 2_000
"""Cells among which measured kinds are looked for, to scale the estimates of others."""


class PreflightRefused(EnvironmentProblem):
    """Machine, network, disk or account are not ready; all problems are listed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the list; the message has one line a problem."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is declared, what is to do, and on what."""

    options: RunOptions
    config: Config
    root: Path
    maker: CellMaker
    declared: Declared
    devices: Devices
    plan: Plan
    new_pins: Mapping[str, str] = field(default_factory=dict)
    """Hub revisions that the store should pin."""
    refusals: Mapping[tuple[str, str], FineGridError] = field(default_factory=dict)
    """What the hub refused, by (kind, hub id)."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Models left out by --skip-unavailable: reason by hub id."""
    patience: Patience = field(default_factory=lambda: Patience(0))
    """How long a busy hub is asked again, all questions together."""
    sizes: DataSizes = field(default_factory=lambda: DataSizes(cache_root()))
    """Rows and lengths of texts, as far as the data are here."""

    @property
    def cells(self) -> tuple[CellSpec, ...]:
        """What the store is told to keep: cells whose settings are known, and candidates."""
        return self.declared.cells

    @property
    def coming(self) -> tuple[CellSpec, ...]:
        """The same, and stand-ins for what a tuning still adds: for checks and estimates."""
        return self.declared.cells + self.declared.expected

    def followed(self) -> Outlook:
        """The same after a look at what became of candidates; its plan is as old as before."""
        if self.config.tuning is None:
            return self
        return replace(self, declared=declare(self.maker, self.root))

    def planned(self, states: Mapping[str, CellRow], devices: Devices | None = None) -> Outlook:
        """The same with a plan over these states, and on these devices."""
        devices = devices or self.devices
        return replace(self, plan=self._plan(self.cells, states, devices), devices=devices)

    def whole_plan(self, states: Mapping[str, CellRow]) -> Plan:
        """A plan that holds what a tuning still adds, for estimates."""
        return self._plan(self.coming, states, self.devices)

    def forecast(self) -> Forecast | None:
        """What a tuning adds after the plan; None where every cell is known."""
        return forecast(self.declared, self.whole_plan(peek(self.root)[0])) if self.declared.undecided else None

    def _plan(self, cells: Sequence[CellSpec], states: Mapping[str, CellRow], devices: Devices) -> Plan:
        # Candidates that failed for good have told what they had to tell: no resume rule brings them back.
        over = self.declared.settled
        wanted = [cell for cell in cells if cell.cell_id not in over]
        return make_plan(
            wanted,
            states,
            devices,
            self.options.retry_failed,
            self.config.request,
            self.costs,
            at_once=1 if self.options.local else None,
        )

    def costs(self, devices: Devices, cpus: int) -> CostModel:
        """What the finished cells of the store say about costs."""
        return read_cost_model(self.root, self.expectations(devices, cpus))

    def expectations(self, devices: Devices, cpus: int) -> Expectations:
        """What cells take before any of their kind is done."""
        gauges, rows_of = Gauges(cache_root(), devices, cpus, self.sizes.of), self.sizes.of
        stretch = gauges.stretch(
            self.coming[:MOST_LOOKED_AT], lambda cell: arithmetic_rates(cell, rows_of(cell), devices, cpus).row
        )
        return Expectations(devices=devices, cpus=cpus, rows_of=rows_of, gauge_of=gauges.of, stretch=stretch)

    @property
    def pack_cpus(self) -> int:
        """Cores of a pack."""
        return max((pack.resources.cpus for pack in self.plan.packs), default=1)

    def totals(self) -> AllTotals:
        """What the plan takes: the whole, and each pack in its order."""
        device = device_kind(self.devices, self.config.compute.device)
        costs, prices = self.costs(self.devices, self.pack_cpus), self.config.prices
        packs = tuple(pack_totals(pack, device, costs=costs, prices=prices) for pack in self.plan.packs)
        return AllTotals(
            whole=sum_of(packs),
            packs=packs,
            guesses=guesses_of(self.plan.packs, costs),
            device_bytes=min(self.devices.gpu_memory_bytes, default=None),
        )

    def budget(self, text: str) -> tuple[float, str]:
        """Hours that a budget lasts on these devices, and what is said when they are over.

        Raises:
            ConfigError: neither hours nor dollars, or dollars without a price.
        """
        device = device_kind(self.devices, self.config.compute.device)
        hours = budget_hours(parse_budget(text), self.plan, device, self.config.prices)
        return hours, f"the budget of {text} is spent ({hours:.2g} hours of {self.plan.parallel} packs at a time)."

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
    for note in config.notes:
        for_people().print(escape(f"note: {note}"), soft_wrap=True)
    if options.budget is not None:
        parse_budget(options.budget)  # before anything starts, and where nothing is left to run, too
    if options.index is not None:
        new_server(options.index)  # is it a variable, and does it hold a database's URL?
    root = options.results_folder(config.name)
    check_owner(root, config.name)
    if not options.dry_run:
        refuse_if_busy(Layout(root.absolute()))
    elif (holder := current_holder(Layout(root.absolute()))) is not None:
        for_people().print(
            escape(f"note: a run is going on ({holder}): what it does now is listed, too"), soft_wrap=True
        )
    states, pins = peek(root)
    patience = Patience(HUB.seconds, on_wait=lambda text: for_people().print(escape(text), soft_wrap=True))
    resolver = OfflineResolver(pins) if options.dry_run else OnlineResolver(pins, patience=patience)
    maker = CellMaker(config, resolver)
    outlook = Outlook(
        options=options,
        config=config,
        root=root,
        maker=maker,
        declared=declare(maker, root),
        devices=local_devices() if options.on is None else devices_of(options.on),
        plan=Plan(packs=(), skipped=()),
        patience=patience,
    ).planned(states)
    if given_up := told_of_retiring(root, outlook.coming, states):
        for_people().print(escape(f"note: {given_up}"), soft_wrap=True)
    if isinstance(resolver, OnlineResolver):
        return replace(outlook, new_pins=resolver.new_pins, refusals=resolver.refusals)
    return outlook


def take_in(outlook: Outlook, store: Store) -> Outlook:
    """Tell the store what is declared, take in what was published, and follow the tuning as far as that reaches.

    Returns:
        the outlook with every cell that is declared now; its plan is as old as before.
    """
    store.declare(outlook.cells)
    store.ingest_all()
    return declare_more(outlook, store) or outlook


def declare_more(outlook: Outlook, store: Store) -> Outlook | None:
    """Follow the tuning with the results that the store has by now, and declare what it adds.

    Returns:
        the outlook with new cells, its plan as old as before; None when nothing was added.
    Side effects:
        brings the studies of the tuning up to date.
    """
    tuning = outlook.config.tuning
    if tuning is None:
        return None
    later = outlook.followed()
    record_studies(store.folders[-1] / Layout(outlook.root).tuning.name, tuning, later.declared.arms)
    if {cell.cell_id for cell in later.cells} == {cell.cell_id for cell in outlook.cells}:
        return None
    store.declare(later.cells)
    return later


def check_owner(root: Path, grid: str) -> None:
    """Refuse a results folder of another grid before anything else happens.

    Raises:
        UserError: it belongs to another grid, or to a newer version.
    """
    if not index_to_read(Layout(root.absolute())).exists():
        return
    with look(root) as connection:
        found = read_grid(connection)
    if found != grid:
        raise other_grid(Layout(root).name, found, grid)


def check_offline(outlook: Outlook) -> None:
    """Compare what a dry run's cells ask for with the rows on this machine; rows on the hub are not looked at.

    Raises:
        ConfigError: more labels or rows than there are, malformed rows, a folder that holds no usable model.
    """
    local = [cell for cell in outlook.coming if cell.data.source != "hub"]
    problems = [*check_data(local).faults, *check_models(outlook.coming)]
    if problems:
        raise ConfigError(problems)


def check(outlook: Outlook, console: Console, *, is_here: bool = True) -> Outlook:
    """Check data, machine, access, disk and time for what is to run, and fetch it.

    Args:
        outlook: with the devices the run will have.
        console: told of downloads and of waiting for the hub.
        is_here: trials run on this machine; a cluster's machines fetch for themselves.
    Returns:
        the outlook, with the models that --skip-unavailable leaves out.
    Raises:
        ConfigError: the data do not have what the axes ask for, or a folder holds no usable model.
        PreflightRefused: with every problem found.
    Side effects:
        asks the hub, and fetches data and (for trials on this machine) models into the caches.
    """
    skips, plan = outlook.options.skip_unavailable, outlook.plan
    cells = [planned.cell for pack in plan.packs for planned in pack.cells]
    needs = hub_findings(outlook, cells, fetches=is_here, console=console)
    report = preflight(
        outlook.whole_plan(peek(outlook.root)[0]) if outlook.declared.expected else plan,
        compute=outlook.config.compute,
        request=outlook.config.request,
        devices=outlook.devices,
        results=Layout(outlook.root).name,
        needs=needs,
        downloads=download_folder(needs),
        skip_unavailable=skips,
        assume_yes=outlook.options.assume_yes,
        uses_ray=is_here and not outlook.options.local,
    )
    if report.problems:
        raise PreflightRefused(report.problems)
    failed = fetch_models(needs, cache=cache_root(), console=console, patience=outlook.patience)
    problems, unavailable = sort_denied(failed, skip_unavailable=skips)
    if problems:
        raise PreflightRefused(problems)
    if is_here:
        keep_pins(outlook, {**needs.denied, **failed})
    return replace(outlook, unavailable={**report.unavailable_models, **unavailable})


def hub_findings(
    outlook: Outlook, cells: Sequence[CellSpec], *, fetches: bool, console: Console | None = None
) -> HubNeeds:
    """Read the data, look into local models, and ask the hub about everything else that cells need of it.

    Args:
        outlook: with every declared cell.
        cells: those whose models are asked about.
        fetches: models will be fetched by this process.
        console: told of data sets that are about to be fetched; None: nobody is, and their room is not checked.

    Raises:
        ConfigError: faults of the person who wrote config or data.
        PreflightRefused: no room for data sets.
    """
    if console is not None and (
        problems := announce_data(outlook.coming, cache=cache_root(), console=console, refused=outlook.refusals)
    ):
        raise PreflightRefused(problems)
    data = check_data(outlook.coming, refusals=outlook.refusals, patience=outlook.patience)
    faults = [*data.faults, *check_models(outlook.coming)]
    if faults:
        raise ConfigError(faults)
    access = hub_access(cache_root(), fetches=fetches)
    return hub_needs(cells, refusals={**outlook.refusals, **data.refused}, access=access, patience=outlook.patience)


def download_folder(needs: HubNeeds) -> Path | None:
    """Where files of the hub go; None when nothing is to be fetched."""
    if not needs.to_fetch:
        return None
    from grid.hub import hub_cache  # huggingface_hub is heavy: only where the hub is used

    return hub_cache()


def keep_pins(outlook: Outlook, refused: Collection[HubName]) -> None:
    """Remember what was fetched at which commit, for runs without network.

    Raises:
        EnvironmentProblem: the cache cannot be written.
    """
    for name, commit in outlook.new_pins.items():
        kind, _, location = name.partition(":")
        if (kind, location.partition("@")[0]) not in refused:
            write_pin(cache_root(), name, commit)
