"""Texts of a store as a page shows them: signs that move, turn or hide others are written out."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup


def visible(value: Any) -> Any:
    """Write out what cannot be printed, such as a sign that turns the direction of a line; other values stay.

    Args:
        value: a text, a page's own markup, or anything else.
    Returns:
        the text on one line; markup and everything else unchanged.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else f"<U+{ord(sign):04X}>" for sign in value)
