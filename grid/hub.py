"""The Hugging Face hub as the driver needs it: which commit, and may we read it. Imported only when asked for.

Every refusal becomes one EnvironmentProblem that says what to do; a token is named, never shown.
"""

from __future__ import annotations

import ipaddress
import os
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, get_hf_file_metadata, get_token, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (  # type: ignore[attr-defined] # HTTPError is httpx's, under either name
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from jobs.errors import EnvironmentProblem, one_line

REQUEST_TIMEOUT_S = 15.0
RETRY_WAITS_S = (1.0, 3.0)
"""Waits before the second and third try; only for answers that a moment can mend (429, 5xx, no connection)."""

TRUST_VARIABLE = "FINEGRID_TRUSTED_HF_HOST"

T = TypeVar("T")


def repository_commit(kind: str, location: str, requested: str | None) -> str:
    """Ask which commit a repository stands at.

    Args:
        kind: model | dataset.
        location: hub id.
        requested: branch, tag or short commit; None: the default branch.

    Returns:
        the commit.

    Raises:
        EnvironmentProblem: with the reason and what to do.
    """
    cached = _cached_commit(kind, location, requested) if is_offline() else None
    if cached is not None:
        return cached

    def ask() -> str | None:
        info = HfApi().repo_info(location, repo_type=kind, revision=requested, timeout=REQUEST_TIMEOUT_S)
        return info.sha

    commit = _asking(kind, location, requested, ask)
    if commit is None:
        raise EnvironmentProblem(f"{_label(kind, location)}: the hub names no commit")
    return commit


def check_access(kind: str, location: str, revision: str | None) -> None:
    """Make sure that the files of a repository can be read, without loading them.

    Args:
        kind: model | dataset.
        location: hub id.
        revision: the pinned commit, or None.

    Raises:
        EnvironmentProblem: gated, missing, refused or not reachable, and not in the cache.
    """
    if kind == "model":
        if isinstance(try_to_load_from_cache(location, "config.json", revision=revision), str) and is_offline():
            return  # whether all of it is there, the loader says; offline nobody else can
        url = hf_hub_url(location, "config.json", revision=revision)
        _asking(kind, location, revision, lambda: get_hf_file_metadata(url, timeout=REQUEST_TIMEOUT_S))
        return
    if is_offline():
        return  # the data check has read the rows by now, from the cache
    _asking(kind, location, revision, lambda: HfApi().auth_check(location, repo_type=kind))


def _cached_commit(kind: str, location: str, requested: str | None) -> str | None:
    folder = repo_folder_name(repo_id=location, repo_type=kind)
    reference = Path(constants.HF_HUB_CACHE) / folder / "refs" / (requested or "main")
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else None


def is_offline() -> bool:
    """True when the person has forbidden the network (HF_HUB_OFFLINE)."""
    return bool(constants.is_offline_mode())


def untrusted_endpoint() -> str | None:
    """Name the host that would be sent the person's token although it is not the hub.

    Returns:
        the host of HF_ENDPOINT when a token is set and the host is neither the hub, this machine, nor named in
        FINEGRID_TRUSTED_HF_HOST; else None.
    """
    host = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname
    if not host or host == "huggingface.co" or host.endswith(".huggingface.co") or _is_loopback(host):
        return None
    if host == os.environ.get(TRUST_VARIABLE) or get_token() is None:
        return None
    return host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _asking(kind: str, location: str, revision: str | None, ask: Callable[[], T]) -> T:
    for wait_s in (*RETRY_WAITS_S, None):
        try:
            return ask()
        except (HTTPError, OSError, EntryNotFoundError, HFValidationError) as error:
            if wait_s is None or not _may_pass(error):
                raise EnvironmentProblem(_explain(kind, location, revision, error)) from error
            time.sleep(wait_s)
    raise AssertionError("the last try returns or raises")


def _may_pass(error: Exception) -> bool:
    if isinstance(error, OfflineModeIsEnabled | HFValidationError):
        return False
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return error.response.status_code == 429 or error.response.status_code >= 500
    return True


def _explain(kind: str, location: str, revision: str | None, error: Exception) -> str:
    label = _label(kind, location)
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{location}"
    token = "set HF_TOKEN to a token of that account" if get_token() is None else "HF_TOKEN is set: check whose it is"
    if isinstance(error, GatedRepoError):  # first: it is a RepositoryNotFoundError as well
        return f"{label} is gated: accept its licence at {page} and {token}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{label} does not exist, or is private: check the spelling at {page}; if it is private, {token}"
    if isinstance(error, RevisionNotFoundError):
        return f"{label} has no revision {revision}: see {page}/commits/main"
    if isinstance(error, EntryNotFoundError):
        return f"{label} holds no config.json at revision {revision or 'main'}: it is no transformers model"
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"{label} is not in the cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE forbids to ask: unset it once"
        )
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
        hint = f"{token}" if status in (401, 403) else "try again later"
        return f"{label}: the hub answered {status}: {hint}"
    reason = one_line(f"{type(error).__name__}: {error}", limit=160)
    return (
        f"{label}: the hub cannot be reached ({reason}): check the network, or copy the files here and name the folder"
    )


def _label(kind: str, location: str) -> str:
    return f"{kind} {location}"
