"""Names of files that are made of titles: plain signs, not too long, and none of them twice."""

from __future__ import annotations

import re


def slug(text: str, *, most: int = 80) -> str:
    """Letters, digits, dot, dash and underscore; long names keep their beginning and end.

    Args:
        text: a title, whatever signs it has.
        most: signs of the name.
    """
    found = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") or "unnamed"
    half = most // 2
    return found if len(found) <= most else f"{found[:half]}-{found[1 - half :]}"


def distinct(stem: str, taken: set[str]) -> str:
    """The name, numbered when another file has it; case does not tell files apart everywhere.

    Args:
        stem: a name without its ending.
        taken: names in use, in small letters; gets this one.
    """
    number, name = 1, stem
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name
