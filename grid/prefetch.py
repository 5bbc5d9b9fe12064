"""Fetch everything that a grid needs from the hub, and remember the commits: what `finegrid prefetch CONFIG` does.

Needs no devices and makes no store. Afterwards a run on any machine that shares the two cache folders works with
HF_HUB_OFFLINE=1 and gives its cells the same ids: on a login node first, then on compute nodes without a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from grid.disk_needs import check_disk
from grid.escape import visible
from grid.hub_needs import fetch_models, hub_places
from grid.options import RunOptions
from grid.outlook import PreflightRefused, download_folder, hub_findings, keep_pins, look_ahead
from grid.plan import Plan
from grid.preflight import sort_denied
from jobs.storage import cache_root


@dataclass(frozen=True, kw_only=True)
class Prefetched:
    """One repository of the hub that is in the caches now."""

    kind: str
    """model | dataset."""
    name: str
    revision: str | None


@dataclass(frozen=True, kw_only=True)
class PrefetchReport:
    """What the caches hold now."""

    grid: str
    ready: tuple[Prefetched, ...]
    fetched_bytes: int
    """Of models, in this call; the rest was there."""
    unavailable: Mapping[str, str]
    """Reason by hub id, of models left out by --skip-unavailable."""
    caches: Mapping[str, str]
    """The folders that a run without network must find, by the variable that names each."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self) | {"exit_code": 0}

    def render(self, console: Console) -> None:
        """Print the report for people."""
        for item in self.ready:
            line = f"{item.kind} {item.name} at {(item.revision or '')[:12]}"
            console.print(Text(visible(line)), soft_wrap=True)
        for name, reason in self.unavailable.items():
            console.print(Text(visible(f"left out: {name}: {reason}")), soft_wrap=True)
        if not self.ready:
            console.print(Text(f"{self.grid} needs nothing from the hub."))
            return
        places = ", ".join(f"{name}={path}" for name, path in self.caches.items())
        console.print(Text(f"{self.grid} can run with HF_HUB_OFFLINE=1 wherever {visible(places)}"), soft_wrap=True)


def prefetch(options: RunOptions, console: Console) -> PrefetchReport:
    """Fetch models and data of all declared cells.

    Args:
        options: config, overrides, results folder (its pins count, if there is one), --skip-unavailable.
        console: for people.
    Raises:
        ConfigError: with every fault of the configuration, or of the data.
        PreflightRefused: access or disk, with every problem found.
    Side effects:
        fills the hub's cache and FineGrid's.
    """
    outlook = look_ahead(options)
    needs = hub_findings(outlook, outlook.cells, fetches=True, console=console)
    folder = download_folder(needs)
    disk = check_disk(Plan(packs=(), skipped=()), "", download_bytes=needs.num_bytes, downloads=folder)
    denied, unavailable = sort_denied(needs.denied, skip_unavailable=options.skip_unavailable)
    if disk or denied:
        raise PreflightRefused([*disk, *denied])
    failed = fetch_models(needs, cache=cache_root(), console=console, patience=outlook.patience)
    denied, also_unavailable = sort_denied(failed, skip_unavailable=options.skip_unavailable)
    if denied:
        raise PreflightRefused(denied)
    refused = {**needs.denied, **failed}
    keep_pins(outlook, refused)
    places = hub_places(outlook.cells)
    return PrefetchReport(
        grid=outlook.config.name,
        ready=tuple(
            Prefetched(kind=kind, name=name, revision=revision)
            for kind, name, revision in places
            if (kind, name) not in refused
        ),
        fetched_bytes=sum(model.num_bytes for model in needs.to_fetch if ("model", model.location) not in failed),
        unavailable={**unavailable, **also_unavailable},
        caches=cache_folders() if places else {},
    )


def cache_folders() -> dict[str, str]:
    """FineGrid's cache and the hub's, by the variable that names each."""
    from grid.hub import hub_cache  # huggingface_hub is heavy: only where the hub is used

    folders: dict[str, Path] = {"FINEGRID_CACHE": cache_root(), "HF_HUB_CACHE": hub_cache()}
    return {name: str(path) for name, path in folders.items()}
