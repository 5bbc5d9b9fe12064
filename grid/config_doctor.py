"""The preflight of a config alone, and what it stands on: what `finegrid doctor CONFIG` does."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from grid.amounts import counted, duration
from grid.devices import Devices
from grid.disk_needs import describe_disk
from grid.escape import visible
from grid.hub_needs import HubNeeds
from grid.options import RunOptions
from grid.outlook import Outlook, download_folder, hub_findings, look_ahead
from grid.preflight import preflight
from grid.summary import REFUSED, WRONG_CONFIG
from jobs.errors import ConfigError, Problem
from jobs.redaction import redact
from jobs.storage import Layout, cache_root

LIBRARIES = (
    "finegrid", "ray", "torch", "transformers", "peft", "bitsandbytes", "datasets", "huggingface_hub", "tokenizers",
)  # fmt: skip
TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the name of a variable, not a secret


@dataclass(frozen=True, kw_only=True)
class ConfigReport:
    """What a run of this config would find."""

    grid: str
    facts: tuple[tuple[str, str], ...]
    """Name and text of everything that was looked at."""
    problems: tuple[Problem, ...]
    exit_code: int
    """What the run would end with before it starts: 0, 2 or 3."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        problems = [
            {name: redact(text) if text else text for name, text in asdict(item).items()} for item in self.problems
        ]
        return {
            "grid": self.grid,
            "facts": {name: redact(text) for name, text in self.facts},
            "problems": problems,
            "exit_code": self.exit_code,
        }

    def render(self, console: Console) -> None:
        """Print the report for people."""
        width = max(len(name) for name, _ in self.facts)
        for name, text in self.facts:
            console.print(Text(f"{name:<{width}}  {visible(redact(text))}"), soft_wrap=True)
        for problem in self.problems:
            line = visible(redact(str(problem)))
            console.print(Text("problem: ", style="red").append(line, style="default"), soft_wrap=True)
        count = len(self.problems)
        verdict = f"{count} problem{'s' if count > 1 else ''}" if count else "nothing stands in the way of a run"
        console.print(Text(f"{self.grid}: {verdict}"))


def examine(options: RunOptions) -> ConfigReport:
    """Look at everything that a run looks at before its first trial, and train nothing.

    Args:
        options: as of the run.
    Raises:
        ConfigError: the configuration cannot be read or has faults.
    Side effects:
        asks the hub; rows of the hub are read, and so kept in the cache; models are not fetched.
    """
    outlook = look_ahead(options)
    cells = [planned.cell for pack in outlook.plan.packs for planned in pack.cells]
    try:
        needs = hub_findings(outlook, cells, fetches=True)
    except ConfigError as error:
        return ConfigReport(
            grid=outlook.config.name,
            facts=_facts(outlook, HubNeeds()),
            problems=error.problems,
            exit_code=WRONG_CONFIG,
        )
    report = preflight(
        outlook.plan,
        compute=outlook.config.compute,
        request=outlook.config.request,
        devices=outlook.devices,
        results=Layout(outlook.root).name,
        needs=needs,
        downloads=download_folder(needs),
        assume_yes=options.assume_yes,
        uses_ray=not options.local and not os.environ.get("RAY_ADDRESS"),
    )
    return ConfigReport(
        grid=outlook.config.name,
        facts=_facts(outlook, needs),
        problems=report.problems,
        exit_code=REFUSED if report.problems else 0,
    )


def _facts(outlook: Outlook, needs: HubNeeds) -> tuple[tuple[str, str], ...]:
    plan = outlook.plan
    estimate = f"{duration(plan.estimated_seconds)} in {counted(len(plan.packs), 'pack')}, {plan.parallel} at a time"
    facts = [
        ("cells", f"{len(outlook.cells)} declared, {len(plan.done)} done, {plan.num_cells} to run"),
        ("estimate", f"about {estimate}"),
        ("devices", _describe(outlook.devices)),
        ("python", platform.python_version()),
        *((name, _version(name)) for name in LIBRARIES),
        *describe_disk([("results", outlook.root), ("FineGrid's cache", cache_root())]),
    ]
    address = os.environ.get("RAY_ADDRESS")
    if address:
        facts.append(("RAY_ADDRESS", f"{address}: a run uses that cluster; the devices above are this machine's"))
    return (*facts, *_hub_facts(outlook, needs))


def _hub_facts(outlook: Outlook, needs: HubNeeds) -> list[tuple[str, str]]:
    if not any(cell.data.source == "hub" or (cell.model and cell.model.source == "hub") for cell in outlook.cells):
        return [("hub", "this grid needs nothing from it")]
    from grid.hub import endpoint, hub_cache, is_offline  # huggingface_hub is heavy: only where the hub is used

    models = ", ".join(f"{model.location} {model.num_bytes / 1e6:,.0f} MB" for model in needs.to_fetch) or "nothing"
    has_token = "set" if os.environ.get(TOKEN_VARIABLE) else "not set"
    return [
        ("hub", f"{endpoint()}{' (HF_HUB_OFFLINE: only the cache)' if is_offline() else ''}"),
        (TOKEN_VARIABLE, has_token),
        *describe_disk([("hub's cache", Path(hub_cache()))]),
        ("to be fetched", models),
    ]


def _describe(devices: Devices) -> str:
    gpus = ", ".join(
        f"{name} ({memory / 2**30:.0f} GiB)"
        for name, memory in zip(devices.gpu_names, devices.gpu_memory_bytes, strict=True)
    )
    memory = f", {devices.memory_bytes / 2**30:.0f} GiB of memory" if devices.memory_bytes else ""
    return f"{devices.cpus} CPU cores, {devices.gpus} GPUs{f': {gpus}' if gpus else ''}{memory} on {devices.where}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
