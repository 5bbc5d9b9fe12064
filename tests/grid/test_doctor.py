"""The doctor finds every difference between index and folders, and a rebuild settles it."""

import io
import json
import sqlite3

import pytest
from rich.console import Console

from grid.doctor import doctor
from jobs.errors import UserError
from jobs.spec import FailureKind
from tests.grid.store.conftest import Bench


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "results")
    bench.begin()
    bench.folder = bench.finish(bench.cells[0])
    bench.finish(bench.cells[1])
    bench.store.fail(bench.cells[2].cell_id, 0, 0, FailureKind.USER, "no such label")
    bench.store.close()
    yield bench
    bench.store.close()


def change(bench, text, *values):
    connection = sqlite3.connect(bench.layout.index)
    connection.execute(text, values)
    connection.commit()
    connection.close()


def render(report):
    console = Console(file=io.StringIO(), width=80)
    report.render(console)
    return console.file.getvalue()


def test_a_sound_store(bench):
    report = doctor(bench.root)
    assert (report.problems, report.notes, report.num_folders, report.is_healthy) == ((), (), 2, True)
    assert "the store is sound" in render(report)
    assert json.loads(json.dumps(report.to_json()))["healthy"] is True


def test_a_store_in_use_can_be_checked(bench):
    bench.begin()
    assert doctor(bench.root).is_healthy


def test_a_changed_file_is_found_and_set_aside(bench):
    (bench.folder / "notes.txt").write_text("changed")
    report = doctor(bench.root)
    assert len(report.problems) == 2  # the folder, and the done cell without a sound one
    assert "notes.txt" in report.problems[0]
    assert "--rebuild" in render(report)
    rebuilt = doctor(bench.root, rebuild_index=True)
    assert rebuilt.is_healthy
    assert "set aside: quarantine/" in render(rebuilt)
    assert doctor(bench.root).is_healthy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("UPDATE metrics SET value = value + 1e-9 WHERE name = 'accuracy'", "the index differs"),
        ("UPDATE results SET num_train = 7", "the index differs"),
        ("DELETE FROM metrics WHERE name = 'loss'", "the index differs"),
        ("DELETE FROM metrics", "the index differs"),
        ("DELETE FROM results", "has no result in the index"),
        ("UPDATE cells SET state = 'pending' WHERE position = 0", "is not done"),
        ("DELETE FROM cells WHERE position = 0", "refers to a cell that is not there"),
    ],
)
def test_every_difference_is_found_and_settled(bench, text, words):
    change(bench, text)
    assert any(words in problem for problem in doctor(bench.root).problems)
    assert doctor(bench.root, rebuild_index=True).is_healthy
    with_bench = Bench(bench.root)
    with_bench.begin()
    assert [with_bench.state(spec) for spec in with_bench.cells] == ["done", "done", "failed"]
    with_bench.store.close()


def test_a_missing_folder_is_found(bench):
    bench.folder.rename(bench.root / "elsewhere")
    [problem] = doctor(bench.root).problems
    assert "is missing or damaged" in problem


def test_a_damaged_index_is_found_and_made_again(bench):
    data = bytearray(bench.layout.index.read_bytes())
    data[4096:8192] = b"\xa5" * 4096
    bench.layout.index.write_bytes(data)
    assert not doctor(bench.root).is_healthy
    report = doctor(bench.root, rebuild_index=True)
    assert report.is_healthy
    assert report.rebuilt.num_results == 2


def test_a_missing_index_is_a_problem(bench):
    bench.layout.index.unlink()
    assert doctor(bench.root).problems == ("there is no index (grid.db)",)
    assert not bench.layout.index.exists()


def test_what_the_next_run_settles_is_only_a_note(bench):
    bench.cells = bench.cells[:2]
    bench.begin()
    spec = bench.cells[0]
    bench.publish(spec, 9, 9)
    bench.store.close()
    report = doctor(bench.root)
    assert report.is_healthy
    assert any("done with another attempt" in note for note in report.notes)


def test_results_not_yet_taken_in_and_fenced_ones_are_notes(tmp_path):
    bench = Bench(tmp_path / "other")
    bench.begin()
    bench.start(bench.cells[0])
    bench.start(bench.cells[0])
    bench.publish(bench.cells[0], 1, 1)
    bench.publish(bench.cells[0], 1, 2)
    bench.store.close()
    (bench.layout.temporary / "finegrid-x.tmp").mkdir()
    report = doctor(bench.root)
    assert report.is_healthy
    shown = render(report)
    for words in ("a newer attempt was handed out", "the next run takes it in", "1 unfinished folders"):
        assert words in shown


def test_control_characters_are_shown(bench):
    change(bench, "UPDATE cells SET title = char(27) || '[2J'")
    bench.folder.rename(bench.root / "elsewhere")
    shown = render(doctor(bench.root))
    assert "\x1b" not in shown
    assert r"\x1b[2J" in shown


def test_nothing_to_check(tmp_path):
    with pytest.raises(UserError, match="not a results folder"):
        doctor(tmp_path)
    assert list(tmp_path.iterdir()) == []
