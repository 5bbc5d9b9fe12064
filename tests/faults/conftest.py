"""Fixtures of the fault tests: grids to disturb, the undisturbed dump, and the search for leftovers."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.grids import write_config
from tests.faults.harness import (
    CALM_VARIABLE,
    FAKE,
    ID_VARIABLE,
    REAL,
    Grid,
    end,
    marked_processes,
    merged,
    shared_memory_left,
    write_document,
)

LEFTOVERS_GRACE_S = 10.0
"""Orphans of a killed driver have this long to notice and go."""

TINY: dict[str, Any] = {
    "name": "tiny",
    "axes": {
        "model": ["tiny-bert"],
        "strategy": ["lora", "qlora"],
        "num_labels": [2],
        "num_samples": [24],
        "seed": [0, 1],
    },
    "dataset": {"source": "builtin", "rows": 3000, "test_per_label": 5, "validation_per_label": 5},
    "recipe": {"epochs": 2, "batch_size": 4, "learning_rate": 5e-3, "warmup_steps": 2, "max_length": 16},
    "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
    "compute": {"numerics": "exact", "device": "cpu", "slots": 2, "cost_probe": False, "reload_check": False},
}
"""Four real cells in two packs (a plain base and a 4-bit one), 12 optimiser steps each."""

MakeToy = Callable[..., Grid]
MakeTiny = Callable[..., Grid]
CleanDump = Callable[[Grid], str]


@pytest.fixture(autouse=True)
def no_leftovers(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Mark everything a test starts; afterwards nothing of it may run or lie in shared memory."""
    tmp_path_factory.getbasetemp()  # before TMPDIR changes
    test_id = secrets.token_hex(8)
    temporary = Path(tempfile.mkdtemp(prefix="fg-", dir="/tmp"))  # short: Ray's sockets live below it
    monkeypatch.setenv(ID_VARIABLE, test_id)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    shared_before = set(os.listdir("/dev/shm")) if Path("/dev/shm").is_dir() else set()  # noqa: PTH208
    yield test_id
    left = marked_processes(test_id)
    left = psutil.wait_procs(left, timeout=LEFTOVERS_GRACE_S)[1] if left else []
    names = [_describe(process) for process in left]
    end(left)
    shutil.rmtree(temporary, ignore_errors=True)
    assert not names, f"processes left behind: {names}"
    assert not (shared := shared_memory_left(shared_before, LEFTOVERS_GRACE_S)), f"shared memory left behind: {shared}"


@pytest.fixture
def make_toy(tmp_path: Path, cache: Path) -> MakeToy:
    """`make_toy(scripts=("done",), seeds=(0, 1), name="toy", local=True)`: a grid of the fake trial."""

    def make(*, local: bool = True, folder: str = "results", **options: Any) -> Grid:
        config = write_config(tmp_path, **options)
        return Grid(folder=tmp_path / folder, config=config, trial_module=FAKE, local=local, cache=cache)

    return make


@pytest.fixture
def toy(make_toy: MakeToy) -> Grid:
    """Two cells of the fake trial, milliseconds each, without Ray."""
    return make_toy()


@pytest.fixture
def make_tiny(tmp_path: Path, cache: Path) -> MakeTiny:
    """`make_tiny(recipe={"epochs": 3}, local=False)`: the real tiny grid with changes laid over its config."""

    def make(*, local: bool = True, folder: str = "results", **changes: Any) -> Grid:
        config = write_document(tmp_path, merged(TINY, changes))
        return Grid(folder=tmp_path / folder, config=config, trial_module=REAL, local=local, cache=cache)

    return make


@pytest.fixture
def tiny(make_tiny: MakeTiny) -> Grid:
    """Four real cells on the CPU, `numerics: exact`, without Ray (`tiny.through_ray()` for Ray)."""
    return make_tiny()


@pytest.fixture(scope="session")
def clean_dumps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Dumps of undisturbed runs, by config and trial module; each is computed once a session."""
    return {}


@pytest.fixture
def clean_dump(clean_dumps: dict[str, str], tmp_path: Path) -> CleanDump:
    """`clean_dump(grid)`: the dump of an undisturbed --local run of the same config."""

    def dump(grid: Grid) -> str:
        key = hashlib.sha256(grid.config.read_bytes() + grid.trial_module.encode()).hexdigest()
        if key not in clean_dumps:
            calm = grid.elsewhere(tmp_path / f"clean-{key[:8]}", local=True)
            finished = calm.run(env={CALM_VARIABLE: "1"})
            assert finished.returncode == 0, finished.stderr
            clean_dumps[key] = calm.dump()
        return clean_dumps[key]

    return dump


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())[:120]}"
    except psutil.Error:
        return str(process.pid)
