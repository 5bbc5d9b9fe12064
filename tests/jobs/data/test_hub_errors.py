"""Failures of the hub's libraries, sorted by who must act."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from jobs.data.hub_errors import hub_problem
from jobs.errors import EnvironmentProblem, TransientProblem


def _http(kind: type[Exception], status: int) -> Exception:
    response: Any = SimpleNamespace(headers={}, status_code=status, request=None, url="http://hub/x")
    return kind("it failed", response=response)


def _wrapped(inner: BaseException) -> Exception:
    """The way datasets and transformers hide the real error."""
    try:
        try:
            raise inner
        except type(inner) as error:
            raise OSError("We couldn't connect, or something") from error
    except OSError as outer:
        return outer


def test_gated_is_not_mistaken_for_missing() -> None:
    problem = hub_problem(_http(errors.GatedRepoError, 401), "meta/llama", kind="model", revision=None)
    assert isinstance(problem.error, EnvironmentProblem)
    assert "is gated: accept its terms at https://huggingface.co/meta/llama and set HF_TOKEN" in str(problem.error)
    assert not problem.is_network


@pytest.mark.parametrize(
    "error", [_http(errors.RepositoryNotFoundError, 404), _http(errors.HfHubHTTPError, 401)], ids=["named", "bare 401"]
)
def test_missing_or_private(error: Exception) -> None:
    problem = hub_problem(error, "owner/nam", kind="dataset", revision=None)
    assert isinstance(problem.error, EnvironmentProblem)
    assert "does not exist on the hub, or it is private" in str(problem.error)
    assert "https://huggingface.co/datasets/owner/nam" in str(problem.error)


def test_missing_revision() -> None:
    problem = hub_problem(_http(errors.RevisionNotFoundError, 404), "a/b", kind="dataset", revision="v9")
    assert "has no revision 'v9'" in str(problem.error)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_tried_again(status: int) -> None:
    problem = hub_problem(_wrapped(_http(errors.HfHubHTTPError, status)), "a/b", kind="model", revision=None)
    assert isinstance(problem.error, TransientProblem)
    assert problem.is_network
    assert str(status) in str(problem.error)


@pytest.mark.parametrize(
    "error",
    [errors.OfflineModeIsEnabled("offline"), errors.LocalEntryNotFoundError("no file"), ConnectionError("refused")],
)
def test_no_network(error: Exception) -> None:
    problem = hub_problem(_wrapped(error), "a/b", kind="model", revision=None)
    assert isinstance(problem.error, EnvironmentProblem)
    assert problem.is_network
    assert "is not cached and the hub cannot be reached" in str(problem.error)


def test_time_out() -> None:
    problem = hub_problem(_wrapped(TimeoutError("30 s")), "a/b", kind="model", revision=None)
    assert isinstance(problem.error, TransientProblem)
    assert problem.is_network


def test_refused_and_unknown() -> None:
    refused = hub_problem(_http(errors.HfHubHTTPError, 403), "a/b", kind="model", revision=None)
    assert "refused model a/b (403)" in str(refused.error)
    unknown = hub_problem(RuntimeError("odd\nthing"), "a/b", kind="model", revision=None)
    assert isinstance(unknown.error, EnvironmentProblem)
    assert "RuntimeError: odd thing" in str(unknown.error)


def test_a_loop_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert "cannot be loaded" in str(hub_problem(first, "a/b", kind="model", revision=None).error)
