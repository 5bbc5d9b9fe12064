"""Everything that can be known to go wrong is said before anything starts, all of it at once.

`check_data` finds faults of the person who wrote the config (exit 2); `preflight` finds what the machine, the
network or an account lacks (exit 3). A model the hub refuses is one of the latter, or, with --skip-unavailable, a
reason for its cells to be recorded as failed while the others run.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grid.devices import Devices, ResourceRequest, gpu_count
from grid.estimate import cell_disk_bytes
from grid.plan import Plan
from jobs.errors import EnvironmentProblem, FineGridError, Problem, TransientProblem
from jobs.spec import CellSpec, ComputeSpec, DataSpec

MAX_CPU_SECONDS = 2 * 3600.0
SPARE_DISK_BYTES = 200_000_000

Access = Callable[[str, str, str | None], None]
"""(kind, hub id, revision) -> None; raises EnvironmentProblem or TransientProblem."""
SOURCES = ("files", "builtin", "hub")
DataCheck = Callable[[DataSpec], list[Problem]]


@dataclass(frozen=True, kw_only=True)
class PreflightReport:
    """What stands in the way of a run."""

    problems: tuple[Problem, ...] = ()
    unavailable_models: Mapping[str, str] = field(default_factory=dict)
    """Reason by hub id, of models to be skipped; only with --skip-unavailable, else they are among the problems."""


def preflight(
    plan: Plan,
    *,
    compute: ComputeSpec,
    request: ResourceRequest,
    devices: Devices,
    results: str,
    refusals: Mapping[tuple[str, str], FineGridError] | None = None,
    skip_unavailable: bool = False,
    assume_yes: bool = False,
    access: Access | None = None,
) -> PreflightReport:
    """Check machine, devices, access, disk and time for what a plan wants to run.

    Args:
        plan: what is to run; an empty one needs nothing.
        compute: the config's compute section.
        request: what it asks for each trial.
        devices: what is there.
        results: results folder, or a URL.
        refusals: what the resolver could not get from the hub, by (kind, hub id).
        skip_unavailable: let the other models run.
        assume_yes: accept a long run on CPU.
        access: asks the hub; None: the real one.

    Returns:
        every problem found, and the models to leave out.

    Side effects:
        asks the hub about models and data of the plan; writes nothing.
    """
    wrong_platform = check_platform()
    if wrong_platform or not plan.packs:
        return PreflightReport(problems=tuple(wrong_platform))
    problems = check_devices(compute, request, devices)
    problems += check_results_folder(results) + check_disk(plan, results)
    problems += [] if assume_yes else check_time(plan, compute, devices)
    denied = _denied(plan, dict(refusals or {}), access or _hub_access)
    unavailable: dict[str, str] = {}
    for (kind, location), error in denied.items():
        if kind == "model" and skip_unavailable:
            unavailable[location] = str(error)
        else:
            hint = "or run the others with --skip-unavailable" if kind == "model" else None
            problems.append(Problem("axes.model" if kind == "model" else "dataset.id", str(error), None, hint))
    return PreflightReport(problems=tuple(problems), unavailable_models=unavailable)


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
    gpus, cpus = request.gpus_per_trial, request.cpus_per_trial
    if compute.device == "cuda" and devices.gpus == 0:
        problems.append(Problem("compute.device", f"{devices.where} has 0 GPUs", "cuda", "device: auto"))
    elif gpus is not None and gpus > gpu_count(compute.device, devices):
        rule = f"is more than the {gpu_count(compute.device, devices)} GPUs of {devices.where}"
        problems.append(Problem("compute.gpus_per_trial", rule, f"{gpus:g}"))
    most = devices.cpus_per_node or devices.cpus
    if cpus is not None and cpus > most:
        rule = f"is more than the {most} cores that one machine of {devices.where} has"
        problems.append(Problem("compute.cpus_per_trial", rule, str(cpus)))
    uses_gpu = gpu_count(compute.device, devices) > 0 and gpus != 0
    if compute.precision == "fp16" and not uses_gpu:
        problems.append(Problem("compute.precision", "needs a GPU", "fp16", "auto, bf16 or fp32"))
    return problems


def check_results_folder(results: str) -> list[Problem]:
    """Make sure that the results folder can be made and written; URLs are left to their own file system."""
    if "://" in results:
        return []
    existing = _nearest_existing(Path(results))
    if not existing.is_dir():
        return [Problem("--results", "is not a folder", str(existing))]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Problem("--results", "cannot be written", str(existing), "choose another folder with --results")]
    return []


def check_disk(plan: Plan, results: str) -> list[Problem]:
    """Compare a generous estimate of what the cells keep with the free disk."""
    if "://" in results:
        return []
    existing = _nearest_existing(Path(results))
    needed = SPARE_DISK_BYTES + sum(cell_disk_bytes(cell) for cell in _cells(plan))
    free = shutil.disk_usage(existing).free
    if needed <= free:
        return []
    rule = f"about {_gigabytes(needed)} are needed for this plan and {_gigabytes(free)} are free"
    return [Problem("--results", rule, str(existing), "free some, choose another folder, or keep_weights: adapters")]


def check_time(plan: Plan, compute: ComputeSpec, devices: Devices) -> list[Problem]:
    """Refuse to start by accident what takes a CPU many hours."""
    if gpu_count(compute.device, devices) or plan.estimated_seconds <= MAX_CPU_SECONDS:
        return []
    hours = plan.estimated_seconds / 3600
    cores = f"{devices.cpus} CPU core{'s' if devices.cpus > 1 else ''}"
    rule = f"about {hours:,.0f} hours on {cores} of {devices.where} (a rough estimate)"
    hint = "for a first look run the config `demo`; add --yes to start anyway"
    return [Problem("plan", rule, suggestion=hint)]


def check_data(
    cells: Sequence[CellSpec], *, sources: Sequence[str] = SOURCES, check: DataCheck | None = None
) -> list[Problem]:
    """Compare what the axes ask for with the rows there are.

    Args:
        cells: declared cells.
        sources: kinds of data to look at; `hub` needs the network or the cache.
        check: finds the faults of one data section; None: `jobs.data.check`.

    Returns:
        malformed rows, unknown columns and labels, more labels or rows than there are: each once.

    Raises:
        EnvironmentProblem: the rows are on the hub and it refuses or cannot be reached.
        TransientProblem: the hub is busy or failing.
    """
    check = check or _jobs_check
    problems: dict[Problem, None] = {}
    for data in dict.fromkeys(cell.data for cell in cells):
        if data.source in sources:
            problems |= dict.fromkeys(check(data))
    return list(problems)


def _denied(
    plan: Plan, refusals: dict[tuple[str, str], FineGridError], access: Access
) -> dict[tuple[str, str], FineGridError]:
    denied: dict[tuple[str, str], FineGridError] = {}
    for kind, location, revision in _hub_places(_cells(plan)):
        refusal = refusals.get((kind, location))
        if refusal is not None:
            denied[(kind, location)] = refusal
            continue
        try:
            access(kind, location, revision)
        except (EnvironmentProblem, TransientProblem) as error:
            denied[(kind, location)] = error
    return denied


def _hub_places(cells: Iterable[CellSpec]) -> list[tuple[str, str, str | None]]:
    places: dict[tuple[str, str, str | None], None] = {}
    for cell in cells:
        if cell.model is not None and cell.model.source == "hub":
            places[("model", cell.model.location, cell.model.revision)] = None
        if cell.data.source == "hub":
            places[("dataset", cell.data.id, cell.data.revision)] = None
    return list(places)


def _cells(plan: Plan) -> list[CellSpec]:
    return [planned.cell for pack in plan.packs for planned in pack.cells]


def _nearest_existing(path: Path) -> Path:
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _hub_access(kind: str, location: str, revision: str | None) -> None:
    from grid.hub import check_access  # huggingface_hub is heavy: only where the hub is used

    check_access(kind, location, revision)


def _jobs_check(data: DataSpec) -> list[Problem]:
    from jobs.data import check  # reads the rows
    from jobs.storage import cache_root

    return check(data, cache=cache_root() if data.source == "hub" else None)
