"""What cells need from the hub: what it refuses, how much is to be fetched, and fetching it with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from grid.patience import Patience
from jobs.errors import EnvironmentProblem, FineGridError, TransientProblem
from jobs.spec import CellSpec

HubName = tuple[str, str]
"""(kind, hub id); kind: model | dataset."""
Access = Callable[[str, str, str | None], Mapping[str, int]]
"""(kind, hub id, revision) -> bytes of each file to fetch; raises EnvironmentProblem or TransientProblem."""


@dataclass(frozen=True, kw_only=True)
class ModelToFetch:
    """Files of one model that are not in the cache yet."""

    location: str
    revision: str
    sizes: Mapping[str, int]
    """Bytes by name, in the order in which to fetch them."""

    @property
    def num_bytes(self) -> int:
        """All of them together."""
        return sum(self.sizes.values())


@dataclass(frozen=True, kw_only=True)
class HubNeeds:
    """What the hub says about everything that cells need of it."""

    denied: Mapping[HubName, FineGridError] = field(default_factory=dict)
    to_fetch: tuple[ModelToFetch, ...] = ()

    @property
    def num_bytes(self) -> int:
        """What is to be fetched."""
        return sum(model.num_bytes for model in self.to_fetch)


def hub_needs(
    cells: Iterable[CellSpec],
    *,
    refusals: Mapping[HubName, FineGridError],
    access: Access,
    patience: Patience,
) -> HubNeeds:
    """Ask about every repository once, and go on when one is refused.

    Args:
        cells: what is to run.
        refusals: what the hub refused before; not asked again.
        access: asks about one repository.
        patience: how long a busy hub is asked again.
    """
    denied: dict[HubName, FineGridError] = {}
    to_fetch = []
    for kind, location, revision in hub_places(cells):
        refusal = refusals.get((kind, location))
        if refusal is not None:
            denied[(kind, location)] = refusal
            continue
        try:
            sizes = patience.call(lambda place=(kind, location, revision): access(*place))  # type: ignore[misc]
        except (EnvironmentProblem, TransientProblem) as error:
            denied[(kind, location)] = error
            continue
        if sizes and revision is not None:
            to_fetch.append(ModelToFetch(location=location, revision=revision, sizes=sizes))
    return HubNeeds(denied=denied, to_fetch=tuple(to_fetch))


def hub_places(cells: Iterable[CellSpec]) -> list[tuple[str, str, str | None]]:
    """The repositories that cells need: (kind, hub id, revision), each once."""
    places: dict[tuple[str, str, str | None], None] = {}
    for cell in cells:
        if cell.model is not None and cell.model.source == "hub":
            places[("model", cell.model.location, cell.model.revision)] = None
        if cell.data.source == "hub":
            places[("dataset", cell.data.id, cell.data.revision)] = None
    return list(places)


def fetch_models(needs: HubNeeds, *, cache: Path, console: Console, patience: Patience) -> dict[HubName, FineGridError]:
    """Fetch what is missing, and go on when one model cannot be fetched.

    Args:
        needs: what to fetch.
        cache: FineGrid's cache folder.
        console: draws a progress bar when it is a terminal; one line a model in any case.
        patience: how long a busy hub is asked again.

    Returns:
        why, of each model that could not be fetched.

    Side effects:
        fills the hub's cache.
    """
    if not needs.to_fetch:
        return {}
    from grid.hub import fetch, hub_cache  # huggingface_hub is heavy: only where the hub is used

    failed: dict[HubName, FineGridError] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        for model in needs.to_fetch:
            bar = bars.add_task(escape(model.location), total=model.num_bytes)

            def work(model: ModelToFetch = model, bar: int = bar) -> None:
                fetch(model.location, model.revision, model.sizes, cache, lambda count: bars.advance(bar, count))  # type: ignore[arg-type]

            try:
                patience.call(work)
            except (EnvironmentProblem, TransientProblem) as error:
                failed[("model", model.location)] = error
                continue
            where = f"{model.location} ({model.num_bytes / 1e6:,.0f} MB) into {hub_cache()}"
            console.print(escape(f"Fetched {where}"), soft_wrap=True)
    return failed


def hub_access(cache: Path, *, fetches: bool) -> Access:
    """The way to ask the real hub.

    Args:
        cache: FineGrid's cache folder.
        fetches: models will be fetched by this process; False on clusters, where every machine fetches its own.
    """

    def access(kind: str, location: str, revision: str | None) -> Mapping[str, int]:
        from grid.hub import check_access, missing_files  # huggingface_hub is heavy: only where the hub is used

        if kind == "model" and revision is not None:
            sizes = missing_files(location, revision, cache)
            return sizes if fetches else {}
        if kind == "model":
            check_access(kind, location, revision)
        return {}  # a data set has been read by then: its rows lie in the cache

    return access
