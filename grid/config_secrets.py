"""A config is kept in the store and handed around: nothing in it may be a secret. Variables hold those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.errors import Problem, one_line
from jobs.redaction import holds_secret, redact

_RULE = "holds something that looks like a token, password or key; configs are stored and shared"


def secret_problems(document: Any, path: str = "") -> list[Problem]:
    """Name every place of a config that holds a secret, without showing it.

    Args:
        document: plain values.
        path: where they stand.
    """
    if isinstance(document, str):
        hint = "set a variable such as HF_TOKEN instead, and renew this one"
        return [Problem(path or "config", _RULE, suggestion=hint)] if holds_secret(document) else []
    if isinstance(document, Mapping):
        problems = []
        for key, value in document.items():
            place = f"{path}.{one_line(redact(str(key)), limit=60)}".lstrip(".")
            problems += [*secret_problems(str(key), place), *secret_problems(value, place)]
        return problems
    if isinstance(document, list):
        return [
            problem for index, value in enumerate(document) for problem in secret_problems(value, f"{path}[{index}]")
        ]
    return []
