"""Draw the figures that a store supports: `python -m analysis.figures RESULTS [--only NAME] [--out DIR]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.arguments import ResultsArgument
from analysis.figures.catalogue import FIGURES, chosen_names, draw_figures
from analysis.figures.material import Material
from analysis.loading import load
from analysis.report_facts import read_facts
from jobs.errors import EnvironmentProblem, FineGridError, UserError
from jobs.storage import Layout

FOLDER = "figures"


def command(
    results: ResultsArgument,
    only: Annotated[list[str] | None, typer.Option(help=f"Names, with commas between: {', '.join(FIGURES)}.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the files [RESULTS/report/figures].")] = None,
) -> None:
    """Draw the figures that a store supports as PNG and SVG; what cannot be drawn says why."""
    names = [name.strip() for text in only or () for name in text.split(",") if name.strip()]
    folder = out or Layout(results).report / FOLDER
    try:
        chosen_names(names)
        material = Material(results=load(results), select_on=read_facts(results).select_on, root=results)
        try:
            for outcome in draw_figures(material, folder, names):
                for path in outcome.files:
                    typer.echo(path)
                if outcome.reason:
                    what = "also" if outcome.files else "not drawn"
                    typer.echo(f"{outcome.name}: {what}: {outcome.reason}", err=True)
        except OSError as error:
            hint = "choose another with --out"
            raise EnvironmentProblem(f"{folder}: cannot be written ({error.strerror}); {hint}") from error
    except FineGridError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, UserError) else 3) from error


def main() -> None:
    """Entry point of `python -m analysis.figures`."""
    typer.run(command)


if __name__ == "__main__":
    main()
