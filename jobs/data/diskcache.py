"""Cache files that are checked when read: a damaged one is rebuilt, never believed."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from jobs.durable import write_atomically
from jobs.errors import EnvironmentProblem

_LOG = logging.getLogger(__name__)
_MAGIC = b"finegrid-cache-1\n"
_HASH_BYTES = 32


def read_cached(path: Path) -> bytes | None:
    """The content of a cache file; None when there is none or it is damaged (logged)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _LOG.warning("cache file %s cannot be read (%s); it is rebuilt", path, error.strerror or error)
        return None
    body = data[len(_MAGIC) + _HASH_BYTES :]
    if data[: len(_MAGIC) + _HASH_BYTES] != _MAGIC + hashlib.sha256(body).digest():
        _LOG.warning("cache file %s is damaged; it is rebuilt", path)
        return None
    return body


def write_cached(path: Path, body: bytes) -> None:
    """Write a cache file as a whole; a cache that cannot be written costs time only, so that is logged.

    Side effects:
        creates the folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _MAGIC + hashlib.sha256(body).digest() + body)
    except (OSError, EnvironmentProblem) as error:
        _LOG.warning("cache file %s cannot be written (%s); going on without it", path, error)
