"""Everything that can be known to go wrong is said before anything starts, all of it at once.

`check_data` finds faults of the person who wrote the config (exit 2); `preflight` finds what the machine, the
network or an account lacks (exit 3). A model the hub refuses is one of the latter, or, with --skip-unavailable, a
reason for its cells to be recorded as failed while the others run.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grid.devices import Devices, ResourceRequest, gpu_count
from grid.disk_needs import check_disk, nearest_existing
from grid.hub_needs import HubName, HubNeeds
from grid.limits import check_limits
from grid.patience import Patience
from grid.plan import Plan
from grid.shares import usable_kinds
from grid.suggest import nearest
from jobs.errors import EnvironmentProblem, FineGridError, Problem, TransientProblem
from jobs.model_files import folder_problem
from jobs.redaction import redact
from jobs.spec import CellSpec, ComputeSpec, DataSpec

MAX_CPU_SECONDS = 2 * 3600.0
SOURCES = ("files", "builtin", "hub")
DataCheck = Callable[[DataSpec], list[Problem]]


@dataclass(frozen=True, kw_only=True)
class PreflightReport:
    """What stands in the way of a run."""

    problems: tuple[Problem, ...] = ()
    unavailable_models: Mapping[str, str] = field(default_factory=dict)
    """Reason by hub id, of models to be skipped; only with --skip-unavailable, else they are among the problems."""


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What is wrong with the data."""

    faults: tuple[Problem, ...] = ()
    """Of the person who wrote config or data."""
    refused: Mapping[HubName, FineGridError] = field(default_factory=dict)
    """Data sets of the hub that could not be read."""


def preflight(
    plan: Plan,
    *,
    compute: ComputeSpec,
    request: ResourceRequest,
    devices: Devices,
    results: str,
    needs: HubNeeds | None = None,
    downloads: Path | None = None,
    skip_unavailable: bool = False,
    assume_yes: bool = False,
    uses_ray: bool = False,
) -> PreflightReport:
    """Check machine, devices, limits, access, disk and time for what a plan wants to run.

    Args:
        plan: what is to run; an empty one needs nothing.
        compute: the config's compute section.
        request: what it asks for each trial.
        devices: what is there.
        results: results folder, or a URL.
        needs: what the hub says.
        downloads: where files of the hub will be kept.
        skip_unavailable: let the other models run.
        assume_yes: accept a long run on CPU.
        uses_ray: Ray's processes will run on this machine.

    Returns:
        every problem found, and the models to leave out.

    Side effects:
        raises soft limits of this process.
    """
    wrong_platform = check_platform()
    if wrong_platform or not plan.packs:
        return PreflightReport(problems=tuple(wrong_platform))
    needs = needs or HubNeeds()
    problems = check_limits(uses_ray=uses_ray) + check_devices(compute, request, devices)
    problems += check_results_folder(results)
    problems += check_disk(plan, results, download_bytes=needs.num_bytes, downloads=downloads)
    problems += [] if assume_yes else check_time(plan, compute, devices)
    denied, unavailable = sort_denied(needs.denied, skip_unavailable=skip_unavailable)
    return PreflightReport(problems=(*problems, *denied), unavailable_models=unavailable)


def sort_denied(
    denied: Mapping[HubName, FineGridError], *, skip_unavailable: bool
) -> tuple[list[Problem], dict[str, str]]:
    """What the hub refused, as problems, or as models to leave out: reason by hub id."""
    problems, unavailable = [], {}
    for (kind, location), error in denied.items():
        if kind == "model" and skip_unavailable:
            unavailable[location] = redact(str(error))
        else:
            hint = "or run the others with --skip-unavailable" if kind == "model" else None
            problems.append(Problem("axes.model" if kind == "model" else "dataset.id", str(error), None, hint))
    return problems, unavailable


def check_platform(system: str | None = None, release: str | None = None) -> list[Problem]:
    """Accept Linux (WSL2 included) only; arguments are for tests."""
    system = system or sys.platform
    release = release or platform.release()
    if system != "linux":
        hint = "on Windows use WSL2, on a Mac a Linux machine or container"
        return [Problem("platform", f"FineGrid runs on Linux and WSL2, this is {system}", suggestion=hint)]
    if release.endswith("-Microsoft"):
        return [Problem("platform", "this is WSL1, whose locks and signals are not Linux's", suggestion="use WSL2")]
    return []


def check_devices(compute: ComputeSpec, request: ResourceRequest, devices: Devices) -> list[Problem]:
    """Compare what the config asks for with what is there: a trial that fits nowhere would wait for ever."""
    problems = []
    gpus, cpus, wanted = request.gpus_per_trial, request.cpus_per_trial, request.accelerator_type
    most_gpus = max(kind.gpus for kind in devices.kinds) if gpu_count(compute.device, devices) else 0
    if compute.device == "cuda" and devices.gpus == 0:
        problems.append(Problem("compute.device", f"{devices.where} has 0 GPUs", "cuda", "device: auto"))
    elif gpus is not None and gpus > most_gpus:
        one = "one machine of " if devices.nodes else ""
        rule = f"is more than the {most_gpus} GPUs of {one}{devices.where}"
        problems.append(Problem("compute.gpus_per_trial", rule, f"{gpus:g}"))
    if cpus is not None and cpus > devices.cpus_per_node:
        rule = f"is more than the {devices.cpus_per_node} cores that one machine of {devices.where} has"
        problems.append(Problem("compute.cpus_per_trial", rule, str(cpus)))
    types = sorted({kind.accelerator_type for kind in devices.kinds if kind.accelerator_type})
    if wanted is not None and wanted not in types:
        rule = f"is no kind of GPU of {devices.where} ({', '.join(types) or 'it names none'})"
        problems.append(Problem("compute.accelerator_type", rule, wanted, nearest(wanted, types) or "auto"))
    if not problems and not usable_kinds(devices, request, compute.device):
        rule = f"no machine of {devices.where} has the GPUs and cores of one trial together"
        problems.append(Problem("compute", rule, suggestion="ask for less per trial"))
    uses_gpu = gpu_count(compute.device, devices) > 0 and gpus != 0
    if compute.precision == "fp16" and not uses_gpu:
        problems.append(Problem("compute.precision", "needs a GPU", "fp16", "auto, bf16 or fp32"))
    return problems


def check_results_folder(results: str) -> list[Problem]:
    """Make sure that the results folder can be made and written; URLs are left to their own file system."""
    if "://" in results:
        return []
    existing = nearest_existing(Path(results))
    if not existing.is_dir():
        return [Problem("--results", "is not a folder", str(existing))]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Problem("--results", "cannot be written", str(existing), "choose another folder with --results")]
    return []


def check_time(plan: Plan, compute: ComputeSpec, devices: Devices) -> list[Problem]:
    """Refuse to start by accident what takes a CPU many hours."""
    if gpu_count(compute.device, devices) or plan.estimated_seconds <= MAX_CPU_SECONDS:
        return []
    hours = plan.estimated_seconds / 3600
    cores = f"{devices.cpus} CPU core{'s' if devices.cpus > 1 else ''}"
    rule = f"by a rough estimate about {hours:,.0f} hours on {cores} of {devices.where}"
    hint = "for a first look run the config `demo`; add --yes to start anyway"
    return [Problem("plan", rule, suggestion=hint)]


def check_data(
    cells: Sequence[CellSpec],
    *,
    sources: Sequence[str] = SOURCES,
    check: DataCheck | None = None,
    refusals: Mapping[HubName, FineGridError] | None = None,
    patience: Patience | None = None,
) -> DataReport:
    """Compare what the axes ask for with the rows there are.

    Args:
        cells: declared cells.
        sources: kinds of data to look at; `hub` needs the network or the cache.
        check: finds the faults of one data section; None: `jobs.data.check`.
        refusals: what the hub refused before; not asked again.
        patience: how long a busy hub is asked again; None: not at all.

    Returns:
        malformed rows, unknown columns and labels, more labels or rows than there are: each once; and the data
        sets that the hub does not give.
    """
    check = check or _jobs_check
    patience = patience or Patience(0)
    faults: dict[Problem, None] = {}
    refused: dict[HubName, FineGridError] = {}
    for data in dict.fromkeys(cell.data for cell in cells):
        name = ("dataset", data.id)
        is_refused = data.source == "hub" and (name in refused or name in (refusals or {}))
        if data.source not in sources or is_refused:
            continue
        try:
            faults |= dict.fromkeys(patience.call(lambda data=data: check(data)))  # type: ignore[misc]
        except (EnvironmentProblem, TransientProblem) as error:
            if data.source != "hub":
                raise
            refused[name] = error
    return DataReport(faults=tuple(faults), refused=refused)


def check_models(cells: Sequence[CellSpec]) -> list[Problem]:
    """Look into the folders of local models: weights, tokenizer, and no code or pickles instead of them."""
    folders = dict.fromkeys(cell.model.location for cell in cells if cell.model and cell.model.source == "folder")
    found = {folder: folder_problem(Path(folder)) for folder in folders}
    return [Problem("axes.model", problem, folder) for folder, problem in found.items() if problem is not None]


def _jobs_check(data: DataSpec) -> list[Problem]:
    from jobs.data import check  # reads the rows
    from jobs.storage import cache_root

    return check(data, cache=cache_root() if data.source == "hub" else None)
