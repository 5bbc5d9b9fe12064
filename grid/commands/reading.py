"""The commands that read a store or its data: status, export, report, data, logs, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid.commands.shared import CellQuery, Config, JsonOption, Results, SetOption, app, guarded, say, show


@app.command()
def status(
    results: Results,
    as_json: JsonOption = False,
    price: Annotated[
        float | None,
        typer.Option("--dollars-per-hour", min=0, help="What a device costs: says what packs cost so far."),
    ] = None,
) -> None:
    """Count cells by state and say why each unfinished one is not done."""
    from grid.status import status as read_status

    guarded(lambda: show(read_status(results, dollars_per_hour=price), as_json), as_json=as_json)


@app.command()
def export(
    results: Results,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv, .parquet or .json; .db copies the index.")],
) -> None:
    """Write one row per declared cell."""
    from grid.store.export import export as write_export

    guarded(lambda: say(str(write_export(results, out))))


@app.command()
def report(
    results: Results,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report; default: RESULTS/report.")] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Score, such as 0.6 or 60%: says how many labelled rows it takes.")
    ] = None,
    dollars_per_hour: Annotated[
        list[str] | None,
        typer.Option(
            "--dollars-per-hour", help="Price of the device that trained: 0.35, or cuda=0.35 and again for others."
        ),
    ] = None,
) -> None:
    """Write the report: one page that opens anywhere, and its tables as CSV, Markdown and LaTeX."""

    def work() -> None:
        from analysis.questions import questions_from
        from analysis.report import said_of, write_report

        for line in said_of(write_report(results, out=out, questions=questions_from(target, dollars_per_hour))):
            say(line)

    guarded(work)


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

        show(write_prepared_rows(config, tuple(set_ or ()), out, for_people()), as_json)

    guarded(work, as_json=as_json)


@app.command()
def logs(
    cell: CellQuery,
    results: Results,
    as_json: JsonOption = False,
) -> None:
    """Show what every attempt at a cell logged."""
    from grid.cell_logs import cell_logs

    guarded(lambda: show(cell_logs(results, cell), as_json), as_json=as_json)
