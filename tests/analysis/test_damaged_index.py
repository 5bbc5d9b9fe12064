"""An index that is damaged inside: every reader of analysis says what to do, as the commands of the grid do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.loading import load
from analysis.report_facts import read_facts
from jobs.errors import EnvironmentProblem
from tests.grid.store.conftest import damaged_store


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return damaged_store(tmp_path / "results")


@pytest.mark.parametrize("read", [load, read_facts])
def test_what_to_do_is_said(read: Callable[[Path], object], damaged: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"is damaged .*finegrid doctor .* --rebuild"):
        read(damaged)
