"""Paths that people write: `~` is their home, and a `~name` that nobody has is a plain name."""

from __future__ import annotations

from pathlib import Path


def expanded(text: str) -> Path:
    """The path with a home folder in front written out, where there is one."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
