"""Feeding a sink from a store: what is wrong with the store is said before any tracker is asked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grid.sync import sync
from jobs.errors import EnvironmentProblem
from tests.grid.store.conftest import Bench
from tests.jobs.samples import cell


def test_a_damaged_index_is_explained(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "results")
    with bench.begin() as store:
        store.declare([cell(number) for number in range(1, 200)])
    data = bytearray(bench.layout.index.read_bytes())
    for start in range(8192, len(data), 4096):
        data[start : start + 512] = b"\xa5" * 512
    bench.layout.index.write_bytes(data)
    with pytest.raises(EnvironmentProblem, match="--rebuild"):
        sync(bench.root, "tensorboard", {}, Console(file=io.StringIO()))
