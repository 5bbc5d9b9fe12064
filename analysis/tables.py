"""Tables as CSV, Markdown and LaTeX: each value written so that no program takes it for more than a value."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analysis.loading import is_nothing
from jobs.spreadsheets import inert
from jobs.storage import write_atomically

MOST_ROWS_TO_READ: Final = 2_000
_ENDINGS: Final = ("csv", "md", "tex")
_MARKDOWN: Final = r"\`*_{}[]<>#|~&!()"
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "-": r"{-}",
    "[": "{[}",
    "]": "{]}",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of plain values under named columns."""

    name: str
    """Of its files, without an ending."""
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    """Texts, numbers, truth values and None."""
    best: frozenset[tuple[int, int]] = frozenset()
    """Row and column of values that are set in bold type; CSV has numbers alone."""


def write_tables(folder: Path, tables: Sequence[Table], *, stale: Collection[str] = ()) -> list[Path]:
    """Write every table, the longest as CSV only.

    Args:
        folder: made when missing.
        tables: with distinct names.
        stale: names of tables whose files go when they are not written this time.
    Returns:
        the files: .csv of each, and .md and .tex of those that a person could read.
    Side effects:
        replaces files of the same names, removes those of an earlier time that no longer hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        writers = {"csv": csv_text, "md": markdown_text, "tex": latex_text}
        for ending in writers if len(table.rows) <= MOST_ROWS_TO_READ else ("csv",):
            path = folder / f"{table.name}.{ending}"
            write_atomically(path, writers[ending](table).encode("utf-8", "replace"))
            written.append(path)
    for name in {*stale, *(table.name for table in tables)}:
        for path in {folder / f"{name}.{ending}" for ending in _ENDINGS} - set(written):
            path.unlink(missing_ok=True)
    return written


def csv_text(table: Table) -> str:
    """Comma-separated, one header; numbers in full; texts that look like formulas begin with an apostrophe."""
    texts = _CsvTexts()
    lines = [",".join([texts[name] for name in table.columns])]
    # A million fields: the writer of csv takes half as long again, and looks at every text each time it comes.
    lines += [
        ",".join([texts[v] if type(v) is str else "" if v is None or v != v else str(v) for v in row])
        for row in table.rows
    ]
    return "\n".join(lines) + "\n"


class _CsvTexts(dict[str, str]):
    """Texts as they stand in a file: inert, and in quotes where they have to be. Large tables repeat theirs."""

    def __missing__(self, text: str) -> str:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerow([_field(text), ""])
        self[text] = found = file.getvalue().removesuffix(",\n")
        return found


def markdown_text(table: Table) -> str:
    """A pipe table under its caption."""
    lines = [f"**{_markdown(table.caption)}**", ""]
    lines += [_piped([_markdown(name) for name in table.columns]), _piped(["---"] * len(table.columns))]
    lines += [
        _piped([_bold(_markdown(shown(v)), "**{}**", (i, j) in table.best) for j, v in enumerate(row)])
        for i, row in enumerate(table.rows)
    ]
    return "\n".join(lines) + "\n"


def latex_text(table: Table) -> str:
    """A `tabular` that needs no package."""
    kinds = "".join("r" if _is_number_column(table, index) else "l" for index in range(len(table.columns)))
    lines = [f"% {' '.join(table.caption.split())}", rf"\begin{{tabular}}{{{kinds}}}", r"\hline"]
    lines += [_row_of([_latex(name) for name in table.columns]), r"\hline"]
    lines += [
        _row_of([_bold(_latex(shown(v)), r"\textbf{{{}}}", (i, j) in table.best) for j, v in enumerate(row)])
        for i, row in enumerate(table.rows)
    ]
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def shown(value: Any) -> str:
    """A value for people: four significant places, nothing for None."""
    if is_nothing(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _bold(text: str, form: str, is_best: bool) -> str:
    return form.format(text) if is_best and text else text


def _field(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would compute, and without signs that break a row."""
    return inert(text.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n"))


def _markdown(text: str) -> str:
    flat = " ".join(_printable(text).split())
    return "".join(f"\\{sign}" if sign in _MARKDOWN else sign for sign in flat)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(_printable(text).split()))


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row_of(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _is_number_column(table: Table, index: int) -> bool:
    values = [row[index] for row in table.rows if not is_nothing(row[index])]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
