"""The commands that use finished cells: show, explain, predict, merge, sync."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid.commands.shared import CellQuery, JsonOption, Results, app, guarded, say, show


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


@app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Results folders of one grid, from several machines.")],
    into: Annotated[Path, typer.Option("--into", help="Results folder that gets the finished cells; may be new.")],
    as_json: JsonOption = False,
) -> None:
    """Bring the finished cells of several results folders into one."""

    def work() -> int:
        from grid.merge import merge as merge_stores
        from grid.terminal import for_people

        report = merge_stores(sources, into, for_people())
        show(report, as_json)
        return report.exit_code

    guarded(work, as_json=as_json)


@app.command("sync")
def sync_command(
    results: Results,
    to: Annotated[str, typer.Option("--to", help="tensorboard, mlflow or wandb.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of the sink, such as uri=http://host:5000."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hand finished cells to a tracker, those that it does not have yet."""

    def work() -> None:
        from grid.sync import sync
        from grid.terminal import for_people

        settings = {key: value for key, _, value in (one.partition("=") for one in set_ or ())}
        show(sync(results, to, settings, for_people()), as_json)

    guarded(work, as_json=as_json)
