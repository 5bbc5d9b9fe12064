"""What all commands share: the words of the command line, errors as exit codes, output.

Results go to standard output; everything else for people goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.console import Console

    from grid.options import RunOptions

_ORDER = (
    *("init", "plan", "run", "status", "logs", "show", "report", "export"),
    *("explain", "predict", "merge", "sync", "data", "prefetch", "packs", "doctor", "schema"),
)


WRONG_ARGUMENTS = 2
_NO_LIMIT = 500


class _InOrderOfUse(TyperGroup):
    """Help lists commands as a person comes to need them; wrong arguments are an object for --json, too."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Whole sentences; the parent cuts them to a line each."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(limit=_NO_LIMIT)) for name, one in commands if one and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def main(self, args: Sequence[str] | None = None, *others: Any, **named: Any) -> Any:
        """Remember whether --json was asked for: arguments that cannot be read never become options."""
        self._wants_json = "--json" in (sys.argv[1:] if args is None else args)
        return super().main(args, *others, **named)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Of typer's own copy of click, whose classes have no public name.
            if self._wants_json and hasattr(error, "format_message"):
                say(json.dumps({"exit_code": WRONG_ARGUMENTS, "error": error.format_message(), "problems": []}))
            raise

    def list_commands(self, ctx: Any) -> list[str]:  # typer keeps a copy of click of its own
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


app = typer.Typer(
    name="finegrid",
    cls=_InOrderOfUse,
    help="Declare, run, resume and compare grids of fine-tuned text classifiers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"finegrid {version('finegrid')}")
        raise typer.Exit


@app.callback()
def all_commands(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Declare, run, resume and compare grids of fine-tuned text classifiers."""


Config = Annotated[str | None, typer.Argument(help="A config file or the name of a shipped one; default: goemotions.")]
ResultsOption = Annotated[
    str | None, typer.Option("--results", help="Results folder or URL (s3://...); default: results/<grid name>.")
]
IndexOption = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="VARIABLE",
        help="Name of a variable with a postgresql:// URL: the index of a new store goes there; it is remembered.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Replace a value of the config, such as axes.seed=[0,1]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Accept more than 100,000 cells, or more than two hours on CPUs.")
]
RetryOption = Annotated[
    str | None,
    typer.Option(
        "--retry-failed",
        metavar="[KIND,...]",
        help="Also try failures again that wait for a change: all, or user, diverged, out_of_memory.",
    ),
]
SkipOption = Annotated[
    bool, typer.Option("--skip-unavailable", help="Record cells of gated or missing models as failed, run the rest.")
]
LocalOption = Annotated[bool, typer.Option("--local", help="In this process, without Ray.")]
HoursOption = Annotated[
    float | None,
    typer.Option(
        "--max-hours",
        min=0.001,
        max=100_000,
        hidden=True,  # another word for --budget with hours; scripts may have it
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="End in order when it is spent (exit code 5): 4h, 90m, or '$20' with `prices`; the same command goes on.",
    ),
]
OnOption = Annotated[
    str | None, typer.Option("--on", help="Plan for devices that are not here: A10G, 8xA10G, H200, ...")
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan; no network, nothing written.")]
CellQuery = Annotated[str, typer.Argument(help="First characters of a cell id, or words of its title.")]


def _read_results(text: str) -> Path:
    """A results folder, or the one that stands for a URL."""
    from jobs.errors import FineGridError
    from jobs.storage import results_path

    try:
        return results_path(text)
    except FineGridError as error:
        raise typer.BadParameter(str(error)) from error


Results = Annotated[
    Path, typer.Argument(help="Results folder or URL (s3://...).", metavar="RESULTS", parser=_read_results)
]


class Report(Protocol):
    """What the reading commands show."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        ...

    def render(self, console: Console) -> None:
        """For people."""
        ...


def options_of(
    *, set_: list[str] | None = None, yes: bool = False, retry_failed: str | None = None, **values: Any
) -> RunOptions:
    """What the command line asks for; the other values are fields of `RunOptions`."""
    from grid.options import RunOptions, parse_kinds

    return RunOptions(overrides=tuple(set_ or ()), assume_yes=yes, retry_failed=parse_kinds(retry_failed), **values)


def guarded(work: Callable[[], int | None], *, as_json: bool = False) -> None:
    """Run a command; every error becomes a message and the exit code of DESIGN."""
    try:
        code = work() or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing more can be said, and nothing went wrong.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        from grid.failure import explain

        code, message, data = explain(error)
        if as_json:
            say(json.dumps(data, allow_nan=False))
        with suppress(OSError):
            typer.echo(message, err=True)
    raise typer.Exit(code)


def show(report: Report, as_json: bool) -> None:
    """Print a report, for people or as JSON."""
    from grid.terminal import for_results

    if as_json:
        say(json.dumps({"exit_code": getattr(report, "exit_code", 0)} | report.to_json(), allow_nan=False))
    else:
        report.render(for_results())


def say(text: str) -> None:
    """One line on standard output."""
    typer.echo(text)
