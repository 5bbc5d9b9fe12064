"""Nearest legal names, for every message that refuses one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_LISTED = 12


def nearest(name: str, legal: Iterable[str]) -> str | None:
    """Say what to write instead of a name that is not legal.

    Args:
        name: what was written.
        legal: every legal name.

    Returns:
        the nearest legal name as a question, else the legal names when they are few, else None.
    """
    names = list(dict.fromkeys(legal))
    folded = {candidate.lower(): candidate for candidate in reversed(names)}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]}?"
    return f"one of: {', '.join(names)}" if 0 < len(names) <= _MAX_LISTED else None
