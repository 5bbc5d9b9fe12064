"""F22: a damaged index: a run refuses before it writes anything, and doctor makes a new one from the results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import armed

pytestmark = pytest.mark.faults


def overwrite(index: Path) -> None:
    """4 KB of noise in the middle of every table's page."""
    data = bytearray(index.read_bytes())
    for start in range(8192, len(data), 4096):
        data[start : start + 4096] = b"\xa5" * 4096
    index.write_bytes(data)


def truncate(index: Path) -> None:
    """The second half is gone."""
    index.write_bytes(index.read_bytes()[: index.stat().st_size // 8192 * 4096])


def empty(index: Path) -> None:
    """Nothing is left."""
    index.write_bytes(b"")


def take_log_away(index: Path) -> None:
    """Committed rows that are not folded in yet are gone with it."""
    index.with_name("grid.db-wal").unlink()


@pytest.mark.parametrize("damage", [overwrite, truncate, empty, take_log_away])
def test_f22_a_run_refuses_and_doctor_rebuilds(
    make_toy: MakeToy, clean_dump: CleanDump, damage: Callable[[Path], None]
) -> None:
    toy = make_toy(seeds=(0, 1))
    killed = toy.run(env=armed("finish.committed"))
    assert killed.returncode == -9
    if damage is not take_log_away:
        toy.run()  # folds the log in
    damage(toy.layout.index)
    before = toy.layout.index.read_bytes()
    refused = toy.run()
    assert refused.returncode == 3, refused.stderr
    assert "grid.db is damaged" in refused.stderr and "--rebuild" in refused.stderr
    assert toy.layout.index.read_bytes() == before
    found = toy.command("doctor", str(toy.folder), "--json")
    assert found.returncode == 1 and not found.json["healthy"]
    rebuilt = toy.command("doctor", str(toy.folder), "--rebuild", "--json")
    assert rebuilt.returncode == 0 and rebuilt.json["healthy"], rebuilt.stdout
    assert rebuilt.json["rebuilt"]["num_results"] == 2
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)
    assert len(toy.result_folders()) == 2, "nothing was computed again"
