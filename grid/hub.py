"""The Hugging Face hub as preflight needs it: may the files of a repository be read? Imported only when asked for.

Which commit a repository stands at, which endpoint may see a token and what a refusal means is decided in
`jobs.data.hub`, for models and data alike.
"""

from __future__ import annotations

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from jobs.data.hub import hub_token
from jobs.data.hub_errors import hub_problem

REQUEST_TIMEOUT_S = 15.0


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
    name = "config.json" if kind == "model" else "README.md"
    if isinstance(try_to_load_from_cache(location, name, revision=revision, repo_type=kind), str):
        return  # it was readable before, and a cached copy needs no hub
    try:
        if kind == "model":
            url = hf_hub_url(location, name, revision=revision)
            get_hf_file_metadata(url, token=hub_token(), timeout=REQUEST_TIMEOUT_S)
        else:
            HfApi(token=hub_token()).auth_check(location, repo_type=kind)
    except Exception as error:  # every kind of failure is sorted by hub_problem
        raise hub_problem(error, location, kind=kind, revision=revision).error from error
