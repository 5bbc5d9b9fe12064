"""The results folder: names, publishing, reading back, leftovers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import BugError, EnvironmentProblem, UserError
from jobs.spec import dumps
from jobs.storage import (
    AttemptName,
    DamagedResult,
    Layout,
    cache_root,
    check_cell_id,
    complete_results,
    publish,
    read_result,
    results_of,
    sweep_temporary,
    verify,
)
from tests.jobs.samples import cell, result

HOSTILE = [
    "../../x",
    "/etc/x",
    "a/../../b",
    "",
    ".",
    "..",
    "a\0b",
    "a\nb",
    "-rf",
    "%2e%2e",
    "A" * 16,
    "0" * 15,
    "0" * 17,
]
HOSTILE += ["0" * 16 + "\n", "０" * 16]
FAILPOINTS = [
    "result.begun",
    "result.file_written",
    "result.before_manifest",
    "result.manifest_written",
    "result.before_replace",
    "result.after_replace",
    "result.parent_synced",
]
VISIBLE_FROM = FAILPOINTS.index("result.after_replace")


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "results with 'quotes' and\nnewline")


def rows(path):
    path.write_bytes(b"PAR1")


@pytest.mark.parametrize("cell_id", HOSTILE)
def test_only_sixteen_hex_characters_name_a_cell(layout, cell_id):
    for use in (check_cell_id, layout.cell, layout.checkpoint):
        with pytest.raises(UserError, match="cell id"):
            use(cell_id)


@pytest.mark.parametrize("pack_id", ["../x", "a/b", "", ".hidden", "-rf", "a\0", "a\n", "x" * 65])
def test_a_pack_log_stays_in_its_folder(layout, pack_id):
    with pytest.raises(BugError, match="pack id"):
        layout.pack_log(1, pack_id)
    assert layout.pack_log(2, "p-1.a").name == "2-p-1.a.jsonl"


def test_publish_and_read_back(layout):
    published = result()
    folder = publish(layout, published, {"predictions.parquet": rows})
    assert folder.parent == layout.cells / published.cell.cell_id
    assert AttemptName.parse(folder.name).epoch == 1
    verify(folder)
    assert dumps(read_result(folder)) == dumps(published)
    assert list(complete_results(layout)) == [folder]
    assert list(layout.temporary.iterdir()) == []


def test_every_name_on_the_way_to_a_result_survives_a_power_cut(layout, monkeypatch):
    """The first result of a store makes cells/ too: a folder whose own name is lost takes everything in it along."""
    synced = set()

    def fsync(descriptor):
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    folder = publish(layout, result(), {"notes.txt": lambda path: path.write_text("n") and None})
    assert {layout.root, layout.cells, folder.parent} <= synced
    assert {path.name for path in synced} >= {path.name for path in folder.iterdir()}


def test_publishing_twice_makes_two_folders(layout):
    first, second = publish(layout, result(), {}), publish(layout, result(), {})
    assert first != second
    assert set(results_of(layout, cell().cell_id)) == {first, second}


def test_results_come_by_cell_then_epoch_then_attempt_as_numbers(layout):
    order = [(10, 1), (2, 1), (2, 10), (2, 9)]
    for number in (2, 1):
        for epoch, attempt in order:
            publish(layout, result(cell(number), epoch=epoch, attempt=attempt), {})
    names = [(path.parent.name[-1], AttemptName.parse(path.name)) for path in complete_results(layout)]
    wanted = [(number, *numbers) for number in "12" for numbers in sorted(order)]
    assert [(number, name.epoch, name.attempt) for number, name in names] == wanted


def test_skipped_cells_are_left_out(layout):
    publish(layout, result(cell(1)), {})
    kept = publish(layout, result(cell(2)), {})
    assert list(complete_results(layout, skip={cell(1).cell_id})) == [kept]


def test_strange_things_among_the_cells_are_not_results(layout, tmp_path):
    folder = publish(layout, result(), {})
    (folder.parent / "1-2-0123abcd").mkdir()  # no manifest
    (folder.parent / "notes").mkdir()
    (layout.cells / "README").write_text("x")
    (layout.cells / "not-a-cell").mkdir()
    (folder.parent / "9-9-0123abcd").symlink_to(folder)
    (layout.cells / ("f" * 16)).symlink_to(folder.parent)
    assert list(complete_results(layout)) == [folder]


def test_no_cells_at_all(layout):
    assert list(complete_results(layout)) == []
    assert results_of(layout, "0" * 16) == []


@pytest.mark.parametrize("name", ["../x", "manifest.json", "result.json", "a/b", ".x", ""])
def test_file_names_cannot_leave_or_forge(layout, name):
    with pytest.raises(BugError, match="file name"):
        publish(layout, result(), {name: rows})
    assert not layout.root.exists()


def test_nothing_is_written_through_a_link(layout, tmp_path):
    layout.cells.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    layout.cell(cell().cell_id).symlink_to(outside)
    with pytest.raises(EnvironmentProblem, match="symbolic link"):
        publish(layout, result(), {})
    assert list(outside.iterdir()) == []


def test_a_changed_result_is_damaged(layout):
    folder = publish(layout, result(), {})
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text.replace("0.75", "0.95"))
    with pytest.raises(DamagedResult, match=r"result\.json"):
        read_result(folder)


def test_a_folder_under_another_name_or_cell_is_damaged(layout):
    folder = publish(layout, result(), {})
    moved = folder.rename(folder.with_name("7-1-0123abcd"))
    with pytest.raises(DamagedResult, match="name says otherwise"):
        read_result(moved)
    other = layout.cell(cell(2).cell_id)
    other.mkdir()
    with pytest.raises(DamagedResult, match="folder says otherwise"):
        read_result(moved.rename(other / folder.name))


@pytest.mark.parametrize("change", [{"version": 2}, {"surprise": 1}, {"metrics": 3}, {"cell": None}])
def test_a_result_that_cannot_be_understood_is_damaged(layout, change, monkeypatch):
    import jobs.storage

    monkeypatch.setattr(jobs.storage, "dumps", lambda value: json.dumps(json.loads(dumps(value)) | change))
    folder = publish(layout, result(), {})
    with pytest.raises(DamagedResult):
        read_result(folder)


@pytest.mark.parametrize("point", FAILPOINTS)
def test_killed_while_publishing_nothing_half_written_is_visible(layout, point):
    """A real SIGKILL at every step: the folder is complete or not there, and leftovers are swept."""
    script = (
        "import sys; from pathlib import Path; from jobs.storage import Layout, publish;"
        "from tests.jobs.samples import result;"
        "publish(Layout(Path(sys.argv[1])), result(), {'a.txt': lambda path: path.write_text('x' * 10000)})"
    )
    environment = {**os.environ, "FINEGRID_FAILPOINTS": "1", "GRID_FAILPOINT": point, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", script, str(layout.root)]
    ended = subprocess.run(command, env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    found = list(complete_results(layout))
    assert len(found) == (1 if FAILPOINTS.index(point) >= VISIBLE_FROM else 0)
    for folder in found:
        verify(folder)
    sweep_temporary(layout)
    assert list(layout.temporary.iterdir()) == []
    publish(layout, result(), {})


def test_cache_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("FINEGRID_CACHE")
    assert cache_root() == tmp_path / "xdg" / "finegrid"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "finegrid"
    assert not (tmp_path / ".cache").exists()


def test_layout_keeps_everything_inside_the_root(layout):
    others = {"mirror", "name"}
    names = [name for name in dir(Layout) if isinstance(getattr(Layout, name), property) and name not in others]
    paths = [getattr(layout, name) for name in names]
    assert len(set(paths)) == len(paths) >= 9
    assert all(isinstance(path, Path) and path.is_relative_to(layout.root) for path in paths)
