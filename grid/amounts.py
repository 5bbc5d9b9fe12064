"""Amounts as people read them: how many, how large, how long."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """Write a number of things for people: `1 cell`, `1,200 cells`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size(num_bytes: int) -> str:
    """Write a number of bytes for people: `850 MB`, `3.2 GB`."""
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:,.1f} GB"


def duration(seconds: float) -> str:
    """Write a time for people: `40 s`, `12 min`, `3.5 h`, `4 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
