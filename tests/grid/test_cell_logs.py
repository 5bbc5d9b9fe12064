"""Logs of a cell: found by id or words, filtered, with tracebacks, harmless on a terminal."""

import io
import json

import pytest
from rich.console import Console

from grid.cell_logs import cell_logs
from jobs.errors import UserError
from jobs.pack_log import PackLog
from jobs.spec import FailureKind
from tests.grid.store.conftest import Bench
from tests.jobs.samples import cell


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "results")
    bench.cells = [cell(1), cell(2), cell(0xABC, variant="wide")]
    bench.begin()
    yield bench
    bench.store.close()


def write_log(bench, *entries, epoch=1, tail=""):
    path = bench.layout.pack_log(epoch, "pack-1")
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + tail, "utf-8")


def entry(message, number=None, **more):
    named = {"cell_id": cell(number).cell_id} if number else {}
    return {"time": "2030-01-01T00:00:00Z", "level": "info", "event": "note", "message": message, **named, **more}


def text(logs):
    console = Console(file=io.StringIO(), width=50)
    logs.render(console)
    return console.file.getvalue()


def test_lines_of_the_cell_and_of_the_pack_with_traceback(bench):
    bench.start(bench.cells[0])
    trace = "Traceback (most recent call last):\n  File x\nValueError: bad"
    write_log(
        bench,
        entry("base loaded"),
        entry("step 1", 1),
        entry("somebody else", 2),
        entry("it broke", 1, level="error", traceback=trace),
    )
    bench.store.fail(bench.cells[0].cell_id, 1, 1, FailureKind.BUG, "ValueError: bad")
    shown = text(cell_logs(bench.root, cell(1).cell_id)).splitlines()
    assert shown[2:] == [
        "run 1 attempt 1: failed, bug: ValueError: bad  (logs/1-pack-1.jsonl)",
        "  2030-01-01T00:00:00Z info [pack] note: base loaded",
        "  2030-01-01T00:00:00Z info note: step 1",
        "  2030-01-01T00:00:00Z error note: it broke",
        "    Traceback (most recent call last):",
        "      File x",
        "    ValueError: bad",
    ]


def test_every_attempt_has_its_log(bench):
    bench.start(bench.cells[0])
    write_log(bench, entry("first", 1))
    bench.store.close()
    bench.begin()
    bench.start(bench.cells[0])
    write_log(bench, entry("second", 1), epoch=2)
    logs = json.loads(json.dumps(cell_logs(bench.root, cell(1).cell_id).to_json()))
    assert [(item["epoch"], item["state"], item["lines"][0]["message"]) for item in logs["attempts"]] == [
        (1, "interrupted", "first"),
        (2, "running", "second"),
    ]


def test_a_torn_last_line_is_no_error(bench):
    bench.start(bench.cells[0])
    write_log(bench, entry("whole", 1), tail='{"message": "to')
    [attempt] = cell_logs(bench.root, cell(1).cell_id).attempts
    assert [line.message for line in attempt.lines] == ["whole"]
    assert "1 lines cannot be read" in attempt.problem


def test_what_is_written_behind_a_torn_line_is_read(bench):
    """The driver says in the log of a killed worker why its pack was lost."""
    bench.start(bench.cells[0])
    write_log(bench, entry("whole", 1), tail='{"message": "to')
    for message in ("the worker died", "and so on"):
        with PackLog(bench.layout.pack_log(1, "pack-1")) as log:
            log.write("pack_lost", message)
    [attempt] = cell_logs(bench.root, cell(1).cell_id).attempts
    assert [line.message for line in attempt.lines] == ["whole", "the worker died", "and so on"]
    assert "1 lines cannot be read" in attempt.problem
    assert not any(not line.strip() for line in bench.layout.pack_log(1, "pack-1").read_text().splitlines())


def test_a_missing_log_is_said(bench):
    bench.start(bench.cells[0])
    assert "No such file" in text(cell_logs(bench.root, cell(1).cell_id))
    assert "never started" in text(cell_logs(bench.root, cell(2).cell_id))


def test_a_log_outside_the_folder_is_not_read(bench, tmp_path):
    (tmp_path / "secret").write_text('{"message": "secret"}\n')
    bench.start(bench.cells[0])
    bench.store.fail(bench.cells[0].cell_id, 1, 1, FailureKind.BUG, "x", "../secret")
    [attempt] = cell_logs(bench.root, cell(1).cell_id).attempts
    assert attempt.lines == ()
    assert "outside" in attempt.problem


def test_forged_lines_and_control_characters_are_shown_not_obeyed(bench):
    bench.start(bench.cells[0])
    write_log(bench, entry("a\n2030 error forged\x1b[2J[red]", 1, traceback="b\x1b[2J"))
    shown = text(cell_logs(bench.root, cell(1).cell_id))
    assert "\x1b" not in shown
    assert r"a\n2030 error forged\x1b[2J[red]" in shown
    assert r"b\x1b[2J" in shown


@pytest.mark.parametrize(
    "query", ["0000000000000abc", "0000000000000A", " 0000000000000a ", "wide", "QLORA wide seed 2748"]
)
def test_cells_are_found_by_id_and_by_words(bench, query):
    assert cell_logs(bench.root, query).cell.cell_id == cell(0xABC).cell_id


def test_several_cells_are_listed(bench):
    with pytest.raises(UserError, match=r"names 3 cells.*\n  0{15}1 .*: pending"):
        cell_logs(bench.root, "tiny-bert")
    with pytest.raises(UserError, match="names 3 cells"):
        cell_logs(bench.root, "0")


@pytest.mark.parametrize("query", ["", " ", "%", "x' OR 1=1 --", "\x1b[2J"])
def test_no_cell_is_a_user_error(bench, query):
    with pytest.raises(UserError, match="no cell has") as error:
        cell_logs(bench.root, query)
    assert "\x1b" not in str(error.value)


def test_near_misses_are_suggested(bench):
    with pytest.raises(UserError, match=rf"nearest:\n  {cell(0xABC).cell_id}"):
        cell_logs(bench.root, "tiny-bert qlora wied 2 labels 100 rows seed 2748")


def test_a_declared_cell_comes_before_retired_ones_of_its_title(bench):
    bench.store.declare([cell(0xDEF, seed=cell(1).seed)])
    title = cell(1).title
    assert cell(0xDEF, seed=cell(1).seed).title == title
    assert cell_logs(bench.root, title).cell.cell_id == cell(0xDEF).cell_id
    assert cell_logs(bench.root, cell(1).cell_id).cell.retired
    with pytest.raises(UserError, match="no longer declared"):
        cell_logs(bench.root, "0")


def test_no_cell_at_all_like_it_shows_what_titles_are_like(bench):
    with pytest.raises(UserError, match=f"such as:\n.*{cell(1).title}"):
        cell_logs(bench.root, "zzz")
