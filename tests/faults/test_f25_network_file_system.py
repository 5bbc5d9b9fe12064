"""F25: results on a network: the index lies locally, and losing that disk in the middle of a run loses nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import armed
from tests.faults.places import as_network

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_f25_the_index_is_local_and_comes_back_from_the_folder(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    toy = make_toy(folder="net/results", scripts=("fail.diverged", "done"))
    local = tmp_path / "local"
    env = as_network(tmp_path / "net") | {"FINEGRID_CACHE": str(local)}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    env_cache = {"FINEGRID_CACHE": str(local)}
    killed = toy.run(env=armed("finish.committed") | env_cache)
    assert killed.returncode == -9, killed.stderr
    [index] = local.glob("stores/*/grid.db")
    assert index.with_name("grid.db-wal").exists()
    assert not toy.layout.index.with_name("grid.db-wal").exists()
    assert not toy.layout.lock.exists()
    assert toy.count("failed") == 2 and toy.count("done") == 2
    if disk == "lost":
        shutil.rmtree(local / "stores")
        assert toy.count("done") == 0, "the copy in the folder is of an earlier moment"
    again = toy.run(env=env_cache)
    assert again.returncode == 1, again.stderr
    assert toy.count("failed") == 2 and toy.count("done") == 2
    assert len(toy.result_folders()) == 2, "nothing was computed again"
    tries = [row for row in toy.attempts() if row["state"] == "failed"]
    assert len(tries) == 2, "failures that wait for a changed recipe were not tried again"
    dump = toy.dump()
    shutil.rmtree(local / "stores")
    assert toy.dump() == dump, "the copy in the folder is whole after a run"
    status = toy.command("status", str(toy.folder), "--json", env=env_cache)
    assert status.json["counts"]["failed"] == 2
    sound = toy.command("doctor", str(toy.folder), env=env_cache)
    assert sound.returncode == 0, sound.stdout
