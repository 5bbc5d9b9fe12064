"""What a failed request to the hub means, for the person who must act."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.errors import EnvironmentProblem, FineGridError, TransientProblem, one_line
from jobs.redaction import redact

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the name of a variable, not a secret

# The hub's client library vendors its HTTP client under changing names, so network faults are known by class name.
_NO_NETWORK = frozenset(
    {"OfflineModeIsEnabled", "ConnectError", "ConnectionError", "ProxyError", "UnsupportedProtocol"}
)
_TIMEOUTS = frozenset({"TimeoutException", "TimeoutError", "RemoteProtocolError", "ReadError", "WriteError"})
_NO_FILE = frozenset({"EntryNotFoundError", "RemoteEntryNotFoundError"})
_BUSY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class HubProblem:
    """A sorted failure."""

    error: FineGridError
    is_network: bool = False
    """The hub did not answer properly: a cached copy may serve instead."""


def hub_problem(error: BaseException, repo_id: str, *, kind: str, revision: str | None) -> HubProblem:
    """Sort a failure of huggingface_hub, datasets or transformers by who must act.

    Args:
        error: what was caught; causes and contexts are looked at as well, because libraries wrap the real one.
        repo_id: owner/name.
        kind: dataset | model.
        revision: what was asked for.

    Returns:
        an error to raise, and whether a cached copy may serve instead.
    """
    chain = list(_chain(error))
    names = {base.__name__ for link in chain for base in type(link).__mro__}
    page = _page(repo_id, kind)
    # GatedRepoError is a RepositoryNotFoundError: it must be asked for first.
    if "GatedRepoError" in names:
        return _environment(
            f"{kind} {repo_id} is gated: accept its terms at {page} and set {TOKEN_VARIABLE} to a token of that account"
        )
    if "RevisionNotFoundError" in names:
        return _environment(f"{kind} {repo_id} has no revision {revision or 'main'!r}: see {page}/commits")
    # Only what was caught itself: a file that libraries looked for in vain on the way says nothing.
    own = {base.__name__ for base in type(error).__mro__}
    if own & _NO_FILE and "LocalEntryNotFoundError" not in own:
        return _environment(f"{kind} {repo_id} lacks a file that is needed ({_reason(chain)}); see {page}/tree/main")
    status = next((code for link in chain if (code := _status(link)) is not None), None)
    # The hub hides what exists from those without a token: 401 for missing and private alike.
    if "RepositoryNotFoundError" in names or status == 401:
        return _environment(
            f"{kind} {repo_id} does not exist on the hub, or it is private: check the spelling at {page};"
            f" for a private one set {TOKEN_VARIABLE}"
        )
    reason = _reason(chain)
    if status in _BUSY_STATUS:
        busy = f"the hub answered {status} for {kind} {repo_id}; it is busy or failing: try again later{_kept()}"
        return HubProblem(error=TransientProblem(busy), is_network=True)
    if status == 403:
        return _environment(f"the hub refused {kind} {repo_id} (403): see {page} and set {TOKEN_VARIABLE}")
    if names & _NO_NETWORK or "LocalEntryNotFoundError" in names:
        text = (
            f"{kind} {repo_id} is not cached and the hub cannot be reached: check the network ({reason}), or fill the"
            f" cache with `finegrid prefetch CONFIG` where there is one; it is {_cache()}"
        )
        return HubProblem(error=EnvironmentProblem(text), is_network=True)
    if names & _TIMEOUTS:
        text = f"the hub did not answer in time for {kind} {repo_id}: try again later ({reason}){_kept()}"
        return HubProblem(error=TransientProblem(text), is_network=True)
    return _environment(
        f"{kind} {repo_id} cannot be loaded from the hub ({type(error).__name__}: {reason}); see {page}"
    )


def _reason(chain: list[BaseException]) -> str:
    return one_line(redact(str(chain[-1])), limit=200)


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _kept() -> str:
    return f"; what was fetched stays in {_cache()}, and the same command goes on from there"


def _environment(text: str) -> HubProblem:
    return HubProblem(error=EnvironmentProblem(text))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def _page(repo_id: str, kind: str) -> str:
    from huggingface_hub import constants

    prefix = "datasets/" if kind == "dataset" else ""
    return redact(f"{constants.ENDPOINT}/{prefix}{repo_id}")
