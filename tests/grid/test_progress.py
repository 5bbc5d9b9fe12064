"""The progress view: right words, bounded output, and never a reason to stop a run."""

import io
import os
import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from grid.progress import Progress
from jobs.spec import CellState, Event, EventKind
from tests.jobs.samples import cell


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream):
    return stream.getvalue().splitlines()


def event(kind, number, /, **data):
    return Event(kind=kind, pack_id="p", cell_id=cell(number).cell_id, data=data)


def finish(progress, number, accuracy=0.5):
    progress.on_event(event(EventKind.CELL_STARTED, number))
    progress.on_event(event(EventKind.CELL_FINISHED, number, accuracy=accuracy))


def test_without_a_terminal_every_finished_cell_is_a_line(stream, clock):
    with Progress(Console(file=stream), clock=clock) as progress:
        progress.on_plan([cell(1), cell(2)], done=3, waiting=1)
        clock.now += 5
        finish(progress, 1, 0.91239)
        progress.on_event(event(EventKind.CELL_FAILED, 2, kind="diverged", reason="loss is nan"))
    assert lines(stream) == [
        "2 cells to run, 3 done before, 1 failed ones wait for a change or --retry-failed",
        f"0:00:05  done {cell(1).title}: accuracy 0.9124",
        f"0:00:05  failed {cell(2).title}: diverged: loss is nan",
        "1 of 2 done, 1 failed (0:00:05)",
    ]


def test_many_cells_become_a_summary(stream, clock):
    cells = [cell(number) for number in range(1, 1001)]
    with Progress(Console(file=stream), clock=clock) as progress:
        progress.on_plan(cells)
        for number in range(1, 501):
            finish(progress, number)
        assert len(lines(stream)) == 11
        clock.now += 10
        finish(progress, 501)
    assert lines(stream)[-3:] == [
        "0:00:10  and 490 more cells; 500 of 1000 done, 1 running, about 0:00:10 left",
        f"0:00:10  done {cell(501).title}: accuracy 0.5000",
        "501 of 1000 done (0:00:10)",
    ]


def test_slow_cells_bring_one_line_each(stream, clock):
    with Progress(Console(file=stream), clock=clock) as progress:
        progress.on_plan([cell(1), cell(2), cell(3)])
        for number in (1, 2, 3):
            clock.now += 15
            finish(progress, number)
    assert [line.split()[1] for line in lines(stream)[2:5]] == ["done", "done", "done"]
    assert len(lines(stream)) == 6


def test_no_summary_says_before_a_line_what_the_line_says(stream, clock):
    with Progress(Console(file=stream), clock=clock) as progress:
        progress.on_plan([cell(1)])
        progress.on_event(event(EventKind.CELL_STARTED, 1))
        clock.now += 15
        progress.on_event(event(EventKind.CELL_FINISHED, 1, accuracy=0.5))
    assert [line.split()[1] for line in lines(stream)] == ["cell", "done", "of"]


def test_a_quiet_run_gives_a_sign_of_life_once_a_minute(stream, clock):
    with Progress(Console(file=stream), clock=clock) as progress:
        progress.on_plan([cell(1)])
        progress.on_event(event(EventKind.CELL_STARTED, 1))
        for _ in range(60):
            clock.now += 5
            progress.on_event(event(EventKind.HEARTBEAT, 1, live=1, waiting=0, finished=0, step=1, total_steps=10))
        shown = lines(stream)[1:]
    assert len(shown) == 5
    assert shown[-1] == "0:04:10  0 of 1 done, 1 running, about 0:37:30 left"


def test_control_characters_and_markup_are_shown_not_obeyed(stream, clock):
    with Progress(Console(file=stream), clock=clock) as progress:
        progress.on_plan([cell(1)])
        progress.on_event(event(EventKind.CELL_FAILED, 1, kind="bug", reason="\x1b[2J[red]x[/red]\ndone forged"))
    assert "\x1b" not in stream.getvalue()
    assert r"\x1b[2J[red]x[/red]\ndone forged" in lines(stream)[1]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_live_view_never_exceeds_the_terminal(stream, clock, width):
    console = Console(file=stream, force_terminal=True, width=width)
    with Progress(console, clock=clock) as progress:
        progress.on_plan([cell(number, variant="ein sehr langer Name 模型" * 5) for number in range(1, 20)])
        for number in range(1, 12):
            finish(progress, number)
        drawing = Console(file=io.StringIO(), width=width, force_terminal=False)
        drawing.print(progress.picture())
        drawn = drawing.file.getvalue().splitlines()
    assert all(cell_len(line) <= width for line in drawn)
    assert len(drawn) == 8  # bar, counts, six newest results


def test_the_live_view_shows_counts_time_left_and_newest_results(stream, clock):
    console = Console(file=stream, force_terminal=True, width=120)
    with Progress(console, clock=clock) as progress:
        progress.on_plan([cell(number) for number in range(1, 5)])
        clock.now += 60
        finish(progress, 1, 0.75)
        progress.on_event(event(EventKind.CELL_STARTED, 2))
        drawing = Console(file=io.StringIO(), width=120)
        drawing.print(progress.picture())
        text = drawing.file.getvalue()
    assert "1 of 4 done, 1 running, about 0:03:00 left (0:01:00)" in text
    assert f"done {cell(1).title}: accuracy 0.7500" in text


def test_redrawing_is_limited(stream, clock):
    console = Console(file=stream, force_terminal=True, width=80)
    with Progress(console, clock=clock) as progress:
        progress.on_plan([cell(1)])
        progress.on_event(event(EventKind.CELL_STARTED, 1))
        size = len(stream.getvalue())
        for _ in range(1000):
            progress.on_event(event(EventKind.CHECKPOINTED, 1))
        assert len(stream.getvalue()) == size


def test_a_fault_in_the_view_silences_it_and_is_logged_once(stream, clock, caplog):
    class Broken(io.StringIO):
        def write(self, text):
            raise ValueError("disk on fire")

    with Progress(Console(file=Broken()), clock=clock) as progress:
        progress.on_plan([cell(1)])
        finish(progress, 1)
    assert caplog.text.count("the progress view failed") == 1


@pytest.mark.parametrize("error", [BrokenPipeError, OSError])
def test_a_stream_that_went_away_stops_nothing(clock, error):
    class Closed(io.StringIO):
        def write(self, text):
            raise error

        def flush(self):
            raise error

    for is_terminal in (True, False):
        with Progress(Console(file=Closed(), force_terminal=is_terminal), clock=clock) as progress:
            progress.on_plan([cell(1)])
            finish(progress, 1)
            assert progress.tally.states[cell(1).cell_id] is CellState.DONE or error is OSError


def test_a_real_closed_pipe_stops_nothing():
    code = (
        "from grid.progress import Progress\n"
        "from jobs.spec import Event, EventKind\n"
        "from tests.jobs.samples import cell\n"
        "cells = [cell(n) for n in range(1, 2000)]\n"
        "with Progress() as progress:\n"
        "    progress.on_plan(cells)\n"
        "    for spec in cells:\n"
        "        progress._view._num_lines = 0\n"
        "        progress.on_event(Event(kind=EventKind.CELL_FINISHED, pack_id='p', cell_id=spec.cell_id))\n"
        "print('ended well')\n"
    )
    reader, writer = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, text=True)
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)
    out, _ = child.communicate(timeout=60)
    assert (out, child.returncode) == ("ended well\n", 0)


def test_events_of_unknown_cells_are_no_lines(stream, clock):
    with Progress(Console(file=stream), clock=clock) as progress:
        progress.on_plan([cell(1)])
        finish(progress, 77)
    assert "0 of 1 done" in lines(stream)[-1]
