"""Secrets never reach disk or screen: by value, by shape, in base64, and never in children that need none."""

from __future__ import annotations

import base64
import os
from urllib.parse import quote

import pytest

from jobs.errors import EnvironmentProblem, classify
from jobs.redaction import HIDDEN, holds_secret, redact, withheld_secrets

CANARY = "canary/token+value 1234"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", CANARY)


def test_values_of_variables_with_secret_names() -> None:
    assert redact(f"a {CANARY} b") == f"a {HIDDEN} b"
    assert redact(f"x={quote(CANARY, safe='')}&y") == f"x={HIDDEN}&y"


@pytest.mark.parametrize("before", ["", "u", "user:", "user:p"])
@pytest.mark.parametrize("after", ["", ":", "xy"])
def test_base64_wherever_it_begins(before: str, after: str) -> None:
    whole = base64.b64encode(f"{before}{CANARY}{after}".encode()).decode()
    alone = base64.b64encode(CANARY.encode()).decode()[2:-4]
    assert HIDDEN in redact(whole)
    assert alone not in redact(whole)


@pytest.mark.parametrize(
    "text",
    [
        "hf_abcdefghijklmnop",
        "https://user:pa55word@host/x",
        "https://just-a-key@host/x",
        "path/https:/user:pa55word@host",
        "https://host/x?token=abcdefgh",
        "https://host/x?a=1&access_token=abcdefgh&b=2",
        "Authorization: Bearer abcdefgh12345678",
        "Authorization: Basic abcdefgh12345678==",
    ],
)
def test_shapes_of_secrets(text: str) -> None:
    assert HIDDEN in redact(text) and holds_secret(text)
    assert "abcdefgh" not in redact(text) and "pa55word" not in redact(text) and "just-a-key" not in redact(text)


@pytest.mark.parametrize(
    "text", ["set HF_TOKEN to a token", "owner/name@main", "mail a@b.org", "a bearer of certificates", "basic training"]
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text and not holds_secret(text)


def test_variables_that_hold_a_password_in_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret-word@proxy:80")
    assert redact("proxy refused me:s3cret-word") == f"proxy refused me:{HIDDEN}"
    with withheld_secrets():
        assert "HTTPS_PROXY" not in os.environ


def test_short_values_and_paths_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "1")
    monkeypatch.setenv("HF_TOKEN_PATH", "/some/where/token")
    assert redact("1 of /some/where/token") == "1 of /some/where/token"


def test_reasons_of_failures_hide_them() -> None:
    assert CANARY not in classify(RuntimeError(f"bad {CANARY}"))[1]
    assert CANARY not in classify(EnvironmentProblem(f"bad {CANARY}"))[1]


def test_withheld_secrets_are_gone_and_still_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef")
    with withheld_secrets():
        assert "MY_TOKEN" not in os.environ and os.environ["RAY_AUTH_TOKEN"] == "0123456789abcdef"
        assert redact(f"a {CANARY}") == f"a {HIDDEN}"
    assert os.environ["MY_TOKEN"] == CANARY
