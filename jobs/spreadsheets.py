"""Texts in CSV files that no spreadsheet computes: what could be a formula gets an apostrophe in front."""

from __future__ import annotations

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""A text that begins with one of these may be a formula, or with an apostrophe that was put there."""


def inert(text: str) -> str:
    """The text as it may stand in a CSV field; numbers need no such thing.

    Args:
        text: whatever a store or a user's file holds.
    Returns:
        the text, with an apostrophe before what may be computed, spaces in front aside, and before an apostrophe,
        so that `plain_text` gives it back whole.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_STARTS) else text


def plain_text(field: str) -> str:
    """What `inert` made a field of."""
    return field[1:] if field[:1] == "'" else field
