"""Models on the Hugging Face hub: may they be read, what is missing in the cache, fetch it. Imported when asked for.

Which commit a repository stands at, which endpoint may see a token and what a refusal means is decided in
`jobs.data.hub`, for models and data alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.file_download import repo_folder_name

from jobs.data.hub import hub_token
from jobs.data.hub_errors import hub_problem
from jobs.durable import write_atomically
from jobs.errors import EnvironmentProblem
from jobs.failpoints import failpoint
from jobs.model_files import CONFIG, SETTINGS, folder_problem, missing_part, remote_code_problem, used_files

REQUEST_TIMEOUT_S = 15.0
_DATA_SUFFIXES = frozenset({".parquet", ".csv", ".tsv", ".json", ".jsonl", ".txt", ".arrow", ".gz", ".zst"})


def check_access(kind: str, location: str, revision: str | None) -> None:
    """Make sure that a repository can be read, without loading it.

    Args:
        kind: model | dataset.
        location: hub id.
        revision: the pinned commit, or None.

    Raises:
        EnvironmentProblem: gated, missing, refused or not reachable, and not in the cache.
        TransientProblem: the hub is busy or failing.
    """
    try:
        if kind == "model":
            _check_file(location, revision)
        else:
            HfApi(token=hub_token()).auth_check(location, repo_type=kind)
    except Exception as error:  # every kind of failure is sorted by hub_problem
        raise hub_problem(error, location, kind=kind, revision=revision).error from error


def missing_files(location: str, revision: str, cache: Path) -> dict[str, int]:
    """Find what must be fetched of a model.

    Args:
        location: hub id.
        revision: the pinned commit.
        cache: FineGrid's cache folder.

    Returns:
        bytes by name, in the order in which to fetch them; empty when the cache holds the whole model.

    Raises:
        EnvironmentProblem: gated, missing, a file that is needed does not exist, code that would have to run.
        TransientProblem: the hub is busy or failing.
    """
    if _is_complete(location, revision, cache):
        return {}
    snapshot = snapshot_folder(location, revision)
    try:
        info = HfApi(token=hub_token()).model_info(
            location, revision=revision, files_metadata=True, timeout=REQUEST_TIMEOUT_S
        )
        sizes = {sibling.rfilename: int(sibling.size or 0) for sibling in info.siblings or ()}
        _refuse(location, revision, missing_part(sizes))
        for name in SETTINGS:  # small; a gated repository shows its description to all, its files to few
            if name in sizes and not (snapshot / name).is_file():
                hf_hub_download(location, name, revision=revision, token=hub_token(), tqdm_class=_reporter(_ignore))
    except EnvironmentProblem:
        raise
    except Exception as error:  # every kind of failure is sorted by hub_problem
        problem = hub_problem(error, location, kind="model", revision=revision)
        if problem.is_network and folder_problem(snapshot) is None:
            return {}  # fetched by another tool, complete as far as can be seen
        raise problem.error from error
    _refuse(location, revision, remote_code_problem(snapshot))
    missing = {name: sizes[name] for name in used_files(sizes) if not (snapshot / name).is_file()}
    if not missing:
        note_complete(location, revision, cache)
    return missing


def fetch(location: str, revision: str, names: Collection[str], cache: Path, on_bytes: Callable[[int], None]) -> None:
    """Fetch files of a model into the hub's cache.

    Args:
        location: hub id.
        revision: the pinned commit.
        names: what is missing, weights last.
        cache: FineGrid's cache folder.
        on_bytes: told of bytes as they arrive.

    Raises:
        EnvironmentProblem: refused, not reachable, a full disk, code that would have to run.
        TransientProblem: the hub is busy or failing.
    """
    snapshot = snapshot_folder(location, revision)
    for name in names:
        if (snapshot / name).is_file():
            continue
        try:
            hf_hub_download(location, name, revision=revision, token=hub_token(), tqdm_class=_reporter(on_bytes))
        except Exception as error:  # every kind of failure is sorted by hub_problem
            raise hub_problem(error, location, kind="model", revision=revision).error from error
        failpoint("hub.file_fetched")
    _refuse(location, revision, folder_problem(snapshot))
    note_complete(location, revision, cache)


def data_bytes(location: str, revision: str | None, subset: str | None) -> int:
    """Size of a data set's files.

    Args:
        location: hub id.
        revision: the pinned commit; None: the newest.
        subset: files whose path names it count, if there are such; else all.

    Raises:
        EnvironmentProblem: gated, missing, not reachable.
        TransientProblem: the hub is busy or failing.
    """
    try:
        info = HfApi(token=hub_token()).dataset_info(
            location, revision=revision, files_metadata=True, timeout=REQUEST_TIMEOUT_S
        )
    except Exception as error:  # every kind of failure is sorted by hub_problem
        raise hub_problem(error, location, kind="dataset", revision=revision).error from error
    sizes = {sibling.rfilename: int(sibling.size or 0) for sibling in info.siblings or ()}
    data = {name: size for name, size in sizes.items() if Path(name).suffix.lower() in _DATA_SUFFIXES}
    of_subset = {name: size for name, size in data.items() if subset and subset in Path(name).parts[0:-1]}
    return sum((of_subset or data).values())


def snapshot_folder(location: str, revision: str) -> Path:
    """Where the hub's cache keeps the files of a model's commit."""
    name = repo_folder_name(repo_id=location, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / name / "snapshots" / revision


def hub_cache() -> Path:
    """Where downloads go."""
    return Path(constants.HF_HUB_CACHE)


def endpoint() -> str:
    """Which hub is asked."""
    return str(constants.ENDPOINT)


def is_offline() -> bool:
    """True when the person said that there is no network (HF_HUB_OFFLINE)."""
    return bool(constants.is_offline_mode())


def note_complete(location: str, revision: str, cache: Path) -> None:
    """Remember that every file of a commit is there: the hub's cache alone does not tell all from some.

    Raises:
        EnvironmentProblem: the cache cannot be written.
    """
    names = sorted(path.name for path in snapshot_folder(location, revision).iterdir())
    path = _note(location, revision, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(names).encode())


def _is_complete(location: str, revision: str, cache: Path) -> bool:
    names = _noted_files(_note(location, revision, cache))
    snapshot = snapshot_folder(location, revision)
    return names is not None and all((snapshot / name).is_file() for name in names) and not folder_problem(snapshot)


def _noted_files(path: Path) -> list[str] | None:
    try:
        names = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None  # never fetched by us, or a note that is damaged: the hub is asked again
    return [str(name) for name in names] if isinstance(names, list) else None


def _note(location: str, revision: str, cache: Path) -> Path:
    return cache / "fetched" / f"{repo_folder_name(repo_id=location, repo_type='model')}--{revision}.json"


def _check_file(location: str, revision: str | None) -> None:
    url = hf_hub_url(location, CONFIG, revision=revision)
    get_hf_file_metadata(url, token=hub_token(), timeout=REQUEST_TIMEOUT_S)


def _refuse(location: str, revision: str, problem: str | None) -> None:
    if problem is not None:
        raise EnvironmentProblem(f"model {location} at {revision[:12]} {problem}")


def _ignore(num_bytes: int) -> None:
    """Bytes that nobody counts."""


def _reporter(on_bytes: Callable[[int], None]) -> Any:
    """What huggingface_hub takes for a progress bar: it tells of bytes and draws nothing."""

    class Reporter:
        def __init__(self, **settings: object) -> None:
            on_bytes(int(str(settings.get("initial") or 0)))

        def update(self, count: float | None = 1) -> None:
            on_bytes(int(count or 0))

        def close(self) -> None:
            """Nothing is open."""

        def __enter__(self) -> Reporter:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

    return Reporter
