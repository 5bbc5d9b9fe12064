"""Feeding a sink from a store: what is wrong with the store is said before any tracker is asked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grid.sync import sync
from jobs.errors import EnvironmentProblem
from tests.grid.store.conftest import damaged_store


def test_a_damaged_index_is_explained(tmp_path: Path) -> None:
    root = damaged_store(tmp_path / "results")
    with pytest.raises(EnvironmentProblem, match="--rebuild"):
        sync(root, "tensorboard", {}, Console(file=io.StringIO()))
