"""The commands that read a store or its data: status, export, report, data, logs, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid.commands.shared import CellQuery, Config, JsonOption, Results, SetOption, app, guarded, say, show


@app.command()
def status(results: Results, as_json: JsonOption = False) -> None:
    """Count cells by state and say why each unfinished one is not done."""
    from grid.status import status as read_status

    guarded(lambda: show(read_status(results), as_json), as_json=as_json)


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
        from analysis.report import write_report

        for path in write_report(results, out=out, questions=questions_from(target, dollars_per_hour)):
            say(str(path))

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


@app.command("show")
def show_command(
    cell: CellQuery,
    results: Results,
    config: Annotated[
        bool, typer.Option("--config", help="Only a config that declares this cell alone, ready for `finegrid run`.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show everything about one cell, and how to compute it again alone."""
    from grid.show_cell import config_of_cell, show_cell

    if config:
        guarded(lambda: say(config_of_cell(results, cell)))
    guarded(lambda: show(show_cell(results, cell), as_json), as_json=as_json)


@app.command()
def explain(
    results: Results,
    cells: Annotated[str, typer.Option("--cells", help="Finished cells, separated by commas: ids or words of titles.")],
    texts: Annotated[Path | None, typer.Option("--texts", help="File with one text a line; else --rows.")] = None,
    rows: Annotated[int, typer.Option("--rows", help="Test rows of the first cell, spread over its test set.")] = 8,
    method: Annotated[str, typer.Option("--method", help="ig (integrated gradients) or occlusion.")] = "ig",
    labels: Annotated[str, typer.Option("--labels", help="Labels to explain; else what one of the cells says.")] = "",
    steps: Annotated[int, typer.Option("--steps", help="Points of the path of ig; more where the sum is off.")] = 64,
    top_k: Annotated[int, typer.Option("--top-k", help="Tokens that count as the most important.")] = 5,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; default: RESULTS/explanations.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Which tokens of a text speak for a label, by finished cells side by side."""

    def work() -> None:
        from grid.explain import Question, explain_cells
        from grid.terminal import for_people

        asked = Question(
            cells=tuple(part.strip() for part in cells.split(",") if part.strip()),
            method=method,
            texts=texts,
            rows=rows,
            labels=tuple(part.strip() for part in labels.split(",") if part.strip()),
            steps=steps,
            top_k=top_k,
            out=out,
        )
        show(explain_cells(results, asked, for_people()), as_json)

    guarded(work, as_json=as_json)


@app.command()
def predict(
    cell: CellQuery,
    results: Results,
    file: Annotated[Path, typer.Argument(help="Texts: .csv, .tsv, .jsonl, .parquet, or .txt with one a line.")],
    out: Annotated[
        Path | None, typer.Option("--out", help=".csv or .parquet; default: <file>-predicted.csv beside it.")
    ] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", help="Where the texts are.")] = None,
    calibration: Annotated[
        str, typer.Option("--calibration", help="auto, none, temperature, label_temperatures or isotonic.")
    ] = "auto",
    thresholds: Annotated[
        str, typer.Option("--thresholds", help="Of rows with several labels: auto, default (0.5), global or label.")
    ] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Label new texts by a finished cell, with its calibration and thresholds."""

    def work() -> None:
        from grid.predict import predict_texts
        from grid.terminal import for_people

        predictions = predict_texts(
            results,
            cell,
            file,
            out=out,
            text_column=text_column,
            calibration=calibration,
            thresholds=thresholds,
            people=for_people(),
        )
        show(predictions, as_json)

    guarded(work, as_json=as_json)
