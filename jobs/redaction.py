"""Keeps secrets out of logs and messages: values of secret-looking variables and tokens in texts."""

from __future__ import annotations

import os
import re

_SECRET_NAME = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|CREDENTIAL)", re.IGNORECASE)
_TOKEN_SHAPE = re.compile(r"\bhf_[A-Za-z0-9]{8,}\b|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_SHORTEST_SECRET = 6
HIDDEN = "[hidden]"


def redact(text: str) -> str:
    """Replace secrets in a text.

    Args:
        text: anything that is about to be shown or written.
    Returns:
        the text with the values of environment variables whose names look secret, hub tokens and
        user:password parts of URLs replaced.
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name) and value in text:
            text = text.replace(value, HIDDEN)
    return _TOKEN_SHAPE.sub(HIDDEN, text)
