"""Keeps secrets out of logs and messages, and out of the environment of processes that need none."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote

_SECRET_NAME = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL)", re.IGNORECASE)
_NO_SECRET = re.compile(r"(TOKENIZERS_PARALLELISM|HF_TOKEN_PATH|.*_(FILE|PATH|URI)|RAY_AUTH_MODE)", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]+:/{1,2})[^/\s@\"']+(?=@)")
"""user:password of a URL: such a variable (a proxy, an endpoint) is a secret as a whole."""
_SHAPES = (
    re.compile(r"()\bhf_[A-Za-z0-9]{8,}\b"),  # the hub's tokens
    _CREDENTIALS,
    re.compile(r"(?i)([?&](?:token|access_token|api_key|sig|signature)=)[^&\s\"']+"),
    re.compile(r"(?i)(authorization\W{1,5}(?:bearer|basic) +)[^\s\"']+"),
    re.compile(r"(?i)(\bbearer +)[A-Za-z0-9._~+/=-]{20,}"),
)
_SHORTEST_SECRET = 6
_SHORTEST_CORE = 8
HIDDEN = "[hidden]"
KEPT = frozenset({"RAY_AUTH_TOKEN"})
"""Secrets that child processes need: the random one that closes a private Ray."""

_withheld: set[str] = set()
"""Values taken out of this process' environment; they go on being hidden."""


def redact(text: str) -> str:
    """Replace secrets in a text.

    Args:
        text: anything that is about to be shown or written.
    Returns:
        the text with the values of environment variables whose names look secret (also in base64 or as part of a
        URL), hub tokens, and credentials in URLs and headers replaced.
    """
    for secret in _written_forms(frozenset(_secrets(os.environ).values()) | frozenset(_withheld)):
        text = text.replace(secret, HIDDEN)
    for shape in _SHAPES:
        text = shape.sub(rf"\g<1>{HIDDEN}", text)
    return text


def holds_secret(text: str) -> bool:
    """Whether something in a text would be hidden."""
    return redact(text) != text


@contextmanager
def withheld_secrets(keep: Collection[str] = ()) -> Iterator[None]:
    """While open, this process and the ones it starts have no secrets in their environment; they stay hidden in texts.

    Args:
        keep: names of variables that stay all the same.
    Side effects:
        takes variables out of `os.environ`, and puts them back.
    """
    taken = {name: value for name, value in _secrets(os.environ).items() if name not in KEPT and name not in keep}
    _withheld.update(taken.values())
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)


def _secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if _CREDENTIALS.search(value)
        or (len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name) and not _NO_SECRET.fullmatch(name))
    }


@lru_cache(maxsize=8)
def _written_forms(secrets: frozenset[str]) -> tuple[str, ...]:
    """The secrets as they may appear in texts, longest first."""
    forms: set[str] = set()
    passwords = {part for secret in secrets for part in _passwords(secret)}
    for secret in secrets | passwords:
        forms |= {secret, quote(secret, safe=""), quote_plus(secret), *_encoded(secret.encode())}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _passwords(url: str) -> Iterator[str]:
    """The password of a URL by itself: libraries repeat it without the rest."""
    if _CREDENTIALS.search(url):
        _, _, password = url.partition("@")[0].rpartition(":")
        yield from (form for form in {password, unquote(password)} if len(form) >= _SHORTEST_SECRET and "/" not in form)


def _encoded(secret: bytes) -> Iterator[str]:
    """Base64 at each of the three places where it can begin inside something longer, without what neighbours decide."""
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * before + secret).decode("ascii").rstrip("=")
            core = whole[(0, 2, 3)[before] : len(whole) if (before + len(secret)) % 3 == 0 else -1]
            if len(core) >= _SHORTEST_CORE:
                yield core
