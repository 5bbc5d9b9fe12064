"""An index that is damaged inside: every reader of analysis says what to do, as the commands of the grid do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.loading import load
from analysis.report_facts import read_facts
from jobs.errors import EnvironmentProblem
from tests.grid.store.conftest import Bench
from tests.jobs.samples import cell


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A store whose index can be opened, but not read."""
    bench = Bench(tmp_path / "results")
    with bench.begin() as store:
        store.declare([cell(number) for number in range(1, 200)])
    data = bytearray(bench.layout.index.read_bytes())
    for start in range(8192, len(data), 4096):
        data[start : start + 512] = b"\xa5" * 512
    bench.layout.index.write_bytes(data)
    return bench.root


@pytest.mark.parametrize("read", [load, read_facts])
def test_what_to_do_is_said(read: Callable[[Path], object], damaged: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"is damaged .*finegrid doctor .* --rebuild"):
        read(damaged)
