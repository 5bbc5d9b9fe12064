"""What a run shows while it works: a live view on a terminal, plain lines elsewhere, always on standard error.

Showing is never a reason to stop: a closed pipe, a terminal that went away or a fault in here
silences the view and the run goes on.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from grid.amounts import counted
from grid.escape import visible
from grid.tally import Tally
from grid.terminal import PatientConsole
from jobs.spec import CellSpec, CellState, Event, EventKind

logger = logging.getLogger(__name__)

_NUM_NEWEST = 6
_REFRESH_S = 0.25
_WINDOW_S = 10.0
_MAX_LINES_PER_WINDOW = 10
_SILENCE_S = 60.0


class Progress:
    """Shows a run: `with Progress() as progress: progress.on_plan(...); progress.on_event(...)`."""

    def __init__(self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; nothing is shown yet.

        Args:
            console: where to show; None: standard error.
            clock: seconds that only go forward.
        """
        self.tally = Tally()
        self._clock = clock
        self._began = clock()
        self._newest: deque[Text] = deque(maxlen=_NUM_NEWEST)
        patient = _patient(console or Console(stderr=True))
        self._view: _LiveView | _LineView = _LiveView(patient) if patient.is_terminal else _LineView(patient)
        self._is_silent = False

    def __enter__(self) -> Progress:
        """Begin to show."""
        self._began = self._clock()
        self._safely(self._view.open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Show the last counts and leave the terminal as it was."""
        self._safely(lambda: self._view.close(self.summary(is_over=True)))

    def on_plan(self, cells: Sequence[CellSpec], *, done: int = 0, waiting: int = 0) -> None:
        """Say what is going to run.

        Args:
            cells: cells of this run.
            done: declared cells that were done before.
            waiting: failed cells that wait for a changed recipe or --retry-failed.
        """
        self.tally.plan(cells, done=done, waiting=waiting)
        self._began = self._clock()
        self._safely(lambda: self._view.plan(_plan_line(self.tally)))

    def on_event(self, event: Event) -> None:
        """Follow one event of a trial; never raises."""
        self._safely(lambda: self._follow(event))

    def _follow(self, event: Event) -> None:
        is_over = self.tally.take(event)
        line = _result_line(event, self.tally) if is_over else None
        if line is not None:
            self._newest.append(line)
        self._view.show(self, line)

    def _safely(self, action: Callable[[], None]) -> None:
        if self._is_silent:
            return
        try:
            action()
        except Exception:
            self._is_silent = True
            logger.exception("the progress view failed and is off; the run goes on")

    def elapsed_s(self) -> float:
        """Seconds since the plan."""
        return self._clock() - self._began

    def summary(self, *, is_over: bool = False, says_time: bool = True) -> Text:
        """One line: counts, time left unless the run is over, time gone unless the line has it already."""
        counts, tally = self.tally.counts, self.tally
        text = Text(f"{counts[CellState.DONE]} of {tally.num_total} done")
        for state, style in ((CellState.FAILED, "red"), (CellState.RUNNING, "cyan"), (CellState.INTERRUPTED, "yellow")):
            if counts[state]:
                text.append(f", {counts[state]} {state}", style=style)
        left = self._left_s()
        if left is not None and not is_over and tally.num_over < tally.num_total:
            text.append(f", about {_duration(left)} left")
        return text.append(f" ({_duration(self.elapsed_s())})") if says_time else text

    def _left_s(self) -> float | None:
        share = self.tally.share()
        return self.elapsed_s() * (1 - share) / share if share > 0 else None

    def picture(self) -> RenderableType:
        """The live view: bar, counts, newest results; cut to the terminal's width."""
        bar = ProgressBar(total=1.0, completed=self.tally.share(), width=None)
        rows = Table.grid(expand=True)
        rows.add_column(no_wrap=True, overflow="ellipsis")
        rows.add_row(bar)
        rows.add_row(self.summary())
        for line in self._newest:
            rows.add_row(line)
        return Group(rows)


def _patient(console: Console) -> PatientConsole:
    # A real terminal is asked for its width at every drawing, because it may change.
    width = None if console.file.isatty() else console.width
    is_terminal = console.is_terminal
    return PatientConsole(file=console.file, force_terminal=is_terminal, width=width, highlight=False, emoji=False)


class _LiveView:
    """Redraws in place; only when an event arrives, so that no thread of its own can fail."""

    def __init__(self, console: Console) -> None:
        # What others print on standard error appears above the view; standard output belongs to --json.
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=True)
        self._last = float("-inf")

    def open(self) -> None:
        """Begin to draw."""
        self._live.start()

    def plan(self, line: Text) -> None:
        """Leave a line above the view."""
        self._live.console.print(line)

    def show(self, progress: Progress, line: Text | None) -> None:
        """Redraw, at most four times a second."""
        now = progress.elapsed_s()
        if now - self._last >= _REFRESH_S or now < self._last:
            self._last = now
            self._live.update(progress.picture(), refresh=True)

    def close(self, summary: Text) -> None:
        """Leave the last counts on the screen."""
        self._live.update(summary, refresh=True)
        self._live.stop()


class _LineView:
    """A line a finished cell, a summary instead of too many, a sign of life in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._window_began = 0.0
        self._num_lines = 0
        self._num_held = 0
        self._last_output = 0.0
        self._last_counts: Counter[CellState] = Counter()

    def open(self) -> None:
        """Nothing to prepare."""

    def plan(self, line: Text) -> None:
        """Print the plan."""
        self._window_began = self._last_output = 0.0
        self._num_lines = self._num_held = 0
        self._print(line)

    def show(self, progress: Progress, line: Text | None) -> None:
        """Print the line when the window still has room, and a summary when the window ends."""
        now = progress.elapsed_s()
        if now - self._window_began >= _WINDOW_S:
            self._end_window(progress, now, is_news=line is None)
        if line is not None:
            if self._num_lines < _MAX_LINES_PER_WINDOW:
                self._num_lines += 1
                self._print(Text(f"{_duration(now)}  ").append_text(line))
                self._last_output = now
            else:
                self._num_held += 1

    def close(self, summary: Text) -> None:
        """Print the last counts."""
        self._print(summary)

    def _end_window(self, progress: Progress, now: float, *, is_news: bool) -> None:
        counts = +progress.tally.counts
        has_news = self._num_held > 0 or (is_news and self._num_lines == 0 and counts != self._last_counts)
        if has_news or now - self._last_output >= _SILENCE_S:
            text = Text(f"{_duration(now)}  ")
            if self._num_held:
                text.append(f"and {self._num_held} more cells; ")
            self._print(text.append_text(progress.summary(says_time=False)))
            self._last_output = now
        self._window_began, self._num_lines, self._num_held = now, 0, 0
        self._last_counts = counts

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


def _plan_line(tally: Tally) -> Text:
    text = Text(f"{counted(tally.num_total, 'cell')} to run, {tally.num_done_before:,} done before")
    if tally.num_waiting:
        text.append(f", {tally.num_waiting} failed ones wait for a change or --retry-failed", style="yellow")
    return text


def _result_line(event: Event, tally: Tally) -> Text:
    title = visible(tally.titles.get(event.cell_id or "", event.cell_id or ""))
    if event.kind is EventKind.CELL_FAILED:
        why = f"{event.data.get('kind', 'failed')}: {event.data.get('reason', '')}"
        return Text("failed ", style="red").append(f"{title}: {visible(why)}", style="default")
    accuracy = event.data.get("accuracy")
    value = f": accuracy {accuracy:.4f}" if isinstance(accuracy, float) else ""
    return Text("done ", style="green").append(f"{title}{value}", style="default")


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
