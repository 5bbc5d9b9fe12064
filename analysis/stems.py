"""Names of files made of any text: plain, short, and no two alike."""

from __future__ import annotations

import re


def slug(text: str, *, most: int = 80) -> str:
    """Letters, digits, dot, dash and underscore; long names keep their beginning and end."""
    found = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") or "unnamed"
    half = most // 2
    return found if len(found) <= most else f"{found[:half]}-{found[1 - half :]}"


def distinct_stem(stem: str, taken: set[str]) -> str:
    """The stem, with a number behind it if it is taken; upper and lower case are one.

    Args:
        stem: wanted.
        taken: stems so far, in lower case.
    Returns:
        a stem that was not taken.
    Side effects:
        adds it to those taken.
    """
    number, name = 1, stem
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name
