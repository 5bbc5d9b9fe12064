"""One page that answers what a grid was run for: `python -m analysis.report RESULTS`."""

from __future__ import annotations

import base64
import gc
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import jinja2
import typer
from markupsafe import Markup

from analysis.arguments import ResultsArgument
from analysis.cell_page import CellPage, cell_pages, confusion_rules
from analysis.loading import Results, load
from analysis.questions import PriceOption, Questions, TargetOption, questions_from
from analysis.report_facts import CONFIG_FILE, Facts, config_text, read_facts
from analysis.report_model import TABLE_NAMES, Page, page_of
from analysis.report_text import visible
from analysis.tables import write_tables
from jobs.errors import EnvironmentProblem, FineGridError, UserError
from jobs.storage import Layout, write_atomically

INDEX: Final = "index.html"
TABLES: Final = "tables"
CELLS: Final = "cells"
_MOST_NAMED: Final = 3
"""Files of one folder that are named one by one."""


def write_report(results: Path, *, out: Path | None = None, questions: Questions | None = None) -> list[Path]:
    """Write the report of a results folder.

    Args:
        results: a results folder.
        out: folder for the page and its tables; None: RESULTS/report.
        questions: what to answer besides; None: nothing.
    Returns:
        the files written, the page first.
    Raises:
        UserError: no store there, or one of another schema version.
        EnvironmentProblem: the store is damaged, or the folder cannot be written.
    Side effects:
        makes the folder and replaces files of the same names; equal stores give equal bytes.
    """
    with _rare_collections():
        loaded, facts = load(results), read_facts(results)
        page = page_of(loaded, facts, questions, root=results)
        return save(page, facts, out or Layout(results).report, cells=cell_pages(loaded, facts, results))


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cycles of garbage rarely: with a million numbers in memory every look takes long and finds nothing."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def save(page: Page, facts: Facts, folder: Path, cells: Iterable[CellPage] = ()) -> list[Path]:
    """Write a page, its tables, the config that its commands name, and the pages of single cells.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        index = folder / INDEX
        write_atomically(index, render(page).encode("utf-8", "replace"))
        written = [index, *write_tables(folder / TABLES, page.tables, stale=TABLE_NAMES)]
        config = config_text(facts)
        if config is not None:
            write_atomically(folder / CONFIG_FILE, config.encode("utf-8", "replace"))
            written.append(folder / CONFIG_FILE)
        written += _save_cells(folder / CELLS, page.grid, cells)
    except OSError as error:
        raise EnvironmentProblem(
            f"{folder}: cannot be written ({error.strerror}); choose another with --out"
        ) from error
    return written


def _save_cells(folder: Path, grid: str, cells: Iterable[CellPage]) -> list[Path]:
    """Write one page a cell, and remove those of cells that have none any more."""
    written = []
    template, style = _environment().get_template("cell.html.j2"), _cell_style()
    for cell in cells:
        folder.mkdir(exist_ok=True)
        path = folder / f"{cell.cell_id}.html"
        # Not synced to the disk, as tables and index are: a sync a page costs more than the page, and all can be
        # written again.
        draft = path.with_suffix(".tmp")
        draft.write_bytes(_rendered_cell(template, style, cell, grid).encode("utf-8", "replace"))
        draft.replace(path)
        written.append(path)
    for path in sorted(folder.glob("*.html")) if folder.is_dir() else ():
        if path not in written:
            path.unlink()
    return written


def render_cell(cell: CellPage, grid: str) -> str:
    """The page of one cell as HTML without any script; it refers to the report alone."""
    return _rendered_cell(_environment().get_template("cell.html.j2"), _cell_style(), cell, grid)


def _rendered_cell(template: jinja2.Template, style: str, cell: CellPage, grid: str) -> str:
    return template.render(page=cell, grid=grid, style=_own(style), style_hash=_policy_hash(style))


def _cell_style() -> str:
    return "\n".join((_asset("report.css"), _asset("cell.css"), confusion_rules(), ""))


def _environment() -> jinja2.Environment:
    """Templates of this package, in which every value is escaped and written out."""
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        finalize=visible,
    )


def page_from(results: Results, facts: Facts | None = None, questions: Questions | None = None) -> Page:
    """The page of tables that are at hand, for notebooks."""
    return page_of(results, facts if facts is not None else Facts(), questions)


def render(page: Page) -> str:
    """The page as one HTML file without any reference to another.

    Args:
        page: what to show.
    Returns:
        HTML; its policy allows this very style and script, and nothing else.
    """
    style = f"{_asset('report.css')}\n{page.shade_css}\n"
    script = _asset("report.js")
    template = _environment().get_template("report.html.j2")
    return template.render(
        page=page,
        style=_own(style),
        style_hash=_policy_hash(style),
        script=_own(script),
        script_hash=_policy_hash(script),
    )


def _own(text: str) -> Markup:
    """Style and script, the package's own texts; everything of a store goes through the template's escaping."""
    return Markup(text)  # noqa: S704


def _asset(name: str) -> str:
    return resources.files("analysis").joinpath("templates", name).read_text(encoding="utf-8")


def _policy_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def said_of(paths: Sequence[Path]) -> list[str]:
    """What a person is told of files that were written: the page, and how many there are in a folder of many."""
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path)
    lines: list[str] = []
    for folder, files in by_folder.items():
        lines += map(str, files) if len(files) <= _MOST_NAMED else [f"{folder}: {len(files)} files"]
    return lines


def command(
    results: ResultsArgument,
    out: Annotated[Path | None, typer.Option(help="Folder for the report [RESULTS/report].")] = None,
    target: TargetOption = None,
    dollars_per_hour: PriceOption = None,
) -> None:
    """Write the report: one page that opens anywhere, and its tables as CSV, Markdown and LaTeX."""
    try:
        paths = write_report(results, out=out, questions=questions_from(target, dollars_per_hour))
    except FineGridError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, UserError) else 3) from error
    for line in said_of(paths):
        typer.echo(line)


def main() -> None:
    """Entry point of `python -m analysis.report`."""
    typer.run(command)


if __name__ == "__main__":
    main()
