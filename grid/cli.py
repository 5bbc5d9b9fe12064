"""The `finegrid` command.

Everything heavy is imported inside the commands: `finegrid --help` and `status` answer at once.
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

if TYPE_CHECKING:
    from rich.console import Console

    from grid.options import RunOptions

app = typer.Typer(
    name="finegrid",
    help="Declare, run, resume and compare grids of fine-tuned text classifiers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[str | None, typer.Argument(help="A config file or the name of a shipped one; default: goemotions.")]
ResultsOption = Annotated[str | None, typer.Option("--results", help="Results folder; default: results/<grid name>.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Replace a value of the config, such as axes.seed=[0,1]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Start although it is long or large.")]
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
LocalOption = Annotated[bool, typer.Option("--local", help="Run in this process, without Ray.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan; no network, nothing written.")]
Results = Annotated[Path, typer.Argument(help="Results folder.")]


class Report(Protocol):
    """What the reading commands show."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        ...

    def render(self, console: Console) -> None:
        """For people."""
        ...


@app.command("run")
def run_command(
    config: Config = None,
    results: ResultsOption = None,
    set_: SetOption = None,
    dry_run: DryOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
    retry_failed: RetryOption = None,
    skip_unavailable: SkipOption = False,
    local: LocalOption = False,
) -> None:
    """Run a grid, or what is left of it: the same command again resumes."""
    _guarded(
        lambda: _run(
            _options(
                config=config,
                results=results,
                overrides=tuple(set_ or ()),
                dry_run=dry_run,
                as_json=as_json,
                assume_yes=yes,
                retry_failed=retry_failed,
                skip_unavailable=skip_unavailable,
                local=local,
            )
        ),
        as_json=as_json,
    )


@app.command()
def plan(
    config: Config = None,
    results: ResultsOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    yes: YesOption = False,
    retry_failed: RetryOption = None,
) -> None:
    """Show cells, packs and reasons: `run --dry-run`."""
    run_command(config, results, set_, dry_run=True, as_json=as_json, yes=yes, retry_failed=retry_failed)


@app.command()
def status(results: Results, as_json: JsonOption = False) -> None:
    """Count cells by state and say why each unfinished one is not done."""
    from grid.status import status as read_status

    _guarded(lambda: _show(read_status(results), as_json), as_json=as_json)


@app.command()
def export(
    results: Results,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv, .parquet or .json; .db copies the index.")],
) -> None:
    """Write one row per declared cell."""
    from grid.store.export import export as write_export

    _guarded(lambda: _say(str(write_export(results, out))))


@app.command()
def report(
    results: Results,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report; default: RESULTS/report.")] = None,
) -> None:
    """Write the report: one page that opens anywhere, and its tables as CSV, Markdown and LaTeX."""

    def work() -> None:
        from analysis.report import write_report

        for path in write_report(results, out=out):
            _say(str(path))

    _guarded(work)


@app.command()
def data(
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    config: Config = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the rows that the cells of a grid train on, select on and are tested on."""

    def work() -> None:
        from grid.prepared_rows import write_prepared_rows
        from grid.terminal import for_people

        _show(write_prepared_rows(config, tuple(set_ or ()), out, for_people()), as_json)

    _guarded(work, as_json=as_json)


@app.command()
def logs(
    cell: Annotated[str, typer.Argument(help="First characters of a cell id, or words of its title.")],
    results: Results,
    as_json: JsonOption = False,
) -> None:
    """Show what every attempt at a cell logged."""
    from grid.cell_logs import cell_logs

    _guarded(lambda: _show(cell_logs(results, cell), as_json), as_json=as_json)


@app.command()
def prefetch(
    config: Config = None,
    results: ResultsOption = None,
    set_: SetOption = None,
    skip_unavailable: SkipOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Fetch models and data of a grid, so that it can run with HF_HUB_OFFLINE=1; no devices needed, no store made."""

    def work() -> None:
        from grid.prefetch import prefetch as fetch
        from grid.terminal import for_people

        options = _options(
            config=config,
            results=results,
            overrides=tuple(set_ or ()),
            as_json=as_json,
            assume_yes=yes,
            retry_failed=None,
            skip_unavailable=skip_unavailable,
        )
        _show(fetch(options, for_people()), as_json)

    _guarded(work, as_json=as_json)


@app.command()
def doctor(
    target: Annotated[str, typer.Argument(help="Results folder: check its store. A config: check what it would need.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index anew from the result folders.")] = False,
    results: ResultsOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    yes: YesOption = False,
    local: LocalOption = False,
) -> None:
    """Check a store byte for byte and repair it, or do the checks before a run of a config alone."""

    def store() -> int:
        from grid.doctor import doctor as examine

        report = examine(expanded(target), rebuild_index=rebuild)
        _show(report, as_json)
        return 0 if report.is_healthy else 1

    def preflight() -> int:
        from grid.config_doctor import examine

        overrides = tuple(set_ or ())
        report = examine(
            _options(
                config=target,
                results=results,
                overrides=overrides,
                as_json=as_json,
                assume_yes=yes,
                retry_failed=None,
                local=local,
            )
        )
        _show(report, as_json)
        return report.exit_code

    from grid.paths import expanded

    is_store = rebuild or expanded(target).is_dir()
    _guarded(store if is_store else preflight, as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `finegrid`."""
    app(args=_with_retry_value(list(sys.argv[1:] if arguments is None else arguments)), prog_name="finegrid")


def main_run() -> None:
    """Entry point of `python -m grid.run`: the `run` command."""
    main(["run", *sys.argv[1:]])


def _with_retry_value(arguments: list[str]) -> list[str]:
    """--retry-failed may stand alone; the parser wants a value, so that it gets `all`."""
    from grid.options import ALL_KINDS, is_kinds

    result: list[str] = []
    for index, argument in enumerate(arguments):
        result.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if argument == "--retry-failed" and not is_kinds(following):
            result[-1] = f"--retry-failed={ALL_KINDS}"
    return result


def _options(*, retry_failed: str | None, **values: Any) -> RunOptions:
    from grid.options import RunOptions, parse_kinds

    return RunOptions(retry_failed=parse_kinds(retry_failed), **values)


def _run(options: RunOptions) -> int:
    from grid.signals import Interrupted, StopSignals
    from grid.signals import exit_code as signal_exit_code
    from grid.terminal import for_people

    people = for_people()
    if options.dry_run:
        return _dry_run(options)
    from grid.run import run

    try:
        with StopSignals() as signals:
            summary = run(options, people, signals)
    except Interrupted as error:
        code = signal_exit_code(error.number)
        if options.as_json:
            _say(json.dumps({"exit_code": code, "signal": error.number}))
        people.print("Interrupted: the results folder is as it was, or complete; the same command goes on.")
        return code
    if options.as_json:
        _say(json.dumps(summary.to_json(), allow_nan=False))
        summary.render(people)
    else:
        _show(summary, as_json=False)
    return summary.exit_code


def _dry_run(options: RunOptions) -> int:
    from grid.outlook import check_offline, look_ahead
    from grid.show_plan import plan_json, render_plan
    from grid.terminal import for_results

    outlook = look_ahead(options)
    check_offline(outlook)
    if options.as_json:
        _say(json.dumps(plan_json(outlook.plan, outlook.config.name), allow_nan=False))
    else:
        render_plan(outlook.plan, outlook.config.name, for_results())
    return 0


def _guarded(work: Callable[[], int | None], *, as_json: bool = False) -> None:
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
            _say(json.dumps(data, allow_nan=False))
        with suppress(OSError):
            typer.echo(message, err=True)
    raise typer.Exit(code)


def _show(report: Report, as_json: bool) -> None:
    from grid.terminal import for_results

    if as_json:
        _say(json.dumps(report.to_json(), allow_nan=False))
    else:
        report.render(for_results())


def _say(text: str) -> None:
    typer.echo(text)


if __name__ == "__main__":
    main()
