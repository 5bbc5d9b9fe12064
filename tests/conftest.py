"""Fixtures shared by all tests: a cache that outlives a test run's folders, and the tiny members in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tiny models gain nothing from threads, and threads that wait for busy cores cost a hundredfold.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """FineGrid's cache: the user's own when named, so that tiny members are built once, else a fresh one."""
    named = os.environ.get("FINEGRID_CACHE")
    yield Path(named) if named else tmp_path_factory.mktemp("cache")
